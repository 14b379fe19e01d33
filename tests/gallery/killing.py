"""Work on a gallery in a process that is killed, and what must be true of the gallery afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from duskmatch.gallery.copies import backup, copy, restore
from duskmatch.gallery.retention import seen_before
from duskmatch.gallery.store.making import create
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.verify import verify
from tests.gallery.making import WIDTH, all_bytes, batch, names, unit

N = 20  # entries of a batch
Say = Callable[..., None]
KINDS = ("add", "delete", "expire", "copy", "restore", "recovery")


@dataclass
class Counts:
    """What a series of kills did to the gallery; all but the first must be 0."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    acknowledged_adds: int = 0
    acknowledged_deletions: int = 0
    cut_short: int = 0  # kills that hit an operation before it was acknowledged
    lost: int = 0
    half_batches: int = 0
    deleted_found: int = 0
    deleted_bytes_found: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.half_batches or self.deleted_found or self.deleted_bytes_found or self.broken)


class Gallery:
    """A gallery in `place`, and what is known of it from what killed processes had acknowledged."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.folder, self.draw = place, place / "people", random.Random(seed)
        self.alive: set[str] = set()  # batches that were acknowledged
        self.gone: set[str] = set()  # batches whose deletion was acknowledged or seen
        self.next, self.counts = 0, Counts()
        create(self.folder, WIDTH)
        self._add(3)

    def kill(self, kind: str) -> None:
        """One process that works and is killed at a moment that nobody chooses, and the check of what it left."""
        while len(self.alive) < 4:
            self._add(4)
        if kind == "restore":
            backup(self.folder, self.place / "kept", overwrite=True)
        if kind == "recovery":  # of what a killed writer left
            self._killed(_adding)
        said = self._killed(WORKS[kind])
        self.counts.kills[kind] += 1
        self.counts.cut_short += bool(said) and said[-1][0] == "begin"
        self._check(said)

    def _add(self, n: int) -> None:
        store = SqliteStore(self.folder)
        for _ in range(n):
            store.add(_batch(self.next))
            self.alive.add(_name(self.next))
            self.next += 1
        store.close()

    def _killed(self, work: Callable[[Path, int, Say], None]) -> list[list[str]]:
        """What a child said before it was killed."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            _work(work, self.folder, self.next, read, write)
        os.close(write)
        with open(read, "rb") as pipe:  # noqa: PTH123
            first = pipe.readline()
            time.sleep(self.draw.uniform(0, self.draw.choice((0.02, 0.1, 0.5))))
            os.kill(child, signal.SIGKILL)
            lines = [first, *pipe]
        os.waitpid(child, 0)
        said = [json.loads(line) for line in lines if line.endswith(b"\n")]
        for line in said:
            self.next = max(self.next, int(line[2][1:]) + 1) if line[1] == "add" else self.next
            self._note(line)
        return said

    def _note(self, line: list[str]) -> None:
        """Takes an acknowledgement into account."""
        done, what, *batches = line
        if done == "broken":
            self.counts.broken.append(" ".join(line[1:]))
        elif done == "done" and what == "add":
            self.alive.update(batches)
            self.counts.acknowledged_adds += N * len(batches)
        elif done == "done" and what == "delete":
            self.alive.difference_update(batches)
            self.gone.update(batches)
            self.counts.acknowledged_deletions += N * len(batches)

    def _check(self, said: list[list[str]]) -> None:
        store = SqliteStore(self.folder)
        with store.snapshot() as snapshot:
            ids = set(snapshot.ids())
            self.counts.broken += verify(snapshot).problems
            if snapshot.facts.erasure_pending:
                self.counts.broken.append("erasure is pending after an open")
        store.close()
        found = {id.rpartition("-")[0] for id in ids}
        self.counts.half_batches += sum(len(ids & set(names(N, name))) != N for name in found)
        self.counts.deleted_found += len(found & self.gone)
        open_deletion = {name for line in said if line[:2] == ["begin", "delete"] for name in line[2:]}
        self.counts.lost += N * len(self.alive - found - open_deletion)
        self.gone |= open_deletion - found
        self.alive = found
        self._check_bytes()
        self._check_copies(ids)

    def _check_bytes(self) -> None:
        data = all_bytes(self.folder)
        for name in self.gone:
            self.counts.deleted_bytes_found += _is_in(name, data)
        if not all(_is_in(name, data) for name in self.alive):
            self.counts.broken.append("the positive control: a kept entry's bytes were not found")

    def _check_copies(self, ids: set[str]) -> None:
        """A copy or restored gallery is whole or not there."""
        for target in self.place.glob("target-*"):
            store = SqliteStore(target)
            with store.snapshot() as snapshot:
                self.counts.half_batches += set(snapshot.ids()) != ids
                self.counts.broken += verify(snapshot).problems
            store.close()
            shutil.rmtree(target)
        for part in self.place.glob(".*.part"):
            shutil.rmtree(part)


def _name(number: int) -> str:
    return f"b{number:05d}"


def _batch(number: int) -> object:
    return batch(names(N, _name(number)), seed=number, end_s=float(number), begin_s=0.0)


def _is_in(name: str, data: bytes) -> int:
    """How many of a batch's entries have their note or the first half of their vector in the data."""
    vectors = unit(N, seed=int(name[1:]))
    return sum(
        f"note of {id}".encode() in data or vector.tobytes()[: 2 * WIDTH] in data
        for id, vector in zip(names(N, name), vectors, strict=True)
    )


def _work(work: Callable[[Path, int, Say], None], folder: Path, first: int, read: int, write: int) -> None:
    """The child: works until it is killed; says each beginning and end."""
    os.close(read)

    def say(*words: str) -> None:
        os.write(write, json.dumps(words).encode() + b"\n")

    with contextlib.suppress(BrokenPipeError):
        try:
            work(folder, first, say)
        except BaseException as error:
            say("broken", f"{type(error).__name__}: {error}")
    os._exit(0)


def _adding(folder: Path, first: int, say: Say) -> None:
    store = SqliteStore(folder)
    for number in range(first, first + 10_000):
        say("begin", "add", _name(number))
        store.add(_batch(number))
        say("done", "add", _name(number))


def _deleting(folder: Path, first: int, say: Say) -> None:
    store = SqliteStore(folder)
    with store.snapshot() as snapshot:
        found = sorted({id.rpartition("-")[0] for id in snapshot.ids()})
    for name in found:
        say("begin", "delete", name)
        store.delete(lambda snapshot, name=name: snapshot.rows_of(names(N, name)))
        say("done", "delete", name)
    time.sleep(10)


def _expiring(folder: Path, first: int, say: Say) -> None:
    store = SqliteStore(folder)
    with store.snapshot() as snapshot:
        found = sorted({id.rpartition("-")[0] for id in snapshot.ids()})
    for name in found:
        say("begin", "delete", name)
        store.delete(lambda snapshot, name=name: seen_before(snapshot, int(name[1:]) + 0.5))
        say("done", "delete", name)
    time.sleep(10)


def _copying(folder: Path, first: int, say: Say) -> None:
    for number in range(20):
        say("begin", "copy")
        copy(folder, folder.with_name(f"target-{number}"))
        say("done", "copy")
    time.sleep(10)


def _restoring(folder: Path, first: int, say: Say) -> None:
    for number in range(20):
        say("begin", "restore")
        restore(folder.with_name(f"target-{number}"), folder.with_name("kept"))
        say("done", "restore")
    time.sleep(10)


def _recovering(folder: Path, first: int, say: Say) -> None:
    say("begin", "recovery")
    SqliteStore(folder).close()
    say("done", "recovery")
    time.sleep(10)


WORKS: dict[str, Callable[[Path, int, Say], None]] = {
    "add": _adding, "delete": _deleting, "expire": _expiring, "copy": _copying, "restore": _restoring,
    "recovery": _recovering,
}  # fmt: skip
