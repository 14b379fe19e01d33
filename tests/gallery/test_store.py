"""The store in one process: what is added is there, whole, and what is not a gallery is refused in one line."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from duskmatch.errors import DuskmatchError, GalleryError, OutputError
from duskmatch.gallery import place
from duskmatch.gallery.making import create
from duskmatch.gallery.reading import Snapshot, State
from duskmatch.gallery.store import SqliteStore
from duskmatch.gallery.writing import Batch
from tests.gallery.making import WIDTH, batch, entry, names, unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "people", WIDTH)
    return tmp_path / "people"


@pytest.fixture
def store(folder: Path) -> SqliteStore:
    return SqliteStore(folder)


def everything(store: SqliteStore) -> tuple[list[str], State]:
    with store.snapshot() as snapshot:
        return snapshot.ids(), snapshot.state()


def test_what_was_added_is_there_when_opened_again(store: SqliteStore, folder: Path) -> None:
    given = batch(names(3), begin_s=1.5, end_s=2.5, pid=7, source="s", thumbnails=(b"one", b"two"))
    assert store.add(given) == names(3)
    store.close()
    with SqliteStore(folder).snapshot() as snapshot:
        rows = snapshot.rows_of(names(3))
        vectors, ids = snapshot.vectors(np.array(rows))
        found = snapshot.entries(rows)
    assert ids == names(3) and np.array_equal(vectors, given.vectors)
    assert [replace(e, added_s=0.0) for e in found] == [replace(e, model="m") for e in given.entries]
    assert all(e.added_s > 1e9 for e in found)


def test_files_are_for_their_owner_alone(store: SqliteStore, folder: Path) -> None:
    store.add(batch(names(1)))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} >= {"gallery.sqlite", "gallery.sqlite-wal", "gallery.lock"}


def test_the_same_bytes_are_skipped_and_others_refused_skipped_or_replaced(store: SqliteStore) -> None:
    first = batch(names(2))
    store.add(first)
    assert store.add(first) == names(2)
    assert everything(store) == (names(2), State(2, 0))
    other = batch([names(2)[1], "new"], seed=1)
    with pytest.raises(GalleryError, match="holds another entry with the id 'entry-0001'; pass a namespace"):
        store.add(other)
    assert everything(store) == (names(2), State(2, 0))  # nothing of the batch
    store.add(other, "skip")
    assert everything(store) == ([*names(2), "new"], State(3, 0))
    store.add(other, "replace")
    assert everything(store) == (["entry-0000", "new", "entry-0001"], State(4, 1))
    with store.snapshot() as snapshot:
        assert np.array_equal(snapshot.vectors(np.array([4]))[0], other.vectors[:1])


def test_one_id_twice_in_a_batch_is_refused_unless_both_are_the_same(store: SqliteStore) -> None:
    twin = Batch([entry("a"), entry("a")], np.repeat(unit(1), 2, axis=0))
    assert store.add(twin) == ["a", "a"]
    assert everything(store)[0] == ["a"]
    with pytest.raises(GalleryError, match="two entries of one batch have the id 'b'"):
        store.add(Batch([entry("b"), entry("b")], unit(2)))
    assert everything(store)[0] == ["a"]


def test_another_model_is_refused_by_name(store: SqliteStore) -> None:
    store.add(batch(["a"], model="paper-12"))
    with pytest.raises(GalleryError, match="must be of the gallery's model, paper-12; got tiny-34; embed"):
        store.add(batch(["b"], model="tiny-34"))
    assert everything(store)[0] == ["a"]


def test_a_deleted_row_is_never_used_again(store: SqliteStore) -> None:
    store.add(batch(["a", "b"]))
    assert store.delete(lambda snapshot: snapshot.rows_of(["b"])) == 1
    store.add(batch(["b"], seed=2))
    assert everything(store) == (["a", "b"], State(3, 1))
    with store.snapshot() as snapshot:
        assert snapshot.deleted_after(0) == [2] and snapshot.rows() == [1, 3]


def test_ids_that_are_not_there_delete_nothing(store: SqliteStore) -> None:
    store.add(batch(["a"]))
    with pytest.raises(GalleryError, match="no entry has the id 'x' and 1 more; list the ids"):
        store.delete(lambda snapshot: snapshot.rows_of(["a", "x", "y"]))
    assert everything(store)[0] == ["a"]


def test_a_snapshot_does_not_see_what_is_written_meanwhile(store: SqliteStore, folder: Path) -> None:
    other = SqliteStore(folder)
    store.add(batch(["a"]))
    with store.snapshot() as snapshot:
        assert len(snapshot) == 1
        other.add(batch(["b"], seed=1))
        assert len(snapshot) == 1
    assert everything(store)[0] == ["a", "b"]


def test_a_gallery_is_made_once(folder: Path) -> None:
    with pytest.raises(OutputError, match="already exists"):
        create(folder, WIDTH)


@pytest.mark.parametrize(("width", "normalisation"), [(0, "unit"), (70000, "unit"), (True, "unit"), (4, "l2")])
def test_impossible_galleries_are_refused_and_leave_nothing(tmp_path: Path, width: int, normalisation: str) -> None:
    with pytest.raises(GalleryError, match="must be"):
        create(tmp_path / "g", width, normalisation=normalisation)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_while_it_made_a_gallery_goes(folder: Path) -> None:
    part = folder.with_name(".people.123.4.part")
    part.mkdir()
    (part / "gallery.sqlite").write_bytes(b"vectors")
    SqliteStore(folder).close()
    assert not part.exists()


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "file_system", lambda _: "nfs4")
    with pytest.raises(GalleryError, match="lies on a network file system \\(nfs4\\), which has no reliable locks"):
        SqliteStore(folder)
    with pytest.raises(GalleryError, match="network file system"):
        create(folder.with_name("other"), WIDTH)


def test_the_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
        f"30 22 0:1 / {tmp_path}/share\\040one rw,relatime shared:9 master:1 - nfs4 host:/x rw\n"
        f"31 30 0:2 / {tmp_path}/share\\040one/deep rw - xfs /dev/sdb rw\n"
    )
    assert place.file_system(tmp_path / "share", table) == "ext4"
    assert place.file_system(tmp_path / "share one" / "gallery", table) == "nfs4"
    assert place.file_system(tmp_path / "share one" / "deep" / "gallery", table) == "xfs"
    assert place.file_system(tmp_path, tmp_path / "none") == ""


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")


def newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")


def triggered(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "is no gallery; create it with `duskmatch gallery create"),
        (lambda path: (path.unlink(), foreign(path)), "is no gallery's database; name the folder of one, or create it"),
        (newer, "has layout 3; this duskmatch reads up to 2; use the duskmatch that wrote it"),
        (triggered, r"has other tables than a gallery \(t\); restore a backup"),
        (lambda path: path.write_bytes(b"no database" * 1000), "is damaged or no gallery"),
        (lambda path: path.write_bytes(b""), "is no gallery's database"),
        (lambda path: path.write_bytes(path.read_bytes()[:20000]), "is damaged or no gallery"),
    ],
)
def test_what_is_no_gallery_of_ours_is_refused_in_one_line(folder: Path, spoil: object, message: str) -> None:
    spoil(folder / "gallery.sqlite")  # type: ignore[operator]
    with pytest.raises(DuskmatchError, match=message) as refused:
        SqliteStore(folder)
    assert "\n" not in str(refused.value)


def test_processes_that_open_it_at_once_wait_for_each_other(folder: Path) -> None:
    """The first of them may hold the database alone for a moment."""
    failed: list[Exception] = []

    def open_it(number: int) -> None:
        try:
            store = SqliteStore(folder)
            store.add(batch([f"{number}"], seed=number))
            store.close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(everything(SqliteStore(folder))[0]) == 6


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    store.close()
    with pytest.raises(GalleryError, match="is closed; open it again"):
        store.add(batch(["a"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_must_open_it_again(store: SqliteStore) -> None:
    child = os.fork()
    if not child:
        try:
            store.add(batch(["a"]))
        except GalleryError as error:
            os._exit(0 if "was opened before this process was forked; open it again here" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.add(batch(["a"])) == ["a"]


def test_without_apsw_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apsw", None)
    with pytest.raises(GalleryError, match=r"a gallery needs apsw: pip install 'duskmatch\[gallery\]'"):
        SqliteStore(folder)


def test_an_sqlite_with_the_wal_reset_bug_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlitelibversion", lambda: "3.51.2")
    with pytest.raises(GalleryError, match=r"needs SQLite 3\.51\.3 or newer; apsw has 3\.51\.2"):
        SqliteStore(folder)


def test_a_failed_transaction_leaves_the_store_usable(store: SqliteStore) -> None:
    def fail(_: Snapshot) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.delete(fail)
    assert store.add(batch(["a"])) == ["a"]
