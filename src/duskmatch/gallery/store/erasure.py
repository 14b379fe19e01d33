"""Erasure: the bytes of deleted entries leave every file of the gallery.

A deletion overwrites its bytes in the database (secure_delete), but the write-ahead log still holds pages as they were.
They are gone once the log was copied into the database and cut to nothing, which a reader that began earlier prevents,
without an exception: SQLite answers "busy". So a deletion commits a mark, and the mark goes when the log is cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from duskmatch.errors import DuskmatchError, ErasurePending, GalleryError
from duskmatch.gallery.store.connection import BUSY_MS, one

if TYPE_CHECKING:
    import apsw

WAIT_S = 10.0
PAUSE_S = 0.05


def mark(db: apsw.Connection) -> None:
    """Marks erasure as pending; the caller holds the transaction that deletes."""
    db.execute("UPDATE gallery SET erasure_pending = 1")


def pending(db: apsw.Connection) -> bool:
    return bool(db.execute("SELECT erasure_pending FROM gallery").get)


def step(db: apsw.Connection) -> bool:
    """Cuts the log if something is left to erase, and takes the mark away; True if nothing is left.

    The caller holds the gallery's lock and no transaction. False if a reader that began earlier prevents it.
    """
    if not pending(db):
        return True
    if not cut_log(db):
        return False
    db.execute("UPDATE gallery SET erasure_pending = 0")
    return True


def finish(one_step: Callable[[], bool], name: str, wait_s: float) -> None:
    """Steps until nothing is left to erase; ErasurePending where readers or the disk prevent it for `wait_s`."""
    until = time.monotonic() + wait_s
    try:
        while not one_step():
            if time.monotonic() > until:
                raise GalleryError("a process that reads the gallery keeps their bytes in its files")
            time.sleep(PAUSE_S)
    except DuskmatchError as error:
        raise ErasurePending(
            f"{name}: erasure pending: the entries are deleted and no search finds them, but {error}; "
            "the next open of the gallery erases them"
        ) from error


def cut_log(db: apsw.Connection) -> bool:
    """Copies the log into the database, syncs it and cuts the log to nothing; False if a reader prevents it."""
    db.set_busy_timeout(0)
    try:
        busy, _, _ = one(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.set_busy_timeout(BUSY_MS)
    return not busy
