"""Rows of few numbers among many columns, in SciPy's compressed form, and what re-ranking does with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from duskmatch.records import Ints

BAND_ENTRIES = 1 << 17  # numbers of a band (1 MiB in fp64): it stays in the second cache
Doubles = npt.NDArray[np.float64]


def compressed(rows: Ints, columns: Ints, values: Doubles, n: int) -> csr_array:
    """A matrix (n n) of triples in the order of their rows and columns."""
    return csr_array((values, columns, np.searchsorted(rows, np.arange(n + 1))), shape=(n, n))


def rows_of(matrix: csr_array) -> Ints:
    """The row of each number."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def normalised(matrix: csr_array, values: Doubles) -> csr_array:
    """The matrix with other values, each row of which has the sum 1; no row may be empty."""
    sums = np.add.reduceat(values, matrix.indptr[:-1])
    return csr_array((values / sums[rows_of(matrix)], matrix.indices, matrix.indptr), shape=matrix.shape)


def places(starts: Ints, counts: Ints) -> Ints:
    """starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ...: several ranges, one after another."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


def found(there: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """np.nonzero of a matrix, several times as fast where little of it is True."""
    flat = np.flatnonzero(there)
    return flat // there.shape[1], flat % there.shape[1]


def mean_of_rows(matrix: csr_array, chosen: Ints) -> csr_array:
    """Row i is the mean of the rows chosen[i] (n k) of `matrix`."""
    n, k = chosen.shape
    picks = csr_array((np.ones(n * k), chosen.ravel(), np.arange(0, n * k + 1, k)), shape=(n, matrix.shape[0]))
    sums = picks @ matrix
    sums.sort_indices()
    sums.data /= k
    return sums


def shared(query: csr_array, gallery: csr_array) -> Iterator[tuple[slice, Doubles]]:
    """The sum over columns of the smaller value (rows g), a band of query rows at a time.

    Only columns where both hold a number are visited, by lists of who holds one.
    """
    n_gallery, holders = gallery.shape[0], gallery.tocsc()
    held = np.diff(holders.indptr)
    meetings = np.concatenate([[0], np.cumsum(held[query.indices])])[query.indptr]
    for rows in _bands(meetings, n_gallery):
        part = query[rows]
        counts = held[part.indices]
        inside = places(holders.indptr[:-1][part.indices], counts)
        smaller = np.minimum(np.repeat(part.data, counts), holders.data.take(inside))
        where = np.repeat(rows_of(part) * n_gallery, counts) + holders.indices.take(inside)
        sums = np.bincount(where, smaller, minlength=part.shape[0] * n_gallery)
        yield rows, np.asarray(sums, np.float64).reshape(part.shape[0], n_gallery)


def _bands(meetings: Ints, n_gallery: int) -> Iterator[slice]:
    """Query rows whose sums and whose meetings both stay within a band; one row at least."""
    first, last = 0, len(meetings) - 1
    most = max(1, BAND_ENTRIES // max(1, n_gallery))
    while first < last:
        by_meetings = int(np.searchsorted(meetings, meetings[first] + BAND_ENTRIES, "right")) - 1
        stop = min(last, first + most, max(first + 1, by_meetings))
        yield slice(first, stop)
        first = stop
