"""Products of codes by each kernel, and which kernel is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from duskmatch.gallery.search import products


@pytest.fixture(autouse=True)
def fresh() -> Any:
    """What was found out about this machine is found out again."""
    known = products.fastest, products.compiled
    yield
    for function in known:
        function.cache_clear()


@pytest.mark.parametrize("width", (1, 31, 512, 2048))
@pytest.mark.parametrize("kernel", (products.NUMBA, products.INT_MM, products.FP32), ids=lambda k: k.name)
def test_products_of_the_largest_and_of_random_codes(kernel: products.Kernel, width: int) -> None:
    rng, levels = np.random.default_rng(0), kernel.levels(width)
    codes = rng.integers(-127, 128, (9, width)).astype(np.int8)
    queries = rng.integers(-levels, levels + 1, (5, width)).astype(np.int16)
    codes[0], codes[1], queries[0], queries[1] = 127, -127, levels, -levels
    slots = np.array([1, 0, 4, 8, 5], np.int32)
    exact = queries.astype(np.int64) @ codes[slots].astype(np.int64).T
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(codes[slots], axis=1)
    error = np.abs(kernel.multiply(codes, slots, queries).astype(np.float64) - exact)
    assert (error <= kernel.rounding(width) * lengths).all()


def saturating(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """What a CPU without VNNI can make of it: left made unsigned by adding 128, pairs of products kept to 16 bits."""
    terms = (left.int() + 128)[:, :, None] * right.int()[None]  # (q d m)
    pairs = terms.unflatten(1, (-1, 2)).sum(2).clamp(-(1 << 15), (1 << 15) - 1)
    return (pairs.sum(1) - 128 * right.int().sum(0)).int()


def best(name: str) -> Any:
    """Seconds of a kernel for which the named one is the fastest."""
    return lambda kernel, width: float(kernel.name != name)


def test_products_that_saturate_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "seconds", best("int_mm"))
    assert products.fastest(32) is products.INT_MM
    products.fastest.cache_clear()
    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert products.fastest(32) is products.FP32


def test_the_fastest_kernel_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "seconds", best("numba"))
    monkeypatch.setattr(products, "compiled", dict)
    assert products.choose(1, 1 << 20, 32) is products.FP32
    assert products.choose(64, 1 << 20, 32) is products.FP32
    products.fastest.cache_clear()
    monkeypatch.setattr(products, "compiled", lambda: {"multiply_one": None})
    assert products.choose(1, 1000, 32) is products.FP32
    assert products.choose(1, 1 << 20, 64) is products.NUMBA
    assert products.choose(64, 1 << 20, 32) is products.NUMBA
    assert products.choose(64, 1000, 64) is products.FP32
    products.fastest.cache_clear()
    monkeypatch.setattr(products, "seconds", best("int_mm"))
    assert products.choose(64, 1 << 20, 32) is products.INT_MM
    assert products.choose(1, 1 << 20, 32) is products.NUMBA


def test_a_kernel_of_one_thread_a_call_is_tried_as_a_search_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a gallery run side by side in as many threads; the clock counts calls here."""
    ticks = iter(range(100))
    monkeypatch.setattr(products.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert products.seconds(products.FP32, 8) == 1.0
    assert products.seconds(products.NUMBA, 8) == 0.25


def test_numba_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUSKMATCH_COMPILED", "off")
    products.compiled.cache_clear()
    assert products.choose(1, 1 << 20, 32) is not products.NUMBA
