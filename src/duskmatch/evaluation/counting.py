"""Counts of the entries of a row that lie below each of a few values: all that the ranks of the matches need.

Three ways, each exact, so that their numbers are the same: compiled code where the extra `speed` is installed;
comparing the row with each value where the values are few; else sorting what lies at or below the largest of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation import compiled
from duskmatch.records import Ints

Numbers = npt.NDArray[np.floating]

FEW = 24  # values of a row, on average: above, comparing with each of them costs more than sorting
BLOCK = 64  # rows compared at once: they and their comparisons stay in the second cache
BYTE = 255  # eight counts of one byte each are added side by side in a word, up to this


def counts(dist: Numbers, values: Numbers, n: Ints, *, whole: int) -> tuple[Ints, Ints]:
    """For each row of `dist` (q g) the number of entries below, and at or below, each of its values (q m).

    Only the first n of a row's values count, and they rise; the rest of both answers means nothing. `whole` is the
    size of the matrix that `dist` is a band of: compiled code is loaded where that is worth it.
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
    """Each row with each of its values; rows with many values together, so that no row waits for another."""
    order = np.argsort(-n, kind="stable")
    count = _TrueCounter(min(BLOCK, len(n)), dist.shape[1])
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        block = dist[rows]
        for place in range(n[rows[0]]):
            some = rows[: np.searchsorted(-n[rows], -place)]  # those that have so many values
            value = values[some, place, None]
            below[some, place] = count(np.less, block[: len(some)], value)
            up_to[some, place] = count(np.less_equal, block[: len(some)], value)


def sort(dist: Numbers, values: Numbers, n: Ints, below: Ints, up_to: Ints) -> None:
    """Each value is looked up among the sorted entries of its row that are not above the last value."""
    for row, own, count, low, high in zip(dist, values, n, below, up_to, strict=True):
        if count:
            near = row[row <= own[count - 1]]
            near.sort()
            low[:count] = near.searchsorted(own[:count], "left")
            high[:count] = near.searchsorted(own[:count], "right")


class _TrueCounter:
    """Compares rows with a value each and counts; its buffer is used again and again."""

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
