"""Power loss: what strace saw is replayed without the writes after each last fsync, and what was acknowledged is there.

A SIGKILL leaves the system's memory as it was, so it says nothing about this.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.verify import verify
from tests.gallery.making import names, unit
from tests.gallery.power import STRACE, Call, Disk, calls

WORK = """
import os, sys
from pathlib import Path
from duskmatch.gallery.store.making import create
from duskmatch.gallery.store.store import SqliteStore
from tests.gallery.making import batch, names

def say(text):
    os.write(2, f"DONE {text}\\n".encode())

folder = Path(sys.argv[1]) / "people"
create(folder, 16)
say("create")
store = SqliteStore(folder)
for n in range(3):
    store.add(batch(names(4, f"b{n}"), seed=n, thumbnails=(b"p" * 40000,)))
    say(f"add b{n}")
store.delete(lambda snapshot: snapshot.rows_of(names(4, "b1")))
say("delete b1")
store.add(batch(names(4, "b3"), seed=3))
say("add b3")
"""
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BATCHES = [f"b{n}" for n in range(4)]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """The folder that the work was done in, and its system calls in order."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (apt install strace)")
    root = tmp_path_factory.mktemp("traced").resolve()
    log = tmp_path_factory.mktemp("log") / "log"
    command = [*STRACE, str(log), sys.executable, "-c", WORK, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if not log.is_file() or b"ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr.decode()
    return root, list(calls(log))


def said(call: Call) -> str:
    """What the work said was done, or nothing."""
    text = call.texts[0] if call.name == "write" and call.texts else b""
    return text.decode()[5:].strip() if text.startswith(b"DONE ") else ""


def crash_points(trace: list[Call]) -> set[int]:
    """Behind each fsync and acknowledgement, and before it."""
    telling = ("fsync", "fdatasync", "ftruncate", "rename")
    ends = [i for i, call in enumerate(trace) if call.name in telling or said(call)]
    return {place for i in ends for place in (i, i + 1)}


def check(place: Path, acknowledged: list[str]) -> None:
    """What was acknowledged is there or gone, each batch whole or not there, no deleted byte left after an open."""
    if not (place / "people").exists():
        assert acknowledged == []
        assert not place.exists() or all(path.name.endswith(".part") for path in place.iterdir())
        return
    store = SqliteStore(place / "people")
    with store.snapshot() as snapshot:
        ids, deleted = set(snapshot.ids()), snapshot.deleted_after(0)
        assert verify(snapshot).whole and not snapshot.facts.erasure_pending
    store.close()
    for batch in BATCHES:
        there = {id for id in ids if id.startswith(batch)}
        assert len(there) in (0, 4), (batch, there)
        if f"add {batch}" in acknowledged and batch != "b1":
            assert len(there) == 4, (batch, acknowledged)
    if "delete b1" in acknowledged:
        assert not ids & set(names(4, "b1"))
    if deleted:
        data = b"".join(path.read_bytes() for path in (place / "people").iterdir())
        assert not any(vector.tobytes() in data for vector in unit(4, seed=1)) and b"note of b1" not in data
        assert unit(4, seed=0)[2].tobytes() in data  # the positive control


@pytest.mark.parametrize("some", [False, True], ids=["nothing unsynced", "some of it"])
def test_what_was_acknowledged_survives_a_loss_of_power_at_any_moment(
    traced: tuple[Path, list[Call]], tmp_path: Path, some: bool
) -> None:
    root, trace = traced
    disk, acknowledged, points = Disk(root), list[str](), crash_points(trace)
    for i, call in enumerate(trace):
        if i in points:
            place = tmp_path / str(i)
            disk.write_to(place, random.Random(i) if some else None)
            check(place, acknowledged)
            shutil.rmtree(place)
        disk.do(call)
        if text := said(call):
            acknowledged.append(text)
    assert acknowledged == ["create", "add b0", "add b1", "add b2", "delete b1", "add b3"]
    assert len(points) > 20


def test_the_replay_loses_what_was_not_synced(traced: tuple[Path, list[Call]], tmp_path: Path) -> None:
    """Without the log's fsync calls an acknowledged entry is gone: the test above can fail."""
    root, trace = traced
    disk = Disk(root)
    last = next(i for i, call in enumerate(trace) if said(call) == "add b0")
    for call in trace[: last + 1]:
        if not (call.name == "fdatasync" and call.files[0].endswith("-wal")):
            disk.do(call)
    disk.write_to(tmp_path / "lost")
    with pytest.raises(AssertionError):
        check(tmp_path / "lost", ["create", "add b0"])
