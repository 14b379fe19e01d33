"""Deletion that deletes: no byte of a deleted entry is left in any file, and readers delay it without hiding it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from duskmatch.errors import ErasurePending
from duskmatch.gallery.store.making import create
from duskmatch.gallery.store.store import SqliteStore
from tests.gallery.making import WIDTH, all_bytes, batch, names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "people", WIDTH)
    return tmp_path / "people"


def traces(folder: Path, name: str, vector: np.ndarray, picture: bytes) -> list[bool]:
    """Whether a gallery's files hold the entry's id, note, picture and any eight numbers of its vector."""
    data, raw = all_bytes(folder), vector.astype("<f4").tobytes()
    texts = [name.encode(), f"note of {name}".encode(), picture]
    return [*(text in data for text in texts), any(raw[at : at + 32] in data for at in range(0, len(raw), 32))]


def picture(name: str) -> bytes:
    return f"picture of {name} ".encode() * 3000  # 50 kB or more: pages of its own


def fill(store: SqliteStore, n: int) -> np.ndarray:
    """n entries in one batch, each with a picture."""
    given = batch(names(n))
    entries = [replace(entry, thumbnails=(picture(entry.id),)) for entry in given.entries]
    store.add(replace(given, entries=entries))
    return given.vectors


def test_no_byte_of_a_deleted_entry_is_left_and_all_of_a_kept_one_are(folder: Path) -> None:
    store = SqliteStore(folder)
    vectors = fill(store, 40)
    gone = list(range(1, 40, 3))
    assert store.delete(lambda snapshot: snapshot.rows_of([names(40)[i] for i in gone])) == len(gone)
    store.close()
    for i in range(40):
        found = traces(folder, names(40)[i], vectors[i], picture(names(40)[i])[:4000])
        assert found == [i not in gone] * 4, names(40)[i]  # the kept ones are the positive control


def test_the_bytes_are_in_the_files_while_a_reader_prevents_erasure(folder: Path) -> None:
    """Without the checkpoint they would stay: this is what the test above would see."""
    store, reader = SqliteStore(folder, erasure_wait_s=0.2), SqliteStore(folder)
    vectors = fill(store, 3)
    with reader.snapshot() as snapshot:
        assert len(snapshot) == 3
        with pytest.raises(ErasurePending, match="erasure pending: the entries are deleted and no search finds them"):
            store.delete(lambda snapshot: snapshot.rows()[:1])
        with store.snapshot() as now:
            assert len(now) == 2 and now.facts.erasure_pending
        data = subprocess.run(["cat", *map(str, sorted(folder.iterdir()))], capture_output=True, check=True).stdout
        assert vectors[0].tobytes() in data and names(3)[0].encode() in data
    store.close()
    reader.close()
    SqliteStore(folder).close()  # every open finishes it
    assert not any(traces(folder, names(3)[0], vectors[0], picture(names(3)[0])[:4000]))
    assert all(traces(folder, names(3)[1], vectors[1], picture(names(3)[1])[:4000]))
    with SqliteStore(folder).snapshot() as after:
        assert not after.facts.erasure_pending


def test_a_deletion_waits_for_a_reader_that_ends_in_time(folder: Path) -> None:
    store, reader = SqliteStore(folder), SqliteStore(folder)
    fill(store, 2)
    begun, end = threading.Event(), threading.Event()

    def read() -> None:
        with reader.snapshot() as snapshot:
            len(snapshot)
            begun.set()
            end.wait(5)

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(5)
    threading.Timer(0.3, end.set).start()
    assert store.delete(lambda snapshot: snapshot.rows()[:1]) == 1
    assert end.is_set()
    thread.join()
    with store.snapshot() as snapshot:
        assert not snapshot.facts.erasure_pending


def test_a_replaced_entry_leaves_no_byte_either(folder: Path) -> None:
    store = SqliteStore(folder)
    vectors = fill(store, 2)
    store.add(batch(names(1), seed=9), "replace")
    store.close()
    assert vectors[0].tobytes() not in all_bytes(folder) and vectors[1].tobytes() in all_bytes(folder)


KILLED = """
import os, sys
from pathlib import Path
from duskmatch.gallery.store import erasure, store
erasure.step = lambda db: os.kill(os.getpid(), 9)
store.SqliteStore(Path(sys.argv[1])).delete(lambda snapshot: snapshot.rows()[:1])
"""


def test_an_open_finishes_what_a_killed_deletion_left(folder: Path) -> None:
    store = SqliteStore(folder)
    vectors = fill(store, 2)
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], env=os.environ, check=False)
    assert killed.returncode == -9
    assert vectors[0].tobytes() in all_bytes(folder)  # the mark is committed, the log is not cut
    SqliteStore(folder).close()
    assert vectors[0].tobytes() not in all_bytes(folder) and vectors[1].tobytes() in all_bytes(folder)
