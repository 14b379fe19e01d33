"""A disk that is full or read-only: one line, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duskmatch.errors import DuskmatchError
from duskmatch.gallery.copies import backup, copy
from duskmatch.gallery.store.making import create
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.verify import verify
from tests.gallery.making import WIDTH, batch, names


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tiny disk needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def filled(store: SqliteStore) -> tuple[list[str], str]:
    """Adds until the disk refuses: what was acknowledged, and the refusal."""
    acknowledged: list[str] = []
    for number in range(500):
        try:
            acknowledged += store.add(batch(names(10, f"b{number:03d}"), seed=number, thumbnails=(bytes(3000),)))
        except DuskmatchError as error:
            return acknowledged, str(error)
    raise AssertionError("the disk was never full")


def test_a_full_disk_refuses_in_one_line_and_keeps_what_was_acknowledged(disk: Path) -> None:
    folder = disk / "people"
    create(folder, WIDTH)
    (disk / "filler").write_bytes(bytes(700_000))
    store = SqliteStore(folder)
    acknowledged, message = filled(store)
    assert "the disk is full" in message and "free some space there, then run the command again" in message
    assert "\n" not in message
    with store.snapshot() as snapshot:
        assert snapshot.ids() == acknowledged and verify(snapshot).whole
    (disk / "filler").unlink()
    assert store.add(batch(["new"], seed=999)) == ["new"]
    assert store.delete(lambda snapshot: snapshot.rows_of(["new"])) == 1
    store.close()
    with SqliteStore(folder).snapshot() as snapshot:
        assert snapshot.ids() == acknowledged and verify(snapshot).whole


def test_copies_and_backups_on_a_full_disk_leave_nothing(disk: Path) -> None:
    create(disk / "people", WIDTH)
    store = SqliteStore(disk / "people")
    filled(store)
    for work in (lambda: copy(disk / "people", disk / "other"), lambda: backup(disk / "people", disk / "kept")):
        with pytest.raises(DuskmatchError, match="the disk is full"):
            work()
    assert [path.name for path in disk.iterdir()] == ["people"]
    store.close()


def test_the_command_line_says_one_line_of_a_full_disk(disk: Path) -> None:
    """SQLite gets over some refused writes by itself; those print no traceback either."""
    with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - 4096)  # room for a lock, not for the tables
    words = [sys.executable, "-m", "duskmatch", "gallery", "create", str(disk / "people"), "--width", "64"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "the disk is full" in done.stderr and done.stderr.count("\n") == 1


def test_a_read_only_disk_is_refused_in_one_line(disk: Path) -> None:
    create(disk / "people", WIDTH)
    store = SqliteStore(disk / "people")
    store.add(batch(["a"]))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(DuskmatchError, match="read-only") as refused:
        SqliteStore(disk / "people").add(batch(["b"], seed=1))
    assert "\n" not in str(refused.value)
    with pytest.raises(DuskmatchError, match="read-only"):
        create(disk / "other", WIDTH)
