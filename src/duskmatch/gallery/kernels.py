"""Loops that numba compiles: products of codes, and the rows that a bound cannot rule out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
GROUP = 64  # rows whose largest bound is looked at first


def multiply(
    codes: npt.NDArray[np.int8], slots: npt.NDArray[np.int32], queries: npt.NDArray[np.int16],
    out: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    """Fills in out[p, i], the product of query p (q d) with the codes in slot i of `slots` (m,), in int32.

    LLVM makes two multiplications and an addition of 16 bits each into one instruction of it (vpmaddwd).
    """
    narrow = np.int32
    for i in range(len(slots)):
        row = codes[slots[i]]
        for p in range(len(queries)):
            query, total = queries[p], narrow(0)
            for j in range(len(row)):
                total = narrow(total + narrow(row[j]) * narrow(query[j]))
            out[p, i] = total


def select(
    products: npt.NDArray[np.int32], scale: Doubles, norm: Singles, residual: Singles,
    of_norm: float, of_residual: float, least: float, best: Doubles,
    places: npt.NDArray[np.int64], lower: Doubles, upper: Doubles,
) -> int:  # fmt: skip
    """How many of the m rows reach `least` and the k-th largest lower bound before them; fills in which, and bounds.

    `best` (k,) holds the k largest lower bounds, rising. Rows are passed over a group at a time, by the largest upper
    bound of a group, which LLVM computes in vectors.
    """
    m, n = len(products), 0
    for first in range(0, m, GROUP):
        last = min(first + GROUP, m)
        largest = -np.inf
        for i in range(first, last):
            reach = scale[i] * (products[i] + (of_norm * norm[i] + of_residual * residual[i]))
            largest = max(largest, reach)
        if largest < max(least, best[0]):
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
