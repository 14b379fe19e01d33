"""Three ways to multiply coded queries with coded rows, and which one a search takes.

| kernel | products | taken for |
|---|---|---|
| int_mm | int8 x int8, int32 sums, `torch._int_mm` | MANY queries or more, where it is right and the fastest |
| numba | int16 x int8, int32 sums, one pass over memory | a large gallery otherwise |
| fp32 | whole numbers in fp32, a rounding error in the bound | the rest |

The answers of a search do not depend on the kernel (`coding`). oneDNN may add pairs of products in 16 bits that
saturate where the CPU has no VNNI, and torch multiplies in plain loops where oneDNN has no int8: which kernel takes
MANY queries is tried once. DUSKMATCH_COMPILED=off switches numba off.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from duskmatch import machine_code
from duskmatch.gallery.search import kernels
from duskmatch.gallery.search.coding import ROW_LEVELS, query_levels
from duskmatch.machine_code import Loops

log = logging.getLogger("duskmatch")

MANY = 4  # queries from which a matrix product is faster than compiled loops
LOOPS = (kernels.multiply_one, kernels.multiply_many, kernels.select)
WORTH = 1 << 22  # codes from which importing numba and trying the kernels, half a second, are worth it
BLOCK_ROWS = 2048  # of a matrix product: the rows that are copied for it stay in the cache
TRIED, TRIALS = 16, 3  # queries of a trial, and how often it is repeated
Codes = npt.NDArray[np.int8]  # (n d)
Slots = npt.NDArray[np.int32]  # (m,)
QueryCodes = npt.NDArray[np.int16]  # (q d)
Products = npt.NDArray[Any]  # (q m) int32, or whole numbers in float32


@dataclass(frozen=True, slots=True)
class Kernel:
    """A way to multiply: the products of queries (q d) with the rows in `slots` (m,), within rounding |b| |c|."""

    name: str
    multiply: Callable[[Codes, Slots, QueryCodes], Products]
    levels: Callable[[int], int]  # of the queries' codes, by width
    rounding: Callable[[int], float]  # rho, by width
    threads: bool  # True: one thread a call, so pieces of a gallery run side by side


def choose(n_queries: int, n_rows: int, width: int) -> Kernel:
    """The fastest kernel that is here."""
    if n_rows * width < WORTH:
        return FP32
    if n_queries >= MANY:
        return fastest(width)
    return NUMBA if compiled() else FP32


def loops_for(n_rows: int, width: int) -> Loops | None:
    """The compiled loops where they pay for so many rows."""
    return compiled() if n_rows * width >= WORTH else None


@cache
def compiled() -> Loops | None:
    """The loops as machine code, or None where numba is off, missing or broken."""
    return machine_code.compiled(LOOPS, _call_once, fastmath={"nnan"})


def _call_once(loops: Loops) -> None:
    slots, products, one = np.zeros(1, np.int32), np.zeros((1, 1), np.int32), np.zeros(1)
    for name in ("multiply_one", "multiply_many"):
        loops[name](np.zeros((1, 1), np.int8), slots, np.zeros((1, 1), np.int16), products)
    singles, bounds = np.zeros((2, 1), np.float32), np.zeros((3, 1))
    loops["select"](products[0], one, *singles, 0.0, 0.0, 0.0, *bounds[:1], np.zeros(1, np.int64), *bounds[1:])


def multiply_compiled(codes: Codes, slots: Slots, queries: QueryCodes) -> Products:
    out = np.empty((len(queries), len(slots)), np.int32)
    name = "multiply_one" if len(queries) == 1 else "multiply_many"
    (compiled() or {})[name](codes, slots, queries, out)
    return out


def multiply_bytes(codes: Codes, slots: Slots, queries: QueryCodes) -> Products:
    out = np.empty((len(queries), len(slots)), np.int32)
    left = torch.from_numpy(queries.astype(np.int8))
    for start in range(0, len(slots), BLOCK_ROWS):
        block = slots[start : start + BLOCK_ROWS]
        out[:, start : start + len(block)] = torch._int_mm(left, torch.from_numpy(codes[block]).T).numpy()
    return out


def multiply_fp32(codes: Codes, slots: Slots, queries: QueryCodes) -> Products:
    out = np.empty((len(queries), len(slots)), np.float32)
    right = queries.astype(np.float32).T
    for start in range(0, len(slots), BLOCK_ROWS):
        block = slots[start : start + BLOCK_ROWS]
        out[:, start : start + len(block)] = (codes[block].astype(np.float32) @ right).T  # (block q)
    return out


def gamma(width: int) -> float:
    """The relative error of an fp32 sum of so many products: gamma_d in `coding`."""
    return width * 2.0**-24 / (1 - width * 2.0**-24)


@cache
def fastest(width: int) -> Kernel:
    """The kernel that multiplies many queries in the least time on this machine."""
    kernels_here = [FP32, *([NUMBA] if compiled() else [])]
    try:
        if int_mm_is_right(width):
            kernels_here.append(INT_MM)
    except (RuntimeError, AttributeError) as error:
        log.debug("torch._int_mm is not used in searches: %s", error)
    return min(kernels_here, key=lambda kernel: seconds(kernel, width))


def int_mm_is_right(width: int) -> bool:
    """The self-test: rows and queries of +-127 in each combination of signs by turns."""
    signs = [np.resize(pair, width) for pair in itertools.product((-ROW_LEVELS, ROW_LEVELS), repeat=2)]
    codes = np.array(signs, np.int8)
    exact = codes.astype(np.int64) @ codes.T.astype(np.int64)
    found = multiply_bytes(
        np.tile(codes, (8, 1)), np.arange(32, dtype=np.int32), np.tile(codes.astype(np.int16), (4, 1))
    )
    return np.array_equal(found, np.tile(exact, (4, 8)))


def seconds(kernel: Kernel, width: int) -> float:
    """The shortest of TRIALS products of TRIED queries with a block of rows, shared by as many threads as a search."""
    codes, slots = np.ones((BLOCK_ROWS, width), np.int8), np.arange(BLOCK_ROWS, dtype=np.int32)
    queries = np.ones((TRIED, width), np.int16)
    found = []
    for _ in range(TRIALS):
        begin = time.perf_counter()
        kernel.multiply(codes, slots, queries)
        found.append(time.perf_counter() - begin)
    return min(found) / (torch.get_num_threads() if kernel.threads else 1)


NUMBA = Kernel("numba", multiply_compiled, query_levels, lambda width: 0.0, threads=True)
INT_MM = Kernel("int_mm", multiply_bytes, lambda width: ROW_LEVELS, lambda width: 0.0, threads=False)
FP32 = Kernel("fp32", multiply_fp32, query_levels, gamma, threads=False)
