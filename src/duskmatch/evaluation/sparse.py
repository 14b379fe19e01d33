"""Rows of few numbers among many columns, as three arrays, and what re-ranking does with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.records import Ints

BAND_ENTRIES = 1 << 17  # numbers of a band (1 MiB in fp64): it stays in the second cache
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sparse:
    """Row i holds values[starts[i] : starts[i + 1]] at columns[...], rising; of `width` columns."""

    starts: Ints
    columns: Ints
    values: Doubles
    width: int

    @classmethod
    def of(cls, rows: Ints, columns: Ints, values: Doubles, n_rows: int, width: int) -> Sparse:
        """From triples in the order of their rows."""
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
        return cls(starts, columns, values, width)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Ints:
        return np.diff(self.starts)

    @property
    def rows(self) -> Ints:
        """The row of each number."""
        return np.repeat(np.arange(len(self)), self.counts)

    def part(self, first: int, last: int) -> Sparse:
        """Rows `first` to `last`, of the same columns."""
        inside = slice(self.starts[first], self.starts[last])
        starts = self.starts[first : last + 1] - self.starts[first]
        return Sparse(starts, self.columns[inside], self.values[inside], self.width)

    def turned(self) -> Sparse:
        """Columns as rows: for each column who holds a number there."""
        narrow = self.columns.astype(np.min_scalar_type(self.width))  # 16 bits are sorted by their digits
        order = np.argsort(narrow, kind="stable")
        return Sparse.of(self.columns[order], self.rows[order], self.values[order], self.width, len(self))

    def normalised(self) -> Sparse:
        """Each row with the sum 1; no row may be empty."""
        sums = np.add.reduceat(self.values, self.starts[:-1])
        return Sparse(self.starts, self.columns, self.values / np.repeat(sums, self.counts), self.width)


def places(starts: Ints, counts: Ints) -> Ints:
    """starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ...: several ranges, one after another."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


def found(there: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """np.nonzero of a matrix, several times as fast where little of it is True."""
    flat = np.flatnonzero(there)
    return flat // there.shape[1], flat % there.shape[1]


def mean_of_rows(matrix: Sparse, chosen: Ints) -> Sparse:
    """Row i is the mean of the rows chosen[i] (n k) of `matrix`."""
    parts = [_mean_of_band(matrix, chosen[rows]) for rows in _slices(len(chosen), BAND_ENTRIES // matrix.width)]
    counts = np.concatenate([part.counts for part in parts])
    return Sparse(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
        matrix.width,
    )


def _mean_of_band(matrix: Sparse, chosen: Ints) -> Sparse:
    counts = matrix.counts[chosen]  # (rows k)
    inside = places(matrix.starts[:-1][chosen].ravel(), counts.ravel())
    where = np.repeat(np.arange(len(chosen)) * matrix.width, counts.sum(axis=1)) + matrix.columns.take(inside)
    sums = np.bincount(where, matrix.values.take(inside), minlength=len(chosen) * matrix.width)
    rows, columns = found((sums != 0).reshape(len(chosen), matrix.width))
    means = sums[rows * matrix.width + columns] / chosen.shape[1]
    return Sparse.of(rows, columns, means, len(chosen), matrix.width)


def shared(query: Sparse, gallery: Sparse) -> Iterator[tuple[slice, Doubles]]:
    """The sum over columns of the smaller value (rows g), a band of query rows at a time.

    Only columns where both hold a number are visited, by lists of who holds one.
    """
    holders = gallery.turned()
    lengths = holders.counts[query.columns]  # how many gallery rows each number of a query meets
    meetings = np.concatenate([[0], np.cumsum(lengths)])[query.starts]
    for rows in _bands(meetings, len(gallery)):
        part = query.part(rows.start, rows.stop)
        counts = holders.counts[part.columns]
        inside = places(holders.starts[:-1][part.columns], counts)
        smaller = np.minimum(np.repeat(part.values, counts), holders.values.take(inside))
        where = np.repeat(part.rows * len(gallery), counts) + holders.columns.take(inside)
        sums: Doubles = np.asarray(np.bincount(where, smaller, minlength=len(part) * len(gallery)), np.float64)
        yield rows, sums.reshape(len(part), len(gallery))


def _bands(meetings: Ints, n_gallery: int) -> Iterator[slice]:
    """Query rows whose sums and whose meetings both stay within a band; one row at least."""
    first, last = 0, len(meetings) - 1
    most = max(1, BAND_ENTRIES // max(1, n_gallery))
    while first < last:
        by_meetings = int(np.searchsorted(meetings, meetings[first] + BAND_ENTRIES, "right")) - 1
        stop = min(last, first + most, max(first + 1, by_meetings))
        yield slice(first, stop)
        first = stop


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + max(1, step), n)) for start in range(0, n, max(1, step)))
