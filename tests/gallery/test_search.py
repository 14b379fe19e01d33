"""Every kernel and every way of reading gives what a loop over all entries gives, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.gallery.search import candidates, index, products, search
from duskmatch.gallery.search.index import Index
from tests.gallery.examples import Entries, random_vectors, vectors
from tests.oracle import gallery as oracle

KERNELS = {"numba": products.NUMBA, "int_mm": products.INT_MM, "fp32": products.FP32}
# How rows are read: the candidates of each query, all rows in order, or what a query with many candidates gets.
WAYS = {
    "candidates": {"FEW": 0, "STREAM_SHARE": 1.0},
    "candidates in order": {"FEW": 0, "STREAM_SHARE": 0.0},
    "all in order": {"FEW": 1 << 30},
    "either": {"FEW": 0, "STREAM_SHARE": 0.3, "KEPT": 4},
}


@contextmanager
def set_up(kernel: str, way: str = "candidates", n_rows: int = 5) -> Iterator[None]:
    """Searches with one kernel and way of reading, in chunks, pieces and blocks of about n_rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "choose", lambda *_: KERNELS[kernel])
        patch.setattr(products, "WORTH", 0 if kernel == "numba" else 1 << 60)
        for name, value in {**WAYS[way], "READ_ROWS": n_rows, "QUERIES": 2}.items():
            patch.setattr(search, name, value)
        patch.setattr(index, "CHUNK_ROWS", 3 * n_rows + 1)
        patch.setattr(candidates, "PIECE_ROWS", n_rows + 2)
        yield


def assert_same(found: search.Found, entries: Entries, queries: Any, top: int, left_out: list[set[int]]) -> None:
    for i, query in enumerate(queries):
        first = oracle.first(query, entries.vectors, entries.ids, top, left_out[i])
        missing = top - len(first)
        assert found.rows[i].tolist() == [int(entries.rows[place]) for place, _, _ in first] + [-1] * missing
        np.testing.assert_array_equal(found.similarity[i], [value for _, value, _ in first] + [np.nan] * missing)
        assert found.ids[i] == [name for _, _, name in first] + [""] * missing


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), d=st.sampled_from((1, 2, 5, 16, 33)), top=st.integers(1, 50))
def test_the_answer_is_that_of_a_loop_over_all_entries(
    kernel: str, way: str, data: st.DataObject, d: int, top: int
) -> None:
    entries = Entries(data.draw(vectors(st.integers(0, 40), d)))
    queries = data.draw(vectors(st.integers(1, 3), d))
    places = st.sets(st.integers(0, max(0, len(entries.vectors) - 1)), max_size=8)
    removed, own = data.draw(places), [data.draw(places) for _ in queries]
    refused = data.draw(st.sampled_from((None, set(), set(range(0, 40, 3)), set(range(40)))))
    with set_up(kernel, way):
        ours = entries.index()
        ours.remove(entries.rows[[place for place in removed if place < len(entries.rows)]])
        allowed = allowed_but(ours, entries, refused)
        own_rows = [{3 * place + 3 for place in places} for places in own]
        found = ours.search(queries, top, entries.read, allowed=allowed, own=own_rows)
    assert_same(found, entries, queries, top, [removed | (refused or set()) | places for places in own])


def allowed_but(ours: Index, entries: Entries, refused: set[int] | None) -> Any:
    """True at each place of the index whose entry is not among the refused."""
    if refused is None:
        return None
    rows = [row for chunk in ours._chunks for row in chunk["row"]]
    return np.array([int(row) // 3 - 1 not in refused for row in rows], np.bool_)


@pytest.mark.parametrize("kernel", KERNELS)
def test_near_duplicates_are_found_in_their_order(kernel: str) -> None:
    """3,000 within rounding of each other, where the first 200 by codes are not the first 50 of fp32."""
    entries = Entries(random_vectors(4000, 24))
    entries.vectors[500:3500] = entries.vectors[0] + 1e-5 * entries.vectors[500:3500]
    with set_up(kernel, n_rows=500):
        found = entries.index().search(entries.vectors[:2], 50, entries.read)
    with set_up(kernel, "either", n_rows=500):
        again = entries.index().search(entries.vectors[:2], 50, entries.read)
    assert_same(found, entries, entries.vectors[:2], 50, [set(), set()])
    assert found.ids == again.ids


@pytest.mark.parametrize("kernel", KERNELS)
def test_few_rows_are_read(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "choose", lambda *_: KERNELS[kernel])
    entries = Entries(random_vectors(6000, 256))
    ours = entries.index()
    found = ours.search(entries.vectors[:1], 10, entries.read)
    assert found.ids[0][0] == entries.ids[0]
    assert entries.n_read < 60


@pytest.mark.parametrize("value", (0, 3))
@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_entries_come_by_id(kernel: str, value: int) -> None:
    """Zero vectors have bounds of no width: all of them are tied with the last of the first k."""
    entries = Entries(np.full((40, 5), value, np.float32))
    with set_up(kernel):
        found = entries.index().search(np.ones((1, 5), np.float32), 12, entries.read)
    assert found.ids[0] == sorted(entries.ids)[:12]


def test_an_answer_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Entries(random_vectors(300, 16))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    with set_up("numba"):
        found = entries.index().search(entries.vectors[:2], 9, entries.read)
    assert_same(found, entries, entries.vectors[:2], 9, [set(), set()])


def test_a_query_is_not_found_in_its_own_entries() -> None:
    entries = Entries(random_vectors(30, 8))
    found = entries.index().search(entries.vectors[:1], 30, entries.read, own=[{3, 9}])
    assert {3, 9}.isdisjoint(found.rows[0].tolist())
    assert found.ids[0][28:] == ["", ""]


def test_an_empty_gallery_has_no_answers() -> None:
    found = Index(4).search(np.ones((2, 4), np.float32), 3, Entries(np.ones((0, 4), np.float32)).read)
    assert found.rows.tolist() == [[-1] * 3] * 2
    assert np.isnan(found.similarity).all()
    assert found.ids == [["", "", ""]] * 2
