"""Sparse matrices (SciPy's CSR) and the operations on them that re-ranking needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from duskmatch.records import Ints

BAND_ENTRIES = 1 << 17  # numbers of a band (1 MiB in fp64), which fits into the L2 cache
Doubles = npt.NDArray[np.float64]


def compressed(rows: Ints, columns: Ints, values: Doubles, n: int) -> csr_array:
    """A matrix (n n) of these values, given in the order of rows and columns."""
    return csr_array((values, columns, np.searchsorted(rows, np.arange(n + 1))), shape=(n, n))


def rows_of(matrix: csr_array) -> Ints:
    """The row of each stored value."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def normalised(matrix: csr_array, values: Doubles) -> csr_array:
    """The matrix with these values, scaled so that each row sums to 1; no row may be empty."""
    sums = np.add.reduceat(values, matrix.indptr[:-1])
    return csr_array((values / sums[rows_of(matrix)], matrix.indices, matrix.indptr), shape=matrix.shape)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ...: several ranges, one after another."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


def sparse_nonzero(mask: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """np.nonzero of a matrix, several times as fast if few entries are True."""
    flat = np.flatnonzero(mask)
    return flat // mask.shape[1], flat % mask.shape[1]


def mean_of_rows(matrix: csr_array, chosen: Ints) -> csr_array:
    """Row i is the mean of the rows chosen[i] (n k) of `matrix`."""
    n, k = chosen.shape
    picks = csr_array((np.ones(n * k), chosen.ravel(), np.arange(0, n * k + 1, k)), shape=(n, matrix.shape[0]))
    sums = picks @ matrix
    sums.sort_indices()
    sums.data /= k
    return sums


def shared(query: csr_array, gallery: csr_array) -> Iterator[tuple[slice, Doubles]]:
    """For bands of query rows, the sums over columns of the smaller of both values (rows g).

    Only columns in which both have a value are visited, with the gallery stored by column.
    """
    n_gallery, by_column = gallery.shape[0], gallery.tocsc()
    column_counts = np.diff(by_column.indptr)
    n_pairs = np.concatenate([[0], np.cumsum(column_counts[query.indices])])[query.indptr]  # before each query row
    for rows in _bands(n_pairs, n_gallery):
        part = query[rows]
        counts = column_counts[part.indices]
        inside = ranges(by_column.indptr[:-1][part.indices], counts)
        smaller = np.minimum(np.repeat(part.data, counts), by_column.data.take(inside))
        where = np.repeat(rows_of(part) * n_gallery, counts) + by_column.indices.take(inside)
        sums = np.bincount(where, smaller, minlength=part.shape[0] * n_gallery)
        yield rows, np.asarray(sums, np.float64).reshape(part.shape[0], n_gallery)


def _bands(n_pairs: Ints, n_gallery: int) -> Iterator[slice]:
    """Slices of query rows whose sums and whose pairs of values are at most BAND_ENTRIES each; at least one row."""
    first, last = 0, len(n_pairs) - 1
    most = max(1, BAND_ENTRIES // max(1, n_gallery))
    while first < last:
        by_pairs = int(np.searchsorted(n_pairs, n_pairs[first] + BAND_ENTRIES, "right")) - 1
        stop = min(last, first + most, max(first + 1, by_pairs))
        yield slice(first, stop)
        first = stop
