"""Counts of the entries of a row that lie below each of a few values: all that the ranks of the matches need.

There are three exact ways, with equal results: compiled code if the extra `speed` is installed; comparing the row with
each value if the values are few; else sorting the entries up to the largest value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation import compiled
from duskmatch.records import Ints

Numbers = npt.NDArray[np.floating]

FEW = 24  # values of a row, on average; with more, comparing with each of them is slower than sorting
BLOCK = 64  # rows compared at once: they and their comparisons fit into the L2 cache
BYTE = 255  # words added at once: each holds eight counts of one byte, which must not overflow


def counts(dist: Numbers, values: Numbers, n: Ints, *, whole: int) -> tuple[Ints, Ints]:
    """For each row of `dist` (q g) the number of entries below, and at or below, each of its values (q m).

    Only the first n values of a row are used, which must rise; the rest of both results is undefined. `dist` is a band
    of a matrix of `whole` entries, which decides if compiled code is loaded.
    """
    below, up_to = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
    kernel = compiled.kernel(dist.dtype, whole)
    if kernel:
        kernel(np.ascontiguousarray(dist), np.ascontiguousarray(values), n, below, up_to)
    elif n.sum() <= FEW * len(n):
        compare(dist, values, n, below, up_to)
    else:
        sort(dist, values, n, below, up_to)
    return below, up_to


def compare(dist: Numbers, values: Numbers, n: Ints, below: Ints, up_to: Ints) -> None:
    """Counts by comparing each row with each of its values; blocks are made of rows with similarly many values."""
    order = np.argsort(-n, kind="stable")
    count = _TrueCounter(min(BLOCK, len(n)), dist.shape[1])
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        block = dist[rows]
        for place in range(n[rows[0]]):
            some = rows[: np.searchsorted(-n[rows], -place)]  # rows with more than `place` values
            value = values[some, place, None]
            below[some, place] = count(np.less, block[: len(some)], value)
            up_to[some, place] = count(np.less_equal, block[: len(some)], value)


def sort(dist: Numbers, values: Numbers, n: Ints, below: Ints, up_to: Ints) -> None:
    """Counts by sorting the entries of a row that are not above its last value, and looking up each value there."""
    for row, own, count, low, high in zip(dist, values, n, below, up_to, strict=True):
        if count:
            near = row[row <= own[count - 1]]
            near.sort()
            low[:count] = near.searchsorted(own[:count], "left")
            high[:count] = near.searchsorted(own[:count], "right")


class _TrueCounter:
    """Counts the entries of each row for which a comparison with the row's value is true; reuses its buffer."""

    def __init__(self, n_rows: int, width: int) -> None:
        words = -(-width // 8)
        parts = -(-words // BYTE)
        self.words = np.zeros((n_rows, parts, -(-words // parts)), np.uint64)
        self.mask = self.words.reshape(n_rows, -1).view(np.bool_)[:, :width]

    def __call__(self, comparison: np.ufunc, rows: Numbers, value: Numbers) -> Ints:
        comparison(rows, value, out=self.mask[: len(rows)])
        sums = np.add.reduce(self.words[: len(rows)], axis=2)  # (rows parts), eight bytes with a count each
        total: Ints = np.add.reduce(sums.view(np.uint8), axis=1, dtype=np.int64)
        return total
