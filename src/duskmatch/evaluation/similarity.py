"""Cosine similarity in fp32, a band of queries at a time: the full matrix is never held."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32

from duskmatch.errors import EvaluationError
from duskmatch.records import Embeddings, Floats

T = TypeVar("T")

# Every product has exactly this many rows (the last is filled up with zeros): BLAS picks its kernel by shape, so a
# query's digits would otherwise change with the number of queries that happen to share its band.
TILE_ROWS = 128
# A band holds about this many similarities (8 MiB in fp32), or one tile where the gallery is wider than that.
BAND_ENTRIES = 1 << 21


def unit_vectors(embeddings: Embeddings, role: str) -> Float32[np.ndarray, "n d"]:
    """The vectors at length 1; a zero vector points nowhere and is refused."""
    vectors = embeddings.vectors
    lengths = torch.linalg.vector_norm(torch.from_numpy(vectors), dim=1, dtype=torch.float64).numpy()
    zero = np.flatnonzero(lengths == 0)
    if len(zero):
        raise EvaluationError(
            f"{role} vectors must not be zero, a zero vector has no direction; "
            f"{len(zero)} of {len(lengths)} are, the first in row {zero[0]}; leave them out or embed them again"
        )
    unit = np.empty_like(vectors)
    np.divide(vectors, lengths[:, None], out=unit, dtype=np.float64, casting="same_kind")  # lengths may pass fp32
    return unit


class Similarity:
    """The cosine of chosen queries with the whole gallery, computed when asked for."""

    def __init__(self, query: Float32[np.ndarray, "q d"], gallery: Float32[np.ndarray, "g d"]) -> None:
        self.query = query
        self.columns = np.ascontiguousarray(gallery.T)  # (d g)

    def __call__(self, rows: slice) -> Floats:
        """A new array (rows g); `rows` begins at a multiple of TILE_ROWS."""
        out = np.empty((rows.stop - rows.start, self.columns.shape[1]), np.float32)
        for first in range(0, len(out), TILE_ROWS):
            self._multiply(self.query[rows][first : first + TILE_ROWS], out[first : first + TILE_ROWS])
        return out

    def _multiply(self, tile: Floats, out: Floats) -> None:
        if len(tile) == TILE_ROWS:
            np.matmul(tile, self.columns, out=out)
        else:
            filled = np.zeros((TILE_ROWS, tile.shape[1]), np.float32)
            filled[: len(tile)] = tile
            out[:] = (filled @ self.columns)[: len(tile)]


def map_bands(work: Callable[[slice], T], n_queries: int, n_gallery: int) -> list[T]:
    """`work` of each band of query rows, in order, on as many threads as torch uses.

    Memory: each thread holds a few arrays of one band, each max(BAND_ENTRIES, TILE_ROWS x g) numbers.
    """
    step = max(1, BAND_ENTRIES // (TILE_ROWS * max(1, n_gallery))) * TILE_ROWS
    bands = [slice(start, min(start + step, n_queries)) for start in range(0, n_queries, step)]
    with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(bands)))) as pool:
        return list(pool.map(work, bands))
