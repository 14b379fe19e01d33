"""Cosine similarity in fp32, a band of queries at a time: the full matrix is never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Float64

from duskmatch.errors import EvaluationError
from duskmatch.records import Embeddings, Floats

T = TypeVar("T")

# Every product has exactly this many queries (the last is filled up with zeros): BLAS picks its kernel by shape, so a
# query's digits would otherwise change with the number of queries that happen to share its band.
TILE_ROWS = 128
# A band holds about this many similarities (8 MiB in fp32), or one tile where the gallery is wider than that.
BAND_ENTRIES = 1 << 21
# Gallery rows of one product: its result (2 MiB) is turned and scaled before it leaves the cache.
BLOCK_ROWS = 4096
# Lengths of vectors whose products with unit vectors neither overflow fp32 nor lose digits.
SAFE = 2.0**-40, 2.0**40


def lengths(vectors: Float32[np.ndarray, "n d"], role: str) -> Float64[np.ndarray, " n"]:
    """The length of each vector; zero vectors, which have no direction, are refused."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), BLOCK_ROWS):  # in blocks, as the norm in fp64 copies its input
        some = torch.from_numpy(vectors[start : start + BLOCK_ROWS])
        found[start : start + BLOCK_ROWS] = torch.linalg.vector_norm(some, dim=1, dtype=torch.float64).numpy()
    zero = np.flatnonzero(found == 0)
    if len(zero):
        raise EvaluationError(
            f"{role} vectors must not be zero, a zero vector has no direction; "
            f"{len(zero)} of {len(found)} are, the first in row {zero[0]}; leave them out or embed them again"
        )
    return found


def unit_vectors(embeddings: Embeddings, role: str) -> Float32[np.ndarray, "n d"]:
    """The vectors at length 1."""
    return _divided(embeddings.vectors, lengths(embeddings.vectors, role))


class Similarity:
    """The cosine of any queries with the whole gallery, computed on demand.

    Neither side is copied: tiles of queries are normalised when they are multiplied, and the products are divided by
    the lengths of the gallery's vectors.
    """

    def __init__(self, query: Float32[np.ndarray, "q d"], gallery: Float32[np.ndarray, "g d"]) -> None:
        self.query, self.gallery = query, gallery
        self.query_lengths = lengths(query, "query")
        gallery_lengths = lengths(gallery, "gallery")
        if gallery_lengths.min(initial=1) < SAFE[0] or gallery_lengths.max(initial=1) > SAFE[1]:
            self.gallery, gallery_lengths = _divided(gallery, gallery_lengths), np.ones(len(gallery))
        self.scale = (1 / gallery_lengths).astype(np.float32)

    def __call__(self, rows: slice) -> Floats:
        """A new array (rows g); `rows` begins at a multiple of TILE_ROWS."""
        return self._products(rows, self.scale)

    def negated(self, rows: slice) -> Floats:
        """The same, negated exactly: smaller is nearer."""
        return self._products(rows, -self.scale)

    def _products(self, rows: slice, scale: Floats) -> Floats:
        out = np.empty((rows.stop - rows.start, len(self.gallery)), np.float32)
        tile = np.zeros((self.query.shape[1], TILE_ROWS), np.float32)  # (d rows)
        product = np.empty((min(BLOCK_ROWS, len(self.gallery)), TILE_ROWS), np.float32)
        for first in range(rows.start, rows.stop, TILE_ROWS):
            some = slice(first, min(first + TILE_ROWS, rows.stop))
            n = some.stop - some.start
            tile[:, n:] = 0
            tile[:, :n] = _divided(self.query[some], self.query_lengths[some]).T
            for start in range(0, len(self.gallery), BLOCK_ROWS):
                block = slice(start, min(start + BLOCK_ROWS, len(self.gallery)))
                found = np.matmul(self.gallery[block], tile, out=product[: block.stop - start])  # (block rows)
                lines = out[first - rows.start : some.stop - rows.start, block]
                np.multiply(found[:, :n].T, scale[block], out=lines)
        return out


def _divided(vectors: Floats, by: npt.NDArray[np.float64]) -> Floats:
    out = np.empty_like(vectors)
    np.divide(vectors, by[:, None], out=out, dtype=np.float64, casting="same_kind")  # lengths may overflow fp32
    return out


def map_bands(work: Callable[[slice], T], n_queries: int, n_gallery: int, tile_rows: int = TILE_ROWS) -> list[T]:
    """The results of `work` for each band of query rows, in order, computed on as many threads as torch uses.

    Memory: each thread holds a few arrays of one band, each max(BAND_ENTRIES, tile_rows x g) numbers.
    """
    return list(in_bands(work, n_queries, n_gallery, tile_rows))


def reduce_bands(work: Callable[[slice], T], combine: Callable[[T, T], T], n_queries: int, n_gallery: int) -> T:
    """The results of `work` combined in order, as `map_bands` but without holding them all; one query or more."""
    return reduce(combine, in_bands(work, n_queries, n_gallery))


def in_bands(work: Callable[[slice], T], n_queries: int, n_gallery: int, tile_rows: int = TILE_ROWS) -> Iterator[T]:
    """The results of `map_bands` one after the other, so that not all need be held."""
    step = max(1, BAND_ENTRIES // (tile_rows * max(1, n_gallery))) * tile_rows
    bands = [slice(start, min(start + step, n_queries)) for start in range(0, n_queries, step)]
    with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(bands)))) as pool:
        yield from pool.map(work, bands)
