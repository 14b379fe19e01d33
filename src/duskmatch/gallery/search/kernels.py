"""Loops that numba compiles: products of codes, and the rows that a bound cannot rule out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
GROUP = 64  # rows that are passed over together where none reaches the bar


def multiply_one(
    codes: npt.NDArray[np.int8], slots: npt.NDArray[np.int32], queries: npt.NDArray[np.int16],
    out: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    """Fills in out[0, i], the product of the one query (1 d) with the codes in slot i of `slots` (m,), in int32.

    LLVM makes two products of 16 bits and their sum into one instruction (vpmaddwd).
    """
    narrow, query = np.int32, queries[0]
    for i in range(len(slots)):
        row, total = codes[slots[i]], narrow(0)
        for j in range(len(row)):
            total = narrow(total + narrow(row[j]) * narrow(query[j]))
        out[0, i] = total


def multiply_many(
    codes: npt.NDArray[np.int8], slots: npt.NDArray[np.int32], queries: npt.NDArray[np.int16],
    out: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    """Fills in out[p, i] for each query p (q d): a row is made 16 bits wide once for all of them."""
    narrow, width = np.int32, codes.shape[1]
    wide = np.empty(width, np.int16)
    for i in range(len(slots)):
        row = codes[slots[i]]
        for j in range(width):
            wide[j] = row[j]
        for p in range(len(queries)):
            query, total = queries[p], narrow(0)
            for j in range(width):
                total = narrow(total + narrow(wide[j]) * narrow(query[j]))
            out[p, i] = total


def select(
    products: npt.NDArray[np.int32], scale: Doubles, norm: Singles, residual: Singles,
    of_norm: float, of_residual: float, least: float, best: Doubles,
    places: npt.NDArray[np.int64], lower: Doubles, upper: Doubles,
) -> int:  # fmt: skip
    """Fills in the rows that reach `least` and the k-th largest lower bound before them, their bounds; their number.

    `best` (k,) holds the k largest lower bounds, rising. First the rows of a group that reach the bar are counted,
    which LLVM does in vectors (not so a maximum, nor arrays that are not sliced); most groups have none.
    """
    m, n = len(products), 0
    for first in range(0, m, GROUP):
        last = min(first + GROUP, m)
        bar, n_near = max(least, best[0]), 0
        p, s, c, r = products[first:last], scale[first:last], norm[first:last], residual[first:last]
        for i in range(len(p)):
            n_near += s[i] * (p[i] + (of_norm * c[i] + of_residual * r[i])) >= bar
        if n_near == 0:
            continue
        for i in range(first, last):
            width = of_norm * norm[i] + of_residual * residual[i]
            reach = scale[i] * (products[i] + width)
            if reach < max(least, best[0]):
                continue
            places[n], lower[n], upper[n] = i, scale[i] * (products[i] - width), reach
            j = 0
            while j + 1 < len(best) and best[j + 1] < lower[n]:
                best[j] = best[j + 1]
                j += 1
            best[j] = max(best[j], lower[n])
            n += 1
    return n
