"""Two processes that write and one that reads, for as long as is asked, and what each of them saw."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from duskmatch.errors import ErasurePending
from duskmatch.gallery.store.making import create
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.verify import verify
from tests.gallery.making import WIDTH, batch, names

N = 20
Account = dict[str, Any]


def run(place: Path, seconds: float) -> Account:
    """The counts; `lost`, `half_batches`, `deleted_seen` and `problems` must be 0."""
    folder = place / "people"
    create(folder, WIDTH)
    until = time.monotonic() + seconds
    pipes = [
        _started(lambda: _write(folder, place, "one", until)),
        _started(lambda: _write(folder, place, "two", until)),
        _started(lambda: _read(folder, place, until)),
    ]
    one, two, reader = (_ended(*pipe) for pipe in pipes)
    expected = {id for writer in (one, two) for name in writer["alive"] for id in names(N, name)}
    store = SqliteStore(folder)
    with store.snapshot() as snapshot:
        found, problems = set(snapshot.ids()), [*verify(snapshot).problems]
        problems += ["erasure is pending after an open"] if snapshot.facts.erasure_pending else []
    store.close()
    return {
        "seconds": seconds,
        "added": N * (one["adds"] + two["adds"]),
        "deleted": N * (one["deletions"] + two["deletions"]),
        "erasure_was_pending": one["pending"] + two["pending"],
        "snapshots": reader["snapshots"],
        "lost": len(expected - found),
        "not_deleted": len(found - expected),
        "half_batches": reader["half_batches"],
        "deleted_seen": reader["deleted_seen"],
        "problems": len(problems),
    }


def _write(folder: Path, place: Path, name: str, until: float) -> Account:
    """Adds batch after batch and deletes every third; what is deleted is written down when it is acknowledged."""
    store, alive, deletions, number, pending = SqliteStore(folder), list[str](), 0, 0, 0
    with (place / f"deleted-{name}").open("a") as deleted:
        while time.monotonic() < until:
            store.add(batch(names(N, f"{name}{number:06d}"), seed=number))
            alive.append(f"{name}{number:06d}")
            number += 1
            if number % 3 == 0:
                gone = alive.pop(0)
                try:
                    store.delete(lambda snapshot, gone=gone: snapshot.rows_of(names(N, gone)))
                except ErasurePending:  # a slow machine: the reader was longer at it than a deletion waits
                    pending += 1
                deleted.write(f"{gone}\n")
                deleted.flush()
                deletions += 1
    store.close()
    return {"alive": alive, "adds": number, "deletions": deletions, "pending": pending}


def _read(folder: Path, place: Path, until: float) -> Account:
    """Takes snapshots; each must hold whole batches, and none whose deletion was acknowledged before it began."""
    store, snapshots, half, seen = SqliteStore(folder), 0, 0, 0
    while time.monotonic() < until:
        files = [path for name in ("one", "two") if (path := place / f"deleted-{name}").exists()]
        gone = {line for path in files for line in path.read_text().split("\n")[:-1]}
        with store.snapshot() as snapshot:
            ids = snapshot.ids()
        counts: dict[str, int] = {}
        for id in ids:
            counts[id.rpartition("-")[0]] = counts.get(id.rpartition("-")[0], 0) + 1
        half += sum(count != N for count in counts.values())
        seen += len(gone & set(counts))
        snapshots += 1
    store.close()
    return {"snapshots": snapshots, "half_batches": half, "deleted_seen": seen}


def _started(work: Callable[[], Account]) -> tuple[int, int]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            text = json.dumps(work())
        except BaseException as error:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        with open(write, "wb") as pipe:  # noqa: PTH123
            pipe.write(text.encode())
        os._exit(0)
    os.close(write)
    return child, read


def _ended(child: int, read: int) -> Account:
    with open(read, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    account = dict(json.loads(text))
    assert "error" not in account, account["error"]
    return account
