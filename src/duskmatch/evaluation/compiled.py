"""The counting of `counting.py`, compiled by numba if that is installed (`pip install 'duskmatch[speed]'`).

numba is imported at the first large matrix, not before; see `machine_code` for its cache and how it is switched off.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from duskmatch import machine_code

LEAST_ENTRIES = (
    1 << 22
)  # of a matrix; with fewer, compiled code does not save the half second that importing numba takes
MANY_VALUES = 16  # of a row; with more, it is faster to gather the entries up to the largest value first

Kernel = Callable[..., None]
_lock = threading.Lock()


def kernel(dtype: np.dtype[Any], entries: int) -> Kernel | None:
    """The compiled `count_rows` for this dtype; None if switched off, not installed, or the matrix is too small."""
    if entries < LEAST_ENTRIES or machine_code.switched_off():
        return None
    with _lock:
        return _kernel(np.dtype(dtype).name)


def state() -> str:
    """The state of compiled scoring in words: in use, off, not installed or broken."""
    if machine_code.switched_off():
        return f"off ({machine_code.VARIABLE}={os.environ[machine_code.VARIABLE]})"
    try:
        import numba
    except Exception as error:
        return "not installed" if isinstance(error, ModuleNotFoundError) else f"broken ({str(error).splitlines()[0]})"
    return f"numba {numba.__version__}, " + (
        "works" if kernel(np.dtype(np.float32), LEAST_ENTRIES) else "does not compile"
    )


@cache
def _kernel(dtype: str) -> Kernel | None:
    """Compiles and tries it once. If that fails, None: NumPy gives the same numbers."""

    def call_once(loops: machine_code.Loops) -> None:
        one = np.zeros((1, 1), dtype)
        loops["count_rows"](one, one, *(np.zeros(shape, np.int64) for shape in (1, (1, 1), (1, 1))))

    loops = machine_code.compiled([count_rows], call_once)
    return None if loops is None else loops["count_rows"]


def count_rows(dist, values, n, below, up_to):  # type: ignore[no-untyped-def]
    """Fills `below` and `up_to`: how many entries of each row are <, and <=, each of its first n values, which rise.

    Four values at a time: LLVM turns the inner loop into vector comparisons, one load for eight of them. int32 makes
    counts as narrow as the numbers that are compared.
    """
    narrow = np.int32
    near = np.empty(dist.shape[1], dist.dtype)
    for row in range(dist.shape[0]):
        entries, last = dist[row], n[row] - 1
        if last >= MANY_VALUES:
            kept = 0
            for x in dist[row]:
                near[kept] = x
                kept += x <= values[row, last]
            entries = near[:kept]
        for p0 in range(0, last + 1, 4):
            p1, p2, p3 = min(p0 + 1, last), min(p0 + 2, last), min(p0 + 3, last)
            v0, v1, v2, v3 = values[row, p0], values[row, p1], values[row, p2], values[row, p3]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = narrow(0)
            for place in range(len(entries)):  # LLVM does not vectorise `for x in entries`
                x = entries[place]
                a0, b0 = narrow(a0 + narrow(x < v0)), narrow(b0 + narrow(x <= v0))
                a1, b1 = narrow(a1 + narrow(x < v1)), narrow(b1 + narrow(x <= v1))
                a2, b2 = narrow(a2 + narrow(x < v2)), narrow(b2 + narrow(x <= v2))
                a3, b3 = narrow(a3 + narrow(x < v3)), narrow(b3 + narrow(x <= v3))
            below[row, p0], below[row, p1], below[row, p2], below[row, p3] = a0, a1, a2, a3
            up_to[row, p0], up_to[row, p1], up_to[row, p2], up_to[row, p3] = b0, b1, b2, b3
