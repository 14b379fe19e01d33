"""Verification, backups, restored galleries, copies, retention, one person's entries, new vectors."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import apsw
import numpy as np
import pytest

from duskmatch.data import write_tracklets
from duskmatch.errors import DuskmatchError, GalleryError, OutputError
from duskmatch.evaluation import load_embeddings
from duskmatch.gallery import Gallery
from duskmatch.records import Embeddings, Tracklet
from tests.gallery.making import WIDTH, all_bytes, names, unit

DIFFERS = "is not what was stored"


def people(n: int, seed: int = 0, **facts: object) -> Embeddings:
    given = {"sources": names(n), "begin_s": [100.0 * i for i in range(n)], **facts}
    return Embeddings(unit(n, seed=seed), np.arange(n) // 2, np.arange(n) % 3, "visible", **given)  # type: ignore[arg-type]


def picture(i: int) -> bytes:
    return f"\xff{i}".encode("latin1") * 9000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "people", width=WIDTH) as gallery:
        gallery.add(
            people(6), notes=names(6, "note"), thumbnails=[[f"\xff{i}".encode("latin1") * 9000] for i in range(6)]
        )
    return tmp_path / "people"


def content(gallery: Gallery) -> list[object]:
    with gallery._store.snapshot() as snapshot:
        vectors, _ = snapshot.vectors(np.array(snapshot.rows()))
    return [gallery.entries(), vectors.tolist()]


def changed(folder: Path, statement: str, *values: object) -> None:
    """What no duskmatch would do to its database."""
    db = apsw.Connection(str(folder / "gallery.sqlite"))
    db.execute(statement, values)  # type: ignore[arg-type]
    db.close()


def test_a_whole_gallery_is_whole(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        assert (gallery.verify().n_entries, gallery.verify().problems) == (6, ())


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE entries SET camera = 2 WHERE row = 1", f"entry 'entry-0000' (row 1) {DIFFERS}: its checksum differs"),
        ("UPDATE entries SET pid = -7 WHERE row = 2", "row 2: entry 'entry-0001': pid must be a whole number"),
        ("UPDATE vectors SET vector = zeroblob(64) WHERE row = 3", "entry 'entry-0002' (row 3) is not what was stored"),
        ("UPDATE thumbnails SET picture = x'00' WHERE row = 4", "entry 'entry-0003' (row 4) is not what was stored"),
        ("UPDATE entries SET added_s = 0 WHERE row = 5", "entry 'entry-0004' (row 5) is not what was stored"),
        ("DELETE FROM vectors WHERE row = 6", "6 entries have 5 vectors"),
        ("INSERT INTO thumbnails VALUES (99, 0, x'00')", "1 pictures belong to no entry"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_stored_is_named(folder: Path, statement: str, problem: str) -> None:
    changed(folder, statement)
    with Gallery.open(folder) as gallery:
        verdict = gallery.verify()
    assert not verdict.whole and any(found.startswith(problem) for found in verdict.problems), verdict.problems


def test_a_vector_of_another_width_is_refused_by_a_search(folder: Path) -> None:
    changed(folder, "UPDATE vectors SET vector = x'00' WHERE row = 3")
    with Gallery.open(folder) as gallery, pytest.raises(GalleryError, match="a vector has another width"):
        gallery.search(people(1))


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
def test_a_corrupt_page_is_one_line_and_the_rest_of_the_file_is_left_alone(folder: Path, page: int) -> None:
    path = folder / "gallery.sqlite"
    whole = path.read_bytes()
    spoilt = whole[: page * 16384 - 16384] + b"\xa5" * 16384 + whole[page * 16384 :]
    path.write_bytes(spoilt)
    try:
        with Gallery.open(folder) as gallery:
            problems: tuple[str, ...] = gallery.verify().problems
    except DuskmatchError as error:
        problems = (str(error),)
    assert problems and not any("\n" in problem for problem in problems)
    kept = path.read_bytes()
    assert kept[page * 16384 :] == whole[page * 16384 :] and len(kept) == len(whole)


def test_a_backup_is_one_private_file_and_comes_back_whole(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.delete(["entry-0002"])
        gallery.backup(tmp_path / "kept.backup")
        before = content(gallery)
        gallery.delete(["entry-0000"])
    assert stat.S_IMODE((tmp_path / "kept.backup").stat().st_mode) == 0o600
    with Gallery.restore(tmp_path / "again", tmp_path / "kept.backup") as again:
        assert content(again) == before and again.verify().whole
        assert again.add(people(1, seed=8), namespace="new") == ["new/entry-0000"]
        assert again.search(people(1, seed=9, sources=()), top=9).ids[0].tolist().count("") == 3
    assert stat.S_IMODE((tmp_path / "again").stat().st_mode) == 0o700
    assert not list(tmp_path.glob(".*"))


def test_backups_do_not_replace_files_unasked_nor_lie_in_the_gallery(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    with Gallery.open(folder) as gallery:
        with pytest.raises(OutputError, match="exists; choose another FILE or pass --overwrite"):
            gallery.backup(tmp_path / "mine")
        with pytest.raises(OutputError, match="must not lie in the gallery"):
            gallery.backup(folder / "backup")
        gallery.backup(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine").read_bytes().startswith(b"SQLite format 3")


def another_note(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"note-0003", b"note-0004"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "kept is no file; name one that `duskmatch gallery backup` wrote"),
        (lambda path: path.write_bytes(b"something else"), "kept is damaged or no gallery: file is not a database"),
        (another_note, "kept is damaged: entry 'entry-0003'"),
        (lambda path: path.write_bytes(path.read_bytes()[:-16384]), "kept is damaged"),
    ],
)  # fmt: skip
def test_a_backup_that_is_none_or_damaged_is_refused_and_leaves_nothing(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    with Gallery.open(folder) as gallery:
        gallery.backup(tmp_path / "kept")
    spoil(tmp_path / "kept")
    with pytest.raises(GalleryError, match=message):
        Gallery.restore(tmp_path / "again", tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "kept") == ["people"]


def test_nothing_is_restored_or_copied_over_a_gallery(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.backup(tmp_path / "kept")
        for refused in (lambda: gallery.copy(folder), lambda: Gallery.restore(folder, tmp_path / "kept")):
            with pytest.raises(OutputError, match="already exists"):
                refused()


def test_a_copy_has_the_same_entries_and_nothing_that_was_deleted(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery:
        vector = np.array(content(gallery)[1][1], "<f4").tobytes()  # type: ignore[index]
        gallery.delete(["entry-0001"])
        gallery.copy(tmp_path / "other").close()
        before = content(gallery)
    with Gallery.open(tmp_path / "other") as other:
        assert content(other) == before
    data = all_bytes(tmp_path / "other")
    assert vector not in data and b"note-0001" not in data and b"note-0002" in data


def test_entries_expire_by_when_they_were_last_seen_else_by_when_they_were_added(folder: Path) -> None:
    now, day = time.time(), 86400.0
    with Gallery.open(folder) as gallery:
        gallery.add(
            people(3, seed=1, begin_s=[now - 3 * day] * 3, end_s=[now - day, now - 3 * day, now]), namespace="seen"
        )
        gallery.add(people(2, seed=2, begin_s=[1.0, 2.0]), namespace="film", clock="video")
        gallery.add(people(2, seed=3, begin_s=()), namespace="untimed")
        assert gallery.expire(2 * day) == 7  # the six of 1970, and seen/entry-0001
        assert gallery.ids() == [
            "seen/entry-0000", "seen/entry-0002", "film/entry-0000", "film/entry-0001",
            "untimed/entry-0000", "untimed/entry-0001",
        ]  # fmt: skip
        assert gallery.expire(2 * day) == 0
        time.sleep(0.01)
        assert gallery.expire(0) == 6 and len(gallery) == 0
        with pytest.raises(GalleryError, match="older_than_s must be 0 seconds or more; got nan"):
            gallery.expire(float("nan"))


def test_everything_of_one_person_is_written(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery:
        assert gallery.export_person(1, tmp_path / "out") == 2
        with pytest.raises(GalleryError, match="no entry is of person 9"):
            gallery.export_person(9, tmp_path / "none")
        vectors = content(gallery)[1]
    entries = json.loads((tmp_path / "out" / "entries.json").read_text())
    assert [entry["id"] for entry in entries] == ["entry-0002", "entry-0003"] and entries[0]["note"] == "note-0002"
    assert (tmp_path / "out" / entries[0]["thumbnails"][0]).read_bytes() == picture(2)
    found = load_embeddings(tmp_path / "out" / "embeddings.safetensors")
    assert found.vectors.tolist() == vectors[2:4] and found.pids.tolist() == [1, 1]  # type: ignore[index]
    assert list(found.sources) == ["entry-0002", "entry-0003"] and found.begin_s == [200.0, 300.0]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700 and not (tmp_path / "none").exists()


def test_stats_count_everything(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.add(replace(people(1, seed=4), pids=np.array([-1])), clock="video", namespace="film")
        found = gallery.stats()
    assert (found.n_entries, found.width, found.by_modality) == (7, WIDTH, {"visible": 7})
    assert found.by_camera == {0: 3, 1: 2, 2: 2} and (found.n_people, found.n_unknown_people) == (3, 1)
    assert (found.first_s, found.last_s, found.n_without_time_of_day) == (0.0, 500.0, 1)
    assert found.bytes_on_disk > 7 * 64 and not found.erasure_pending


class Doubled:
    """An embedder whose vectors are twice as wide; of tracklets whose picture is gone it reads none."""

    header: ClassVar = {"model": "doubled"}

    def embed_rows(self, tracklets: list[Tracklet]) -> object:
        from duskmatch.embedding.embedder import Account, Rows

        rows = [i for i, tracklet in enumerate(tracklets) if tracklet.frames[0].exists()]
        return Rows(np.array(rows, np.int64), unit(len(rows), 2 * WIDTH), Account())


def test_new_vectors_are_made_of_the_pictures_that_are_still_there(tmp_path: Path) -> None:
    night = tmp_path / "night"
    night.mkdir()
    pictures = [night / f"{name}.jpg" for name in names(4)]
    for picture in pictures:
        picture.write_bytes(b"jpeg")
    write_tracklets(night, [Tracklet((picture,), -1, 2, "infrared", picture.stem) for picture in pictures[:3]])
    with Gallery.create(tmp_path / "people", width=WIDTH) as gallery:
        gallery.add(people(4), origin=str(night), namespace="night", notes=names(4, "note"))
        gallery.add(people(1, seed=1), origin=str(tmp_path / "gone"), namespace="gone")
        gallery.add(people(1, seed=2), namespace="nowhere")
        pictures[1].unlink()
        outcome = gallery.reembed(tmp_path / "new", Doubled())  # type: ignore[arg-type]
    assert outcome.n_entries == 2 and set(outcome.missing) == {
        "night/entry-0001", "night/entry-0003", "gone/entry-0000", "nowhere/entry-0000",
    }  # fmt: skip
    assert outcome.missing["night/entry-0003"] == f"{night} has no tracklet entry-0003"
    assert "there is no such folder" in outcome.missing["gone/entry-0000"]
    with Gallery.open(tmp_path / "new") as new:
        assert new.ids() == ["night/entry-0000", "night/entry-0002"] and new.facts.width == 2 * WIDTH
        assert new.facts.model == "doubled" and new.entries()[1].note == "note-0002" and new.verify().whole


def test_a_gallery_of_which_no_picture_is_left_is_not_made_anew(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery, pytest.raises(GalleryError, match="no entry's pictures are there any more"):
        gallery.reembed(tmp_path / "new", Doubled())  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".*"))
