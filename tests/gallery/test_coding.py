"""The bounds hold for vectors of every size, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.gallery.search.candidates import select_plain
from duskmatch.gallery.search.coding import MOST_WIDTH, ROW_LEVELS, code_queries, code_rows, query_levels
from duskmatch.gallery.search.products import FP32, gamma
from tests.gallery.examples import random_vectors, vectors
from tests.oracle import gallery as oracle


@settings(max_examples=40, deadline=None)
@given(data=st.data(), d=st.sampled_from((1, 3, 16, 40)), fine=st.booleans(), fp32=st.booleans())
def test_every_dot_lies_between_its_bounds(data: st.DataObject, d: int, fine: bool, fp32: bool) -> None:
    rows, queries = (data.draw(vectors(st.integers(1, 6), d)) for _ in range(2))
    coded_rows = code_rows(rows)
    coded = code_queries(queries, query_levels(d) if fine else ROW_LEVELS, gamma(d) if fp32 else 0.0)
    exact = coded.codes.astype(np.int64) @ coded_rows.codes.astype(np.int64).T
    products = FP32.multiply(coded_rows.codes, np.arange(len(rows), dtype=np.int32), coded.codes) if fp32 else exact
    columns = coded_rows.scale, coded_rows.norm, coded_rows.residual
    for i, query in enumerate(queries):
        factors = float(coded.of_norm[i]), float(coded.of_residual[i])
        _, lower, upper = select_plain(products[i], columns, *factors, -np.inf, 1 + len(rows))
        for j, row in enumerate(rows):
            dots = oracle.true_dot(query, row), Fraction(oracle.dot(query, row))
            scale = Fraction(float(coded.scale[i]))
            assert Fraction(lower[j]) * scale <= min(dots)
            assert Fraction(upper[j]) * scale >= max(dots)


def test_the_bound_is_no_wider_than_the_residual() -> None:
    """A unit row of 512 normal numbers has a residual near sqrt(512 / 12) steps, below 1 % of its length."""
    rows = code_rows(random_vectors(20, 512))
    assert (rows.residual < 1.05 * np.sqrt(512 / 12)).all()
    assert (rows.residual < 0.01 * rows.norm).all()


def test_codes_of_a_row_by_hand() -> None:
    coded = code_rows(np.array([[254, -254, 3], [0, 0, 0]], np.float32))
    assert coded.codes.tolist() == [[127, -127, 2], [0, 0, 0]]  # 1.5 goes to the even number
    assert coded.scale.tolist() == [2.0, 0.0]
    assert coded.residual[0] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("width", (1, 512, 2048, MOST_WIDTH))
def test_the_largest_products_fit_int32(width: int) -> None:
    assert ROW_LEVELS <= query_levels(width) < 1 << 15
    assert query_levels(width) * ROW_LEVELS * width < 1 << 31
