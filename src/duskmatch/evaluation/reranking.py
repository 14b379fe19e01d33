"""Re-ranking by k-reciprocal neighbours: tracklets that share neighbours move closer.

Source: Zhong, Zheng, Cao, Li, Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, arXiv
1701.08398. p and x are any two of the n vectors of both sides; d is their squared Euclidean distance at length 1.

| paper | here |
|---|---|
| N(p, k) (Eq. 2) | `Neighbours.columns`: p itself and its k nearest, ties by row |
| R(p, k) (Eq. 3) | `Neighbours.reciprocal` |
| R*(p, k1) (Eq. 5) | `expanded` |
| V (Eq. 7) | `encoding`, a row for each p, its weights exp(-d) |
| local query expansion (Eq. 11) | `mean_of_rows` over the first k2 of N |
| d_J (Eq. 10) | 1 - S / (2 - S), S = `shared`: rows of V sum to 1, so the larger values sum to 2 - S |
| d* (Eq. 12) | `rerank` |

Differs: four points follow the authors' published program, from which all reported figures come. d(p, x) is divided
by the largest d(p, .) of its row; rows of V are divided by their sum; Eq. 5 requires more than 2/3, not 2/3 or more; N
holds p and k others in Eqs. 2 to 5, and p is one of the k2 in Eq. 11. k1 / 2 is rounded to the nearest, halves to even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy.sparse import csr_array

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.metrics import check_sides
from duskmatch.evaluation.neighbours import Mask, Neighbours, neighbours
from duskmatch.evaluation.similarity import map_bands, unit_vectors
from duskmatch.evaluation.sparse import Doubles, compressed, mean_of_rows, normalised, rows_of, shared, sparse_nonzero
from duskmatch.records import Embeddings, Floats, Ints

SAME = 1e-6  # a squared distance that fp32 products of unit vectors cannot tell from 0
PAIRS = 256  # inner products computed at once: both blocks of vectors fit into the cache


@dataclass(frozen=True, slots=True)
class ReRanking:
    """The parameters of k-reciprocal re-ranking; the defaults are the paper's."""

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        check_numbers(self.k1, self.k2, "the paper has 20", "the paper has 6")
        if not 0 <= self.lambda_value <= 1:
            raise EvaluationError(
                f"re-ranking: lambda must be from 0 (Jaccard alone) to 1 (no re-ranking); got {self.lambda_value}"
            )

    def __str__(self) -> str:
        return f"k-reciprocal, k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_value:g}"


def rerank(
    query: Embeddings, gallery: Embeddings, *, k1: int = 20, k2: int = 6, lambda_value: float = 0.3
) -> Float32[np.ndarray, "q g"]:
    """Re-ranked distances in [0, 1]; each depends on all vectors of both sides, but not on pids or cameras."""
    numbers = ReRanking(k1, k2, lambda_value)
    check_vectors(query, gallery, numbers.k1)
    vectors = np.concatenate([unit_vectors(query, "query"), unit_vectors(gallery, "gallery")])
    near, sim = neighbours(vectors, k1, len(query))
    encoded = encoding(vectors, near, expanded(near, k1))
    if k2 > 1:
        encoded = mean_of_rows(encoded, near.columns[:, :k2])
    n_query = len(query)
    for rows, S in shared(encoded[:n_query], encoded[n_query:]):
        original = _distance(sim[rows], near.farthest[rows, None])
        sim[rows] = (1 - lambda_value) * (1 - S / (2 - S)) + lambda_value * original
    return sim


def expanded(near: Neighbours, k1: int) -> csr_array:
    """R*(p, k1) as the columns of row p; the values are the similarities where N(p, k1) holds them, else NaN.

    R(q, k1 / 2) of a q in R(p, k1) is added if more than 2/3 of it is in R(p, k1) already.
    """
    half = round(k1 / 2)
    whole = near.reciprocal(k1)
    halves = near.reciprocal(half)
    n = len(near.columns)

    def of_band(rows: slice) -> tuple[Ints, Ints, Doubles]:
        known = np.full((rows.stop - rows.start, n), np.nan, np.float32)
        np.put_along_axis(known, near.columns[rows], near.sim[rows], axis=1)
        inside = _expanded(near.columns, rows, whole, halves)
        row, column = sparse_nonzero(inside)
        return row + rows.start, column, known[row, column].astype(np.float64)

    bands = map_bands(of_band, n, n)
    row, column, sim = (np.concatenate(x) for x in zip(*bands, strict=True))
    return compressed(row, column, sim, n)


def _expanded(columns: Ints, rows: slice, whole: Mask, halves: Mask) -> Mask:
    """(rows n) True where the column is in R* of the row."""
    inside = np.zeros((rows.stop - rows.start, len(columns)), bool)
    row, place = np.nonzero(whole[rows])
    q = columns[rows][row, place]
    inside[row, q] = True  # R(p, k1)
    theirs, there = columns[q, : halves.shape[1]], halves[q]  # (pairs, k1 / 2 + 1), R(q, k1 / 2)
    overlap = (inside[row[:, None], theirs] & there).sum(axis=1)
    joins = there & (3 * overlap > 2 * there.sum(axis=1))[:, None]
    pair, place = np.nonzero(joins)
    inside[row[pair], theirs[pair, place]] = True
    return inside


def encoding(vectors: Floats, near: Neighbours, members: csr_array) -> csr_array:
    """V: the weights exp(-d) of each row's members, which sum to 1."""
    rows, sim = rows_of(members), members.data.copy()
    unknown = np.flatnonzero(np.isnan(sim))  # members from other rows' neighbourhoods
    for start in range(0, len(unknown), PAIRS):
        some = unknown[start : start + PAIRS]
        sim[some] = np.einsum("nd,nd->n", vectors[rows[some]], vectors[members.indices[some]])
    return normalised(members, np.exp(-_distance(sim, near.farthest[rows])))


def _distance(sim: Floats | Doubles, farthest: Floats) -> Floats | Doubles:
    """2 - 2 cos, at least 0, divided by the largest of the row; 0 if all vectors are equal."""
    most = 2 - 2 * farthest
    return np.maximum(2 - 2 * sim, 0) / np.where(most > SAME, most, np.float32(np.inf))


def check_numbers(k1: int, k2: int, usual_k1: str, usual_k2: str) -> None:
    """Refuses invalid k1 and k2."""
    if k1 < 1:
        raise EvaluationError(f"re-ranking: k1 must be at least 1; got {k1}; {usual_k1}")
    if not 1 <= k2 <= k1:
        raise EvaluationError(f"re-ranking: k2 must be from 1 to k1 ({k1}); got {k2}; {usual_k2}, 1 is no expansion")


def check_vectors(query: Embeddings, gallery: Embeddings, k1: int) -> None:
    """Refuses sides that are empty, of two widths, or of no more than k1 vectors together."""
    check_sides(query, gallery)
    n = len(query) + len(gallery)
    if k1 >= n:
        raise EvaluationError(
            f"re-ranking: k1 must be below the number of vectors, queries and gallery together ({n}); "
            f"got {k1}; choose a smaller k1 and report it with the score"
        )
