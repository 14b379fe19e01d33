"""Each vector's k nearest among all, and who is whose neighbour in return: the sparse half of re-ranking.

Memory: O(n k) numbers besides a few bands of a thread; the (n n) similarities are never held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32

from duskmatch.evaluation.ordering import nearest
from duskmatch.evaluation.similarity import Similarity, map_bands
from duskmatch.records import Floats, Ints

TILE_ROWS = 512  # everyone is asked at once, so no single query pays for the rest of a larger, faster product
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of n vectors: columns (n k+1), each itself and then its k nearest; sim (n k+1); farthest (n,) the least sim."""

    columns: Ints
    sim: Floats
    farthest: Floats

    def reciprocal(self, k: int) -> Mask:
        """(n k+1) True where the row is among the k nearest of its neighbour too; R(p, k) of the paper's Eq. 3."""
        columns = self.columns[:, : k + 1]
        own = np.arange(len(columns))

        def of_band(rows: slice) -> Mask:
            theirs = columns[columns[rows]]  # (rows k+1 k+1)
            found: Mask = (theirs == own[rows, None, None]).any(axis=2)
            return found

        return np.concatenate(map_bands(of_band, len(columns), (k + 1) ** 2))


def neighbours(
    vectors: Float32[np.ndarray, "n d"], k: int, n_query: int
) -> tuple[Neighbours, Float32[np.ndarray, "q g"]]:
    """The neighbours of everyone, and the similarities of the first `n_query` rows with the others."""
    sim = Similarity(vectors, vectors, TILE_ROWS)
    kept = np.empty((n_query, len(vectors) - n_query), np.float32)

    def of_band(rows: slice) -> tuple[Ints, Floats, Floats]:
        band = sim(rows)
        kept[rows.start : rows.stop] = band[: max(0, n_query - rows.start), n_query:]
        farthest = band.min(axis=1)
        band[np.arange(len(band)), np.arange(rows.start, rows.stop)] = np.inf  # itself first, whatever its digits
        columns = _largest(band, k + 1)
        return columns, np.take_along_axis(band, columns, axis=1), farthest

    bands = map_bands(of_band, len(vectors), len(vectors), TILE_ROWS)
    columns, values, farthest = (np.concatenate(x) for x in zip(*bands, strict=True))
    values[:, 0] = 1
    return Neighbours(columns, values, farthest), kept


def _largest(band: Floats, k: int) -> Ints:
    """The columns of the k largest of each row, equal ones by column."""
    n = band.shape[1]
    values, columns = (x.numpy() for x in torch.topk(torch.from_numpy(band), min(k + 1, n), dim=1))
    order = np.lexsort((columns, -values), axis=1)[:, :k]
    found: Ints = np.take_along_axis(columns, order, axis=1)
    if k < n:  # which of equal ones topk leaves out is not said
        tied = np.flatnonzero(values[:, k - 1] == values[:, k])
        found[tied] = nearest(-band[tied], k)
    return found
