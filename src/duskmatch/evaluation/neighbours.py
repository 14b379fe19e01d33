"""The k nearest neighbours of each vector among all, and which of them are reciprocal: the first part of re-ranking.

Memory: O(n k), and a few bands for each thread; the (n n) similarities are never held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from duskmatch.evaluation.ordering import nearest_columns
from duskmatch.evaluation.similarity import map_bands
from duskmatch.evaluation.sparse import sparse_nonzero
from duskmatch.records import Floats, Ints

TILE_ROWS = 512  # of one matrix product; larger than in similarity.py, since all rows are needed anyway
GROUP = 16  # columns in a group of `_largest`
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of n vectors: columns (n k+1), itself and its k nearest; their sim (n k+1); farthest (n,) the least sim."""

    columns: Ints
    sim: Floats
    farthest: Floats

    def reciprocal(self, k: int) -> Mask:
        """(n k+1) True where the row is among the k nearest of its neighbour too; R(p, k) of the paper's Eq. 3."""
        columns = self.columns[:, : k + 1]
        own = np.arange(len(columns))

        def of_band(rows: slice) -> Mask:
            theirs = columns[columns[rows]]  # (rows k+1 k+1)
            mutual: Mask = (theirs == own[rows, None, None]).any(axis=2)
            return mutual

        return np.concatenate(map_bands(of_band, len(columns), (k + 1) ** 2))


def neighbours(
    vectors: Float32[np.ndarray, "n d"], k: int, n_query: int
) -> tuple[Neighbours, Float32[np.ndarray, "q g"]]:
    """The neighbours of all vectors, and the similarities (q g) of the first `n_query` rows with the others.

    Vectors have length 1. The products of queries with the gallery are computed once and reused for the gallery's rows.
    Equal vectors get bit-identical similarities, which BLAS does not guarantee.
    """
    query, gallery = vectors[:n_query], vectors[n_query:]
    kept = np.empty((n_query, len(gallery)), np.float32)
    copies, originals = _copies(vectors)

    def of_query(rows: slice) -> tuple[Ints, Floats, Floats]:
        band = np.empty((rows.stop - rows.start, len(vectors)), np.float32)
        _products(query, rows, vectors, band)
        band[:, copies] = band[:, originals]
        kept[rows] = band[:, n_query:]
        return _nearest(band, rows.start, k)

    def of_gallery(rows: slice) -> tuple[Ints, Floats, Floats]:
        band = np.empty((rows.stop - rows.start, len(vectors)), np.float32)
        band[:, :n_query] = kept[:, rows].T
        _products(gallery, rows, gallery, band[:, n_query:])
        band[:, copies] = band[:, originals]
        return _nearest(band, n_query + rows.start, k)

    bands = map_bands(of_query, n_query, len(vectors), TILE_ROWS)
    bands += map_bands(of_gallery, len(gallery), len(vectors), TILE_ROWS)
    columns, values, farthest = (np.concatenate(x) for x in zip(*bands, strict=True))
    return Neighbours(columns, values, farthest), kept


def _copies(vectors: Floats) -> tuple[Ints, Ints]:
    """(copies, originals): rows that repeat the vector of an earlier row, and the first row that has it."""
    as_bytes = np.ascontiguousarray(vectors + np.float32(0)).view(f"V{vectors.shape[1] * 4}").ravel()  # -0 is 0
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    original = first[which]
    copies = np.flatnonzero(original != np.arange(len(vectors)))
    return copies, original[copies]


def _products(side: Floats, rows: slice, others: Floats, out: Floats) -> None:
    """Fills in side[rows] @ others.T; the last tile is filled up with zeros, as BLAS picks its kernel by shape."""
    for first in range(rows.start, rows.stop, TILE_ROWS):
        some = side[first : min(first + TILE_ROWS, rows.stop)]
        target = out[first - rows.start : first - rows.start + len(some)]
        if len(some) == TILE_ROWS:
            np.matmul(some, others.T, out=target)
        else:
            tile = np.zeros((TILE_ROWS, side.shape[1]), np.float32)
            tile[: len(some)] = some
            target[:] = (tile @ others.T)[: len(some)]


def _nearest(band: Floats, first: int, k: int) -> tuple[Ints, Floats, Floats]:
    """(columns, sims, least sim) of rows `first`, `first` + 1, ... from their similarities with everyone."""
    farthest = band.min(axis=1)
    band[np.arange(len(band)), np.arange(first, first + len(band))] = np.inf  # each row's first neighbour is itself
    columns = _largest(band, k + 1)
    values = np.take_along_axis(band, columns, axis=1)
    values[:, 0] = 1
    return columns, values, farthest


def _largest(band: Floats, k: int) -> Ints:
    """The columns of the k largest of each row, equal ones by column.

    The k-th largest of the groups' maxima is at most the k-th largest of all, so only values that reach it are sorted.
    """
    n_rows, n = band.shape
    size = max(1, min(GROUP, n // (4 * k)))
    width = n // size
    groups = band[:, : size * width].reshape(n_rows, size, width).max(axis=1)
    least = np.partition(groups, width - k, axis=1)[:, width - k]
    row, column = sparse_nonzero(band >= least[:, None])
    starts = np.searchsorted(row, np.arange(n_rows + 1))
    shape = n_rows, int(np.diff(starts).max())
    place = np.arange(len(row)) - starts[row]
    dist, columns = np.full(shape, np.inf, np.float32), np.full(shape, n, np.uint64)
    dist[row, place], columns[row, place] = -band[row, column], column
    return nearest_columns(dist, k, columns)
