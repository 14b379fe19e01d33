"""Connections to a gallery's database, set so that what is committed stays and what is deleted goes; SQLite's errors.

Only apsw's SQLite may open the file: Python's own module in the same process would drop its locks (sqlite.org,
"How To Corrupt An SQLite Database File", 2.2), and may have the WAL-reset bug.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import GalleryError
from duskmatch.files import refusal

if TYPE_CHECKING:
    import apsw

SAFE_SQLITE = (3, 51, 3)  # the first without the WAL-reset bug
BUSY_MS = 5000
FULL_BELOW = 1 << 16  # bytes free below which an error of the disk is a full one
AGAIN = "run the command again; nothing of it was kept"
SETTINGS = (
    ("synchronous", "FULL"),
    ("secure_delete", "ON"),
    ("temp_store", "MEMORY"),
    ("mmap_size", "0"),
    ("cell_size_check", "ON"),
    ("trusted_schema", "OFF"),
)


def sqlite() -> type[apsw.Connection]:
    """apsw's connection; GalleryError where apsw is missing or too old."""
    try:
        import apsw
    except ImportError as error:
        raise GalleryError("a gallery needs apsw: pip install 'duskmatch[gallery]'") from error
    if tuple(map(int, apsw.sqlitelibversion().split("."))) < SAFE_SQLITE:
        raise GalleryError(
            f"a gallery needs SQLite 3.51.3 or newer; apsw has {apsw.sqlitelibversion()}: pip install -U apsw"
        )
    return apsw.Connection


def connect(path: Path) -> apsw.Connection:
    """A connection to a database that is there."""
    connection = sqlite()
    import apsw

    from duskmatch.gallery.store import clean

    clean.disk()
    db = connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=clean.NAME)
    db.set_busy_timeout(BUSY_MS)  # before the first statement, which another process may keep waiting
    db.execute(f"PRAGMA max_page_count = {clean.MOST_PAGES}")
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # a checkpoint needs the gallery's lock
    for name, value in SETTINGS:
        db.execute(f"PRAGMA {name} = {value}")
    return db


def one(db: apsw.Connection, query: str, *values: apsw.SQLiteValue) -> tuple[Any, ...]:
    """The only row of a query; GalleryError where there is none."""
    row = db.execute(query, values).fetchone()
    if row is None:
        raise GalleryError(f"the gallery's database lacks a row ({query.split(' WHERE')[0]}); restore a backup")
    return tuple(row)


def new_file(path: Path) -> None:
    """An empty file that its owner alone reads; SQLite gives its -wal and -shm the same mode."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.close(handle)


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """SQLite's errors as duskmatch's, in one line each; GalleryError where apsw is missing."""
    sqlite()
    import apsw

    try:
        yield
    except apsw.FullError as error:
        raise refusal(folder, OSError(errno.ENOSPC, ""), AGAIN) from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise refusal(folder, OSError(errno.EROFS, "")) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise GalleryError(damage(folder, error)) from error
    except (apsw.BusyError, apsw.LockedError, apsw.ProtocolError) as error:
        raise GalleryError(f"{folder} is in use by another process; try again when it is done") from error
    except (apsw.IOError, apsw.CantOpenError) as error:
        raise _disk_error(folder, error) from error
    except apsw.Error as error:
        raise GalleryError(f"{folder}: the database refuses: {error}; run `duskmatch gallery verify`") from error


def damaged() -> tuple[type[Exception], ...]:
    """SQLite's errors about a file whose bytes are not what was written."""
    import apsw

    return apsw.CorruptError, apsw.NotADBError


def damage(folder: Path, error: Exception) -> str:
    """The message about a file that SQLite cannot read as a database."""
    return f"{folder} is damaged or no gallery: {error}; restore a backup with `duskmatch gallery restore`"


def _disk_error(folder: Path, error: Exception) -> Exception:
    """A full disk, which SQLite reports as a failed write where a file of its own had to grow, or what else failed."""
    try:
        full = shutil.disk_usage(folder).free < FULL_BELOW
        writable = os.access(folder, os.W_OK)
    except OSError:
        return GalleryError(f"{folder} cannot be read or is no longer there ({error}); check the path and the disk")
    if full:
        return refusal(folder, OSError(errno.ENOSPC, ""), AGAIN)
    if not writable:
        return refusal(folder, OSError(errno.EROFS, ""))
    return GalleryError(f"{folder}: the disk refuses: {error}; check it, then restore a backup")
