"""Loops as machine code, where numba is installed: pip install 'duskmatch[speed]'.

numba is imported when it is first asked for, which takes half a second. What it compiles is kept beside the loops or in
the user's cache; where neither can be written, it is compiled anew in each process. DUSKMATCH_COMPILED=off switches it
off.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("duskmatch")

VARIABLE = "DUSKMATCH_COMPILED"
OFF = ("off", "0", "no", "false")
Loops = dict[str, Callable[..., Any]]


def switched_off() -> bool:
    """True if the user's environment says off."""
    return os.environ.get(VARIABLE, "on").strip().lower() in OFF


def compiled(
    functions: Iterable[Callable[..., Any]], call_once: Callable[[Loops], None] | None = None, **options: Any
) -> Loops | None:
    """The functions by name, compiled with numba's options; None if numba is off, missing or broken.

    `call_once` calls each, so that an error of the compiler, or of the folder that code is kept in, shows here; without
    it each is compiled at its first call.
    """
    if switched_off():
        return None
    try:
        import numba
    except Exception as error:  # one that does not fit this NumPy may raise anything
        log.debug("numba is not used: %s", error)
        return None
    if getattr(numba.config, "DISABLE_JIT", False):  # Python's loops would be slower than NumPy by far
        return None
    for keep in (True, False):  # without a cache if there is no folder for it, or the disk is full
        try:
            njit = numba.njit(nogil=True, cache=keep, **options)
            loops = {f.__name__: njit(inspect.unwrap(f)) for f in functions}
            if call_once is not None:
                call_once(loops)
            return loops
        except Exception as error:
            log.debug("numba is not used with cache=%s: %s", keep, error)
    return None
