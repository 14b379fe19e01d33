"""The gallery as users see it, with the index by definition in the place of the fast one where answers are compared."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from duskmatch.errors import DataError, ErasurePending, GalleryError
from duskmatch.gallery import Gallery, watch
from duskmatch.gallery import gallery as public
from duskmatch.gallery.store.entries import new_uuid
from duskmatch.records import Embeddings
from tests.gallery.making import WIDTH, modality, names, unit
from tests.oracle.gallery_index import SlowIndex


def people(n: int, seed: int = 0, width: int = WIDTH, **facts: object) -> Embeddings:
    """n people: odd ones visible by camera 1 or 3, even ones infrared by 0 or 2, seen from second 10 i to 10 i + 5."""
    rows = np.arange(n)
    given: dict[str, object] = {
        "sources": names(n), "begin_s": [10.0 * i for i in rows], "end_s": [10.0 * i + 5 for i in rows],
    }  # fmt: skip
    return Embeddings(unit(n, width, seed), rows // 2, rows % 4, [modality(i) for i in rows], **{**given, **facts})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "people"


@pytest.fixture(params=["fast", "slow"])
def gallery(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    if request.param == "slow":
        monkeypatch.setattr(public, "_index", SlowIndex)
    return Gallery.create(folder, width=WIDTH)


def test_what_is_added_is_found_in_order_and_again_after_opening(gallery: Gallery, folder: Path) -> None:
    ids = gallery.add(people(30))
    queries = people(4, seed=1, sources=())
    hits = gallery.search(queries, top=7)
    dots = queries.vectors.astype(float) @ people(30).vectors.astype(float).T
    order = np.argsort(-dots, axis=1)[:, :7]
    assert hits.ids.tolist() == [[ids[j] for j in line] for line in order]
    assert np.allclose(hits.similarity, np.take_along_axis(dots, order, 1), atol=1e-12)
    gallery.close()
    with Gallery.open(folder) as again:
        assert len(again) == 30 and again.ids() == ids
        assert again.search(queries, top=7).ids.tolist() == hits.ids.tolist()


def test_fewer_than_asked_for_are_filled_up(gallery: Gallery) -> None:
    assert gallery.search(people(2, seed=1), top=3).ids.tolist() == [["", "", ""]] * 2
    gallery.add(people(2))
    hits = gallery.search(people(1, seed=1, sources=()), top=3)
    assert hits.ids.shape == hits.similarity.shape == (1, 3)
    assert hits.ids[0, 2] == "" and np.isnan(hits.similarity[0, 2]) and np.isfinite(hits.similarity[0, :2]).all()


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"modality": "visible"}, lambda i: i % 2 == 1),
        ({"cameras": (1, 2)}, lambda i: i % 4 in (1, 2)),
        ({"between": (95, 100)}, lambda i: i in (9, 10)),
        ({"pids": [3]}, lambda i: i // 2 == 3),
        ({"pids": []}, lambda i: False),
        ({"modality": "infrared", "cameras": {0}, "between": (0.0, 41.0)}, lambda i: i in (0, 4)),
    ],
)
def test_filters_let_through_what_they_say(gallery: Gallery, filters: dict[str, object], kept: object) -> None:
    ids = gallery.add(people(20))
    hits = gallery.search(people(1, seed=1, sources=()), top=20, **filters)  # type: ignore[arg-type]
    assert set(hits.ids[0]) - {""} == {ids[i] for i in range(20) if kept(i)}  # type: ignore[operator]


def test_times_of_a_video_are_never_compared(gallery: Gallery) -> None:
    gallery.add(people(3), namespace="film", clock="video")
    ids = gallery.add(people(3, seed=2), namespace="clock")
    hits = gallery.search(people(1, seed=1, sources=()), between=(0, 1e9))
    assert set(hits.ids[0]) - {""} == set(ids)


def test_nobody_is_found_in_their_own_entry(gallery: Gallery) -> None:
    everyone = people(6)
    gallery.add(everyone, namespace="night", origin="/films/night")
    gallery.add(everyone, namespace="copy", origin="/films/night")  # twice: one more than is looked at first
    hits = gallery.search(everyone, top=12, origin="/films/night")
    for i, line in enumerate(hits.ids):
        others = [name for name in names(6) if name != everyone.sources[i]]
        assert set(line) - {""} == {f"{part}/{name}" for part in ("night", "copy") for name in others}
    elsewhere = gallery.search(everyone, top=1, origin="/films/another")  # the same names, of another film
    assert [line[0].partition("/")[2] for line in elsewhere.ids] == names(6)


def test_ids_are_names_under_a_namespace_else_new(gallery: Gallery) -> None:
    assert gallery.add(people(2), namespace="cam1") == ["cam1/entry-0000", "cam1/entry-0001"]
    assert gallery.add(people(2, seed=1), namespace="cam2") == ["cam2/entry-0000", "cam2/entry-0001"]
    assert gallery.add(people(2, seed=2, sources=()), origin=["a.npz#0", "a.npz#1"]) == ["a.npz#0", "a.npz#1"]
    new = gallery.add(people(2, seed=3, sources=()))
    assert len({*new, new_uuid()}) == 3 and len(gallery) == 8


def test_entries_hold_what_was_given(gallery: Gallery) -> None:
    ids = gallery.add(people(2), origin="/films", clock="video", notes=["left", "right"], thumbnails=[[b"jpeg"], []])
    first, second = gallery.entries(ids)
    assert (first.id, first.tracklet, first.source) == (ids[0], ids[0], "/films")
    assert (first.camera, first.modality) == (0, "infrared")
    assert (second.begin_s, second.end_s, second.clock, second.pid, second.note) == (10.0, 15.0, "video", 0, "right")
    assert first.thumbnails == (b"jpeg",) and second.thumbnails == ()
    assert [e.id for e in gallery.entries()] == ids


def test_deleting_by_id_and_by_person(gallery: Gallery) -> None:
    ids = gallery.add(people(8))
    queries = people(1, seed=1, sources=())
    assert set(gallery.search(queries, top=8).ids[0]) == set(ids)
    assert gallery.delete([ids[0]]) == 1 and gallery.delete(pid=1) == 2
    left = [*ids[1:2], *ids[4:]]
    assert gallery.ids() == left and set(gallery.search(queries, top=8).ids[0]) - {""} == set(left)
    with pytest.raises(GalleryError, match="no entry has the id 'entry-0000'"):
        gallery.delete(ids[0])
    assert gallery.delete(pid=77) == 0 and len(gallery) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (people(1, width=8), "entries must have the gallery's width, 16; got 8; embed them with the gallery's model"),
        (Embeddings(unit(1) * 2, [0], [0], "visible"), r"must have length 1, as the gallery's; row 0 has 2; divide"),
        (people(1, seed=5, meta={"model": "other"}), "entries must be of the gallery's model, mine; got other; embed"),
        (people(1, seed=5), "entries must be of the gallery's model, mine; got one without a name; embed"),
    ],
)  # fmt: skip
def test_another_width_length_or_model_is_refused_by_name(gallery: Gallery, given: Embeddings, message: str) -> None:
    gallery.add(people(2, meta={"model": "mine"}))
    with pytest.raises(GalleryError, match=message):
        gallery.add(given)
    with pytest.raises(GalleryError, match=message.replace("entries", "queries", 1)):
        gallery.search(given)
    assert len(gallery) == 2


def test_a_gallery_of_any_lengths_takes_them(folder: Path) -> None:
    with Gallery.create(folder, width=WIDTH, normalisation="none") as gallery:
        gallery.add(Embeddings(unit(3) * 2, [0, 1, 2], [0, 0, 0], "visible"))
        hits = gallery.search(Embeddings(unit(1) * 3, [0], [0], "visible"), top=1)
        assert abs(hits.similarity[0, 0] - 6) < 1e-5


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"top": 0}, "top must be a whole number from 1 to 10000; got 0"),
        ({"modality": "thermal"}, "modality must be visible or infrared; got 'thermal'"),
        ({"cameras": "12"}, "cameras must be a list of whole numbers; got '12'"),
        ({"pids": [1.0]}, "pids must be whole numbers below 2\\*\\*63; got 1.0"),
        ({"between": (0, float("nan"))}, "between must be two times in Unix seconds; got"),
        ({"between": (2, 1)}, "between must not end before it begins; got 2 to 1"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(folder: Path, question: dict[str, object], message: str) -> None:
    with Gallery.create(folder, width=WIDTH) as gallery, pytest.raises(GalleryError, match=message):
        gallery.search(people(1), **question)  # type: ignore[arg-type]


def test_notes_for_some_rows_are_refused(folder: Path) -> None:
    with Gallery.create(folder, width=WIDTH) as gallery:
        with pytest.raises(GalleryError, match="notes must be one for each of 2 embeddings, or none; got 1"):
            gallery.add(people(2), notes=["a"])
        with pytest.raises(DataError, match="pid must be"):
            gallery.add(Embeddings(unit(1), [-5], [0], "visible"))


def test_what_another_gallery_object_writes_is_in_the_next_search(gallery: Gallery, folder: Path) -> None:
    queries = people(1, seed=1, sources=())
    with Gallery.open(folder) as other:
        ids = gallery.add(people(3))
        assert set(other.search(queries, top=3).ids[0]) == set(ids)
        gallery.delete(ids[:1])
        gallery.add(people(5, seed=4), namespace="n")
        assert set(other.search(queries, top=9).ids[0]) - {""} == set(gallery.ids())


def test_an_idle_gallery_forgets_what_another_process_deletes(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.Watch.__init__, "__defaults__", (0.05,))
    ids = gallery.add(people(3))
    gallery.search(people(1, seed=1), top=1)
    code = "import sys; from duskmatch import Gallery; Gallery.open(sys.argv[1]).delete(sys.argv[2:])"
    subprocess.run([sys.executable, "-c", code, str(folder), *ids[:2]], check=True)
    until = time.monotonic() + 5
    while len(gallery._current._index) > 1 and time.monotonic() < until:  # type: ignore[arg-type]
        time.sleep(0.02)
    assert len(gallery._current._index) == 1  # type: ignore[arg-type]


def test_an_idle_gallery_finishes_an_erasure_that_a_reader_prevented(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.Watch.__init__, "__defaults__", (0.05,))
    monkeypatch.setattr(public, "_index", SlowIndex)
    with Gallery.create(folder, width=WIDTH) as gallery, Gallery.open(folder) as other:
        ids = gallery.add(people(3))
        gallery.search(people(1, seed=1), top=1)
        other._store.erasure_wait_s = 0.1  # type: ignore[attr-defined]
        with gallery._store.long_snapshot() as reader:
            assert len(reader) == 3
            with pytest.raises(ErasurePending):
                other.delete(ids[:1])
            assert other.stats().erasure_pending
        until = time.monotonic() + 5
        while other.stats().erasure_pending and time.monotonic() < until:
            time.sleep(0.02)
        assert not other.stats().erasure_pending


def test_threads_share_one(gallery: Gallery) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(4):
                ids = gallery.add(people(3, seed=10 * number + step), namespace=f"{number}-{step}")
                found = set(gallery.search(people(1, seed=99, sources=()), top=200).ids[0])
                assert set(ids) <= found
                gallery.delete(ids[:1])
                assert ids[0] not in gallery.search(people(1, seed=99, sources=()), top=200).ids
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(gallery) == 4 * 4 * 2
