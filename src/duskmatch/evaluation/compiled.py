"""The counting of `counting.py` as machine code, where numba is installed (`pip install 'duskmatch[speed]'`).

numba is imported at the first large matrix, not before. What it compiles is kept beside this file or in the user's
cache; where neither can be written, it is compiled anew in each process. DUSKMATCH_COMPILED=off switches it off.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

log = logging.getLogger("duskmatch")

VARIABLE = "DUSKMATCH_COMPILED"
OFF = ("off", "0", "no", "false")
# Entries of a matrix from which compiled code is worth the half second that importing numba takes.
WORTH = 1 << 22
# Values of a row from which it pays to gather the entries at or below the largest of them first.
MANY = 16

Kernel = Callable[..., None]
_lock = threading.Lock()


def kernel(dtype: np.dtype[Any], entries: int) -> Kernel | None:
    """The compiled `count_rows` for such distances; None where it is off, missing, or not worth it for so many."""
    if entries < WORTH or switched_off():
        return None
    with _lock:
        return _kernel(np.dtype(dtype).name)


def state() -> str:
    """The state of compiled scoring in words: in use, off, not installed or broken."""
    if switched_off():
        return f"off ({VARIABLE}={os.environ[VARIABLE]})"
    try:
        import numba
    except Exception as error:
        return "not installed" if isinstance(error, ModuleNotFoundError) else f"broken ({str(error).splitlines()[0]})"
    return f"numba {numba.__version__}, " + ("works" if kernel(np.dtype(np.float32), WORTH) else "does not compile")


def switched_off() -> bool:
    return os.environ.get(VARIABLE, "on").strip().lower() in OFF


@cache
def _kernel(dtype: str) -> Kernel | None:
    """Compiled and tried once; whatever stops that, NumPy gives the same numbers, so the reason is only logged."""
    try:
        import numba

        if getattr(numba.config, "DISABLE_JIT", False):  # Python loops would be slower than NumPy by far
            return None
    except Exception as error:  # one that does not fit this NumPy raises what it likes
        log.debug("numba is not used: %s", error)
        return None
    for keep in (True, False):  # no folder to keep it in, or a full disk: then without keeping
        try:
            compiled: Kernel = numba.njit(nogil=True, cache=keep)(inspect.unwrap(count_rows))
            one = np.zeros((1, 1), dtype)
            compiled(one, one, *(np.zeros(shape, np.int64) for shape in (1, (1, 1), (1, 1))))
            return compiled
        except Exception as error:
            log.debug("numba is not used with cache=%s: %s", keep, error)
    return None


def count_rows(dist, values, n, below, up_to):  # type: ignore[no-untyped-def]
    """Fills in how many entries of each row lie below, and at or below, each of its first n values, which rise.

    Four values at a time: LLVM turns the inner loop into vector compares, one load for eight of them. int32 keeps the
    counts as narrow as the numbers compared.
    """
    narrow = np.int32
    near = np.empty(dist.shape[1], dist.dtype)
    for row in range(dist.shape[0]):
        entries, last = dist[row], n[row] - 1
        if last >= MANY:
            kept = 0
            for x in dist[row]:
                near[kept] = x
                kept += x <= values[row, last]
            entries = near[:kept]
        for p0 in range(0, last + 1, 4):
            p1, p2, p3 = min(p0 + 1, last), min(p0 + 2, last), min(p0 + 3, last)
            v0, v1, v2, v3 = values[row, p0], values[row, p1], values[row, p2], values[row, p3]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = narrow(0)
            for place in range(len(entries)):  # with `for x in entries` LLVM makes no vectors of it
                x = entries[place]
                a0, b0 = narrow(a0 + narrow(x < v0)), narrow(b0 + narrow(x <= v0))
                a1, b1 = narrow(a1 + narrow(x < v1)), narrow(b1 + narrow(x <= v1))
                a2, b2 = narrow(a2 + narrow(x < v2)), narrow(b2 + narrow(x <= v2))
                a3, b3 = narrow(a3 + narrow(x < v3)), narrow(b3 + narrow(x <= v3))
            below[row, p0], below[row, p1], below[row, p2], below[row, p3] = a0, a1, a2, a3
            up_to[row, p0], up_to[row, p1], up_to[row, p2], up_to[row, p3] = b0, b1, b2, b3
