"""The store in one folder of this machine: an SQLite database in WAL mode, and a lock around everything that writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from duskmatch.errors import DuskmatchError, GalleryError
from duskmatch.gallery.store import erasure, schema
from duskmatch.gallery.store.connection import connect, refusing
from duskmatch.gallery.store.place import DATABASE, LOCK_WAIT_S, check_local, locked, sweep
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.gallery.store.writing import Batch, OnDuplicate, delete_rows, insert

if TYPE_CHECKING:
    import apsw

T = TypeVar("T")


class SqliteStore:
    """A gallery's entries on this disk, for any number of threads and processes.

    One connection, used by one thread at a time. Every open finishes the erasure that a killed process left pending,
    where no reader prevents it. A thread that needs both takes the gallery's lock before its turn of the connection.

    Raises GalleryError where there is no gallery, or one that is damaged, foreign or newer.
    """

    def __init__(self, folder: Path, *, erasure_wait_s: float = erasure.WAIT_S) -> None:
        self.folder, self.name, self.erasure_wait_s = folder, str(folder), erasure_wait_s
        self._turn, self._process = threading.RLock(), os.getpid()
        if not (folder / DATABASE).is_file():
            raise GalleryError(f"{folder} is no gallery; create it with `duskmatch gallery create {folder} --width N`")
        check_local(folder)
        sweep(folder)
        with refusing(folder):
            self._db: apsw.Connection | None = connect(folder / DATABASE)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        """Checks the layout and brings an older one on, with the log in use."""
        version = schema.check(self.db, self.folder)
        if self.db.pragma("journal_mode") != "wal" or version < schema.VERSION:
            with locked(self.folder):
                self.db.execute("PRAGMA journal_mode = WAL")
                with self._transaction():
                    schema.migrate(self.db, schema.check(self.db, self.folder), self.folder)
        if erasure.pending(self.db):
            with suppress(DuskmatchError):  # others read, or write: the next open tries again
                self.erase(wait_s=1.0, lock_wait_s=1.0)

    @property
    def db(self) -> apsw.Connection:
        if self._db is None:
            raise GalleryError(f"{self.folder} is closed; open it again")
        if self._process != os.getpid():  # SQLite's locks do not follow a fork
            raise GalleryError(f"{self.folder} was opened before this process was forked; open it again here")
        return self._db

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One moment of the gallery, whatever other processes write meanwhile; this process waits for its end."""
        with self._turn, refusing(self.folder), _read(self.db) as snapshot:
            yield snapshot

    @contextmanager
    def long_snapshot(self) -> Iterator[Snapshot]:
        """As `snapshot`, on a connection of its own: other threads search and add while it lasts."""
        with refusing(self.folder):
            db = connect(self.folder / DATABASE)
            try:
                with _read(db) as snapshot:
                    yield snapshot
            finally:
                db.close()

    def add(self, batch: Batch, on_duplicate: OnDuplicate = "refuse") -> list[str]:
        """The ids of a batch that is on the disk when this returns, whole or not at all.

        Raises GalleryError where an id is there with other bytes, or the model is another.
        """
        with refusing(self.folder), locked(self.folder):
            with self._transaction():
                outcome = insert(self.db, batch, on_duplicate)
            if outcome.replaced:
                self._finish_erasure(self.erasure_wait_s)
        return outcome.ids

    def delete(self, choose: Callable[[Snapshot], list[int]]) -> int:
        """Deletes the rows that `choose` names in a snapshot that nobody else changes; their number.

        Raises ErasurePending where they are deleted and a reader keeps their bytes in the files.
        """
        with refusing(self.folder), locked(self.folder):
            with self._transaction():
                rows = choose(Snapshot(self.db))
                delete_rows(self.db, rows)
            if rows:
                self._finish_erasure(self.erasure_wait_s)
        return len(rows)

    def write(self, change: Callable[[apsw.Connection], T]) -> T:
        """What `change` returns; all that it wrote is on the disk then, or nothing. What it deleted is erased.

        Raises ErasurePending where a reader keeps the bytes of what was deleted in the files.
        """
        with refusing(self.folder), locked(self.folder):
            with self._transaction():
                outcome = change(self.db)
            if erasure.pending(self.db):
                self._finish_erasure(self.erasure_wait_s)
        return outcome

    def erase(self, wait_s: float, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Finishes the erasure of what was deleted, where it is pending; ErasurePending where readers prevent it."""
        with refusing(self.folder), locked(self.folder, lock_wait_s):
            self._finish_erasure(wait_s)

    def _finish_erasure(self, wait_s: float) -> None:
        def one_step() -> bool:  # between two, this process's own searches have their turn
            with self._turn, refusing(self.folder):
                return erasure.step(self.db)

        erasure.finish(one_step, self.name, wait_s)

    def close(self) -> None:
        """Ends the connection; the log is cut where nobody else uses the gallery."""
        with suppress(DuskmatchError), refusing(self.folder), locked(self.folder, wait_s=1.0), self._turn:
            if self._db is not None:
                erasure.cut_log(self._db)
        with self._turn:
            if self._db is not None:
                self._db.close()
            self._db = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Durable when it has ended; the caller holds the gallery's lock."""
        with self._turn:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:  # a full disk has ended it already
                    self.db.execute("ROLLBACK")
                raise


@contextmanager
def _read(db: apsw.Connection) -> Iterator[Snapshot]:
    db.execute("BEGIN")
    try:
        yield Snapshot(db)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
