"""A gallery's store: entries added durably, and a gallery opened, each beside what a user would write first.

A million entries are made once, in a temporary folder of their own (2.3 GB); files are in the system's cache.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.embedding import PLACE
from benchmarks.harness import MIB, Goal, Numbers, Work, meter
from benchmarks.searching import BATCH, N_CAMERAS, N_PEOPLE, ROWS, TOP, WIDTH, Floats, vectors

ADDED = 50_000


def place() -> Path:
    PLACE.mkdir(parents=True, exist_ok=True)
    return PLACE


def batches(n_rows: int) -> Iterator[Any]:
    """Embeddings of BATCH tracklets each, named by their number, from a hundred cameras."""
    from duskmatch.records import Embeddings

    rng = np.random.default_rng(0)
    for start in range(0, n_rows, BATCH):
        numbers = np.arange(start, min(start + BATCH, n_rows))
        yield Embeddings(
            vectors=vectors(rng, rng.integers(0, N_PEOPLE, len(numbers))),
            pids=np.full(len(numbers), -1),
            camids=rng.integers(0, N_CAMERAS, len(numbers)),
            modality="visible" if start // BATCH % 2 else "infrared",
            sources=tuple(f"tracklet {number:07d}" for number in numbers),
        )


def made(n_rows: int) -> Path:
    """A gallery of so many entries."""
    import duskmatch

    folder, part = place() / f"gallery_{n_rows}", place() / f"gallery_{n_rows}_part_{os.getpid()}"
    if not folder.is_dir():
        with duskmatch.Gallery.create(part, width=WIDTH) as gallery:
            for batch in batches(n_rows):
                gallery.add(batch)
        part.rename(folder)
    return folder


def made_array(n_rows: int) -> Path:
    """The same vectors in numpy's own file."""
    path = place() / f"vectors_{n_rows}.npy"
    if not path.is_file():
        part = path.with_suffix(f".{os.getpid()}.npy")
        rows = np.lib.format.open_memmap(part, "w+", np.float32, (n_rows, WIDTH))
        for start, batch in zip(range(0, n_rows, BATCH), batches(n_rows), strict=True):
            rows[start : start + BATCH] = batch.vectors
        rows.flush()
        part.rename(path)
    return path


def add_ours() -> Numbers:
    import duskmatch

    given = list(batches(ADDED))
    with (
        tempfile.TemporaryDirectory(dir=place()) as folder,
        duskmatch.Gallery.create(f"{folder}/g", width=WIDTH) as gallery,
    ):
        with meter(ADDED) as numbers:
            for batch in given:
                gallery.add(batch)
        assert len(gallery) == ADDED
    return numbers


def add_plain() -> Numbers:
    """Python's own SQLite, a table, one transaction a batch that is on the disk when it returns."""
    given = list(batches(ADDED))
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        connection = sqlite3.connect(f"{folder}/g.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE people (id TEXT PRIMARY KEY, camera, modality, pid, vector BLOB)")
        with meter(ADDED) as numbers:
            for batch in given:
                rows = zip(
                    batch.sources,
                    batch.camids.tolist(),
                    batch.modalities,
                    batch.pids.tolist(),
                    map(bytes, batch.vectors),
                    strict=True,
                )
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
                connection.execute("COMMIT")
        connection.close()
    return numbers


def asked(n: int) -> Floats:
    return vectors(np.random.default_rng(2), np.arange(n))


def question() -> Any:
    from duskmatch.records import Embeddings

    return Embeddings(asked(1), np.array([-1]), np.array([0]), "visible")


def open_ours(n_rows: int) -> Numbers:
    """From the folder to the first answer, in a program that has searched another gallery before."""
    import duskmatch

    folder, small, query = made(n_rows), made(10), question()
    with duskmatch.Gallery.open(small) as gallery:
        gallery.search(query, top=TOP)
    with meter() as numbers, duskmatch.Gallery.open(folder) as gallery:
        gallery.search(query, top=TOP)
    return numbers


def open_plain(n_rows: int) -> Numbers:
    """numpy reads its own file whole and multiplies."""
    path, query = made_array(n_rows), asked(1)
    with meter() as numbers:
        rows = np.load(path)
        np.argpartition(-(rows @ query[0]), min(TOP, n_rows - 1))[:TOP]
    return numbers


def opening(n_rows: int, goal: Goal) -> Work:
    return Work(
        f"gallery_opening_{n_rows}",
        f"a gallery of {n_rows:,} x {WIDTH} opened and searched once",
        "galleries",
        partial(open_ours, n_rows),
        partial(open_plain, n_rows),
        "duskmatch, one byte a number in memory",
        "`numpy.load` of fp32 and one product",
        goal,
    )


WORKS = [
    Work(
        "gallery_adding",
        f"{ADDED:,} entries of {WIDTH} added in batches of {BATCH:,}, each on the disk when it returns",
        "entries",
        add_ours,
        add_plain,
        "duskmatch",
        "Python's own SQLite, one table, nothing checked",
        Goal("at least 10,000 entries/s", rate=10_000),
    ),
    opening(ROWS, Goal("at most 20 s and 0.8 GB of memory", rate=1 / 20, peak_mib=0.8e9 / MIB)),
    opening(1000, Goal("at most 0.1 s", rate=10)),
]
