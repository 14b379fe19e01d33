"""Keeps OpenVINO from breaking signals: compiling a graph leaves the thread's signal stack pointing at freed memory.

The next signal with a Python handler (Ctrl-C, SIGTERM) would then end the process with a segmentation fault. Seen with
OpenVINO 2026.4 on Linux.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2) on Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Restores the calling thread's alternate signal stack after the block."""
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
