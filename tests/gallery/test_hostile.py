"""Ids, notes and filters of any kind: kept to the letter, or refused by an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duskmatch.errors import DuskmatchError
from duskmatch.gallery import Gallery
from duskmatch.gallery import gallery as public
from duskmatch.records import Embeddings
from tests.gallery.making import WIDTH, unit
from tests.oracle.gallery_index import SlowIndex

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOSTILE = [
    "'; DROP TABLE entries; --", '"', "%", "_", "../../etc/passwd", "a/b", "\u202e", "é", "e\u0301", "\x00", "\ud800",
    "1", "",
]  # fmt: skip
FILTERS = ("top", "modality", "cameras", "between", "pids")
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=4),
    st.lists(st.one_of(st.integers(), st.floats(), texts, st.none()), max_size=3),
    st.tuples(st.floats(), st.floats()), st.tuples(st.integers(), st.integers()), st.sets(st.integers(), max_size=3),
)  # fmt: skip


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    monkeypatch.setattr(public, "_index", SlowIndex)
    with Gallery.create(tmp_path / "people", width=WIDTH) as made:
        yield made


@FEW
@given(namespace=texts, name=texts, origin=texts, note=texts)
def test_any_text_is_kept_to_the_letter_or_refused(
    gallery: Gallery, namespace: str, name: str, origin: str, note: str
) -> None:
    one = Embeddings(unit(1), [3], [1], "infrared", [name])
    before = len(gallery)
    try:
        (id,) = gallery.add(one, namespace=namespace, origin=origin, notes=[note])
    except DuskmatchError as error:
        assert "\n" not in str(error) and len(gallery) == before
        return
    (entry,) = gallery.entries([id])
    assert (entry.tracklet, entry.source, entry.note, entry.id) == (name, origin, note, id)
    assert id in gallery.search(Embeddings(unit(1), [3], [1], "infrared"), top=1).ids
    assert gallery.delete([id]) == 1 and len(gallery) == before


@FEW
@given(ids=st.one_of(texts, st.lists(texts, max_size=3)))
def test_any_ids_that_are_not_there_are_refused(gallery: Gallery, ids: Any) -> None:
    if ids == []:
        assert gallery.delete(ids) == 0
        return
    for work in (gallery.delete, gallery.entries):
        with pytest.raises(DuskmatchError, match="no entry has the id"):
            work([ids] if isinstance(ids, str) else ids)


@FEW
@given(pid=anything)
def test_any_person_is_known_or_not(gallery: Gallery, pid: Any) -> None:
    if pid is None:
        return
    try:
        assert gallery.delete(pid=pid) == 0
    except DuskmatchError as error:
        assert "pid must be" in str(error) and "\n" not in str(error)


@FEW
@given(filters=st.fixed_dictionaries({}, optional=dict.fromkeys(FILTERS, anything)))
def test_any_filter_is_answered_or_refused(gallery: Gallery, filters: dict[str, Any]) -> None:
    if not len(gallery):
        gallery.add(Embeddings(unit(4), np.arange(4), np.arange(4), "visible"))
    try:
        hits = gallery.search(Embeddings(unit(1, seed=1), [0], [0], "infrared"), **filters)
    except DuskmatchError as error:
        assert "\n" not in str(error)
    else:
        assert set(hits.ids[0]) - {""} <= set(gallery.ids())
