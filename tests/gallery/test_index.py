"""Rows come and go: what is refused, what is overwritten, what filters let through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from duskmatch.errors import DataError
from duskmatch.gallery.search import index
from duskmatch.gallery.search.facts import Facts, Filter
from duskmatch.gallery.search.index import Index
from tests.gallery.examples import Entries, plain_facts, random_vectors


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Entries:
    monkeypatch.setattr(index, "CHUNK_ROWS", 16)
    return Entries(random_vectors(40, 8))


def found_rows(ours: Index, entries: Entries, **options: Any) -> set[int]:
    return set(ours.search(entries.vectors[:1], 60, entries.read, **options).rows[0].tolist()) - {-1}


def test_a_removed_row_is_overwritten_at_once(entries: Entries) -> None:
    ours = entries.index()
    chunk = ours._chunks[1]
    ours.remove(entries.rows[[17, 17, 30]])
    for name in ("codes", "scale", "norm", "residual", "alive", "camera", "begin_s", "pid"):
        assert not chunk[name][[1, 14]].any(), name
    assert chunk["codes"][2].any()
    assert len(ours) == 38
    assert found_rows(ours, entries) == set(entries.rows.tolist()) - {54, 93}


def test_rows_that_are_not_held_are_no_error(entries: Entries) -> None:
    ours = entries.index()
    ours.remove(np.array([1, 3, 3, 500]))
    ours.remove(np.array([3]))
    assert len(ours) == 39


def test_rows_move_together_when_many_are_gone(entries: Entries) -> None:
    ours = entries.index()
    old = ours._chunks[:]
    ours.remove(entries.rows[::3])
    assert len(ours) == 26
    assert [chunk.n for chunk in ours._chunks] == [16, 10]
    assert not any(chunk["codes"].any() for chunk in old)
    assert found_rows(ours, entries) == set(entries.rows.tolist()) - set(entries.rows[::3].tolist())
    ours.remove(entries.rows)
    assert (len(ours), ours._chunks) == (0, [])


def test_a_row_number_is_never_used_twice(entries: Entries) -> None:
    ours = entries.index()
    ours.remove(entries.rows)
    with pytest.raises(DataError) as refused:
        ours.add(entries.rows[-1:], entries.vectors[:1], plain_facts(1))
    assert str(refused.value) == "rows must rise, from above 120; got 120 first; sort them"
    ours.add(np.array([121]), entries.vectors[:1], plain_facts(1))
    assert len(ours) == 1


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
def test_numbers_that_are_not_finite_are_refused(entries: Entries, value: float) -> None:
    entries.vectors[7, 3] = value
    with pytest.raises(DataError) as refused:
        entries.index()
    text = f"must be finite; row 7 holds {value}; embed it again or leave it out"
    assert str(refused.value) == f"the entries {text}"
    with pytest.raises(DataError) as refused:
        Index(8).search(entries.vectors, 1, entries.read)
    assert str(refused.value) == f"the queries {text}"


def test_other_widths_and_counts_are_refused(entries: Entries) -> None:
    ours = entries.index()
    with pytest.raises(
        DataError, match=r"the queries must be float32 rows of width 8, as the gallery; got float64 \(1, 8\)"
    ):
        ours.search(np.ones((1, 8)), 1, entries.read)
    with pytest.raises(
        DataError, match=r"the entries must be float32 rows of width 8, as the gallery; got float32 \(1, 9\)"
    ):
        ours.add(np.array([200]), np.ones((1, 9), np.float32), plain_facts(1))
    with pytest.raises(DataError, match="own must be as long as the 1 queries; got 2"):
        ours.search(entries.vectors[:1], 1, entries.read, own=[set(), set()])
    with pytest.raises(DataError, match="rows and facts must be as many as the 1 vectors"):
        ours.add(np.array([200, 201]), entries.vectors[:1], plain_facts(2))
    with pytest.raises(DataError, match="top must be at least 1; got 0"):
        ours.search(entries.vectors[:1], 0, entries.read)
    with pytest.raises(DataError, match="allowed must come from this index as it is: 40 places; got 39"):
        ours.search(entries.vectors[:1], 1, entries.read, allowed=np.ones(39, np.bool_))
    with pytest.raises(DataError, match="the width of a gallery must be from 1 to 131072; got 131073"):
        Index(131073)


FACTS = Facts(
    modality=np.array([0, 1, 0, 1], np.int8),
    camera=np.array([1, 2, 3, 1]),
    begin_s=np.array([10.0, 20.0, np.nan, 30.0]),
    end_s=np.array([15.0, np.nan, np.nan, 40.0]),
    pid=np.array([5, -1, 5, 6]),
)


@pytest.mark.parametrize(
    ("wanted", "through"),
    (
        ({"modality": "infrared"}, [1, 3]),
        ({"cameras": (1, 2)}, [0, 1, 3]),
        ({"cameras": ()}, []),
        ({"pids": [5]}, [0, 2]),
        ({"between": (15.0, 20.0)}, [0, 1]),  # both ends are included, one time stands for both
        ({"between": (16.0, 19.0)}, []),
        ({"between": (0.0, 100.0)}, [0, 1, 3]),  # an entry without a time is never let through
        ({"between": (35.0, 36.0), "modality": "infrared", "cameras": {1}, "pids": {6, 7}}, [3]),
    ),
)
def test_filters(wanted: dict[str, Any], through: list[int]) -> None:
    entries = Entries(random_vectors(4, 8))
    ours = entries.index(FACTS)
    allowed = ours.allowed(Filter(**wanted))
    assert allowed is not None
    assert np.flatnonzero(allowed).tolist() == through
    assert found_rows(ours, entries, allowed=allowed) == {3 * place + 3 for place in through}


def test_no_filter_is_none_and_an_empty_index_has_no_places() -> None:
    assert Index(8).allowed(Filter()) is None
    allowed = Index(8).allowed(Filter(modality="visible"))
    assert allowed is not None and allowed.shape == (0,)
