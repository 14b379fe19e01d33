"""Creating an empty gallery, and the protocol of the stores that keep entries."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from duskmatch.errors import GalleryError
from duskmatch.gallery.store import erasure, schema
from duskmatch.gallery.store.connection import connect, new_file, refusing
from duskmatch.gallery.store.place import DATABASE, LOCK_WAIT_S, staged
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.gallery.store.writing import Batch, OnDuplicate

if TYPE_CHECKING:
    import apsw

T = TypeVar("T")
LARGEST_WIDTH = 65536
NORMALISATIONS = ("unit", "none")  # unit: every vector has length 1, and similarity is the cosine


class GalleryStore(Protocol):
    """The methods that `Gallery` needs of a store."""

    name: str

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...
    def long_snapshot(self) -> AbstractContextManager[Snapshot]: ...
    def add(self, batch: Batch, on_duplicate: OnDuplicate = "refuse") -> list[str]: ...
    def delete(self, choose: Callable[[Snapshot], list[int]]) -> int: ...
    def write(self, change: Callable[[apsw.Connection], T]) -> T: ...
    def erase(self, wait_s: float, lock_wait_s: float = LOCK_WAIT_S) -> None: ...
    def close(self) -> None: ...


def create(folder: Path, width: int, *, model: str | None = None, normalisation: str = "unit") -> None:
    """An empty gallery in a folder that is not there yet.

    Raises GalleryError for an impossible width and on a network file system, OutputError where the folder is there.
    """
    if type(width) is not int or not 1 <= width <= LARGEST_WIDTH:
        raise GalleryError(f"a gallery's width must be a whole number from 1 to {LARGEST_WIDTH}; got {width!r}")
    if normalisation not in NORMALISATIONS:
        raise GalleryError(f"normalisation must be {' or '.join(NORMALISATIONS)}; got {normalisation!r}")
    with staged(folder) as part:
        initialise(part, width, model, normalisation)


def initialise(folder: Path, width: int, model: str | None, normalisation: str) -> None:
    """An empty gallery's database in a folder without one."""
    new_file(folder / DATABASE)
    with refusing(folder):
        db = connect(folder / DATABASE)
        db.execute(f"PRAGMA page_size = {schema.PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")  # now, while nobody else has it open
        db.execute("BEGIN IMMEDIATE")
        schema.create(db)
        db.execute("INSERT INTO gallery VALUES (1, ?, ?, ?, ?, 0)", (width, normalisation, model, time.time()))
        db.execute("COMMIT")
        erasure.cut_log(db)
        db.close()
