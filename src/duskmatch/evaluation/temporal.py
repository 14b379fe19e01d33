"""Temporal k-reciprocal re-ranking: tracks, and halves of tracks, that share neighbours move closer.

    D = 0.8 d_E(whole) + 0.2 J(whole) + 0.1 [ J(q first, g second) + J(q second, g first) ]

d_E is the Euclidean distance between vectors of length 1; whole is a tracklet's own vector, first and second those of
the two halves of its frames; J is the Jaccard distance of k-reciprocal neighbours alone (lambda = 0), k1 = 5, k2 = 3.

| symbol | here |
|---|---|
| first, second | `halves` of a tracklet, `Halved` of a side |
| d_E | `_euclidean` |
| R*, V, J | `expanded` as in re-ranking, `_encoded`, 1 - S / (2 - S) |

Source: the public code of BUPTCampus (dyhBUPT/BUPTCampus), its weights and neighbours; docs/evaluation.md.
Differs: the program adds 1e-5 under the root and stores V and J as 16-bit numbers; here neither is done. Ties go by
row, itself first. As in the program, J's weights are exp(-d) of Euclidean distances divided by the largest of the row,
where `rerank` has squared distances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32
from scipy.sparse import csr_array

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.neighbours import neighbours
from duskmatch.evaluation.reranking import PAIRS, SAME, check_numbers, check_vectors, expanded
from duskmatch.evaluation.similarity import map_bands, unit_vectors
from duskmatch.evaluation.sparse import Doubles, mean_of_rows, normalised, rows_of, shared
from duskmatch.records import Embeddings, Floats, Ints, Tracklet

Embed = Callable[[list[Tracklet]], Embeddings]


@dataclass(frozen=True, slots=True)
class TemporalReRanking:
    """The parameters of temporal re-ranking; the defaults are the program's. The weight of J is 1 - `plain_weight`."""

    k1: int = 5
    k2: int = 3
    plain_weight: float = 0.8
    halves_weight: float = 0.1

    def __post_init__(self) -> None:
        check_numbers(self.k1, self.k2, "temporal re-ranking has 5", "temporal re-ranking has 3")
        if not 0 <= self.plain_weight <= 1:
            raise EvaluationError(
                f"temporal re-ranking: the plain distance's weight must be from 0 to 1; got {self.plain_weight}"
            )
        if not 0 <= self.halves_weight < math.inf:
            raise EvaluationError(
                f"temporal re-ranking: the halves' weight must be 0 or more; got {self.halves_weight}"
            )

    def __str__(self) -> str:
        return (
            f"temporal k-reciprocal, k1 {self.k1}, k2 {self.k2}, lambda 0, {self.plain_weight:g} plain + "
            f"{1 - self.plain_weight:g} whole + {self.halves_weight:g} for either order of halves"
        )


@dataclass(frozen=True, slots=True)
class Halved:
    """The vectors of whole tracklets and of their first and second halves; row i of all is one tracklet."""

    whole: Embeddings
    first: Embeddings
    second: Embeddings

    def __post_init__(self) -> None:
        for name, half in (("first", self.first), ("second", self.second)):
            if half.vectors.shape != self.whole.vectors.shape or not np.array_equal(half.pids, self.whole.pids):
                raise EvaluationError(
                    f"temporal re-ranking: row i of the {name} halves must be row i of the whole tracklets; got "
                    f"{half.vectors.shape} and {self.whole.vectors.shape}, or other people; embed the same tracklets"
                )


class Halves(NamedTuple):
    """A tracklet's earlier and later frames."""

    first: Tracklet
    second: Tracklet


def halves(tracklet: Tracklet) -> Halves:
    """The first floor(n / 2) frames and the rest; of a single frame both are that frame.

    Source: `first_half`, `second_half` in BUPTCampus' code.
    """
    frames, middle = tracklet.frames, len(tracklet) // 2
    return Halves(replace(tracklet, frames=frames[: middle or 1]), replace(tracklet, frames=frames[middle:]))


def embed_halves(embed: Embed, tracklets: Sequence[Tracklet], split: str) -> tuple[Embeddings, Embeddings]:
    """Vectors of the first and of the second halves, in the tracklets' order."""
    if all(len(tracklet) == 1 for tracklet in tracklets):
        raise EvaluationError(
            f"temporal re-ranking compares halves of tracks, so they must have several frames; all {len(tracklets)} of "
            f"the {split} split have one; use plain re-ranking (k-reciprocal) or none"
        )
    first, second = zip(*map(halves, tracklets), strict=True)
    return _embed_half(embed, first, "first"), _embed_half(embed, second, "second")


def _embed_half(embed: Embed, tracklets: Sequence[Tracklet], which: str) -> Embeddings:
    found = embed(list(tracklets))
    if len(found) != len(tracklets):
        there = set(found.sources)
        lost = [t.tracklet_id for t in tracklets if t.tracklet_id not in there]
        raise EvaluationError(
            f"temporal re-ranking needs a readable frame in both halves; the {which} half of {len(lost)} tracklets has "
            f"none, the first {lost[0] if lost else 'unnamed'}; copy the pictures again or leave the tracks out"
        )
    return found


def rerank_temporally(
    query: Halved, gallery: Halved, numbers: TemporalReRanking | None = None
) -> Float32[np.ndarray, "q g"]:
    """Re-ranked distances; each depends on all vectors of both sides, but not on pids or cameras.

    Memory: one matrix of the result's size at a time, else O(n k).
    """
    numbers = numbers or TemporalReRanking()
    check_vectors(query.whole, gallery.whole, numbers.k1)
    pairs = (
        (1 - numbers.plain_weight, query.whole, gallery.whole),
        (numbers.halves_weight, query.first, gallery.second),
        (numbers.halves_weight, query.second, gallery.first),
    )
    encodings = [(weight, *_encoded(q, g, numbers)) for weight, q, g in pairs if weight]
    dist = np.empty((len(query.whole), len(gallery.whole)), np.float32)
    _fill_plain(dist, query.whole, gallery.whole, numbers.plain_weight)
    for weight, q, g in encodings:
        for rows, S in shared(q, g):
            dist[rows] += weight * (1 - S / (2 - S))
    return dist


def _encoded(query: Embeddings, gallery: Embeddings, numbers: TemporalReRanking) -> tuple[csr_array, csr_array]:
    """V of the queries and of the gallery: the weights of reciprocal neighbours, each row summing to 1."""
    n_query = len(query)
    vectors = np.concatenate([unit_vectors(query, "query"), unit_vectors(gallery, "gallery")])
    near, _ = neighbours(vectors, numbers.k1, n_query)
    members = expanded(near, numbers.k1)
    farthest = np.sqrt(np.maximum(2 - 2 * near.farthest.astype(np.float64), 0))
    rows = rows_of(members)
    dist = _euclidean(vectors, rows, members.indices)
    weights = np.exp(-dist / np.where(farthest > math.sqrt(SAME), farthest, np.inf)[rows])
    V = normalised(members, weights)
    if numbers.k2 > 1:
        V = mean_of_rows(V, near.columns[:, : numbers.k2])
    return V[:n_query], V[n_query:]


def _euclidean(vectors: Floats, rows: Ints, columns: Ints) -> Doubles:
    """Distances of pairs of rows, from differences in fp64: in fp32 small ones would be wrong in the fourth digit."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), PAIRS):
        some = slice(start, start + PAIRS)
        gap = vectors[rows[some]].astype(np.float64) - vectors[columns[some]]
        found[some] = np.sqrt(np.einsum("nd,nd->n", gap, gap))
    return found


def _fill_plain(dist: Floats, query: Embeddings, gallery: Embeddings, weight: float) -> None:
    """Fills `dist` with weight x d_E, computed in fp64 by bands of queries."""
    q, g = unit_vectors(query, "query"), unit_vectors(gallery, "gallery").astype(np.float64)
    lengths = np.einsum("nd,nd->n", g, g)

    def of_band(rows: slice) -> None:
        band: npt.NDArray[np.float64] = q[rows].astype(np.float64)
        squared = np.einsum("nd,nd->n", band, band)[:, None] + lengths - 2 * (band @ g.T)
        dist[rows] = weight * np.sqrt(np.maximum(squared, 0))

    map_bands(of_band, len(q), len(g))
