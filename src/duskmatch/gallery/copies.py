"""Backups, restored galleries and copies: each is whole or not there, and holds nothing of what was deleted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from duskmatch.errors import DuskmatchError, GalleryError, OutputError
from duskmatch.files import check_file, write_whole
from duskmatch.gallery.store.connection import connect, new_file, refusing
from duskmatch.gallery.store.place import DATABASE, staged
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.verify import verify


def backup(folder: Path, file: Path, *, overwrite: bool = False) -> None:
    """Writes one moment of a gallery into one file, which only its owner can read; others may write meanwhile.

    Raises OutputError where FILE is there, or lies in the gallery itself.
    """
    if file.exists() and not overwrite:
        raise OutputError(f"{file} exists; choose another FILE or pass --overwrite")
    if file.resolve().parent == folder.resolve():
        raise OutputError(f"{file} must not lie in the gallery; choose another folder, better another disk")
    check_file(file)
    write_whole(file, lambda temporary: _write_compact(folder, temporary))


def restore(folder: Path, file: Path) -> int:
    """Makes a gallery out of a backup, every entry verified, and says how many it holds.

    Raises GalleryError where FILE is no backup or is damaged, OutputError where the folder is there.
    """
    if not file.is_file():
        raise GalleryError(f"{file} is no file; name one that `duskmatch gallery backup` wrote")
    with staged(folder) as part:
        new_file(part / DATABASE)
        shutil.copyfile(file, part / DATABASE)
        try:
            store = SqliteStore(part)
            try:
                with store.snapshot() as snapshot:
                    verdict = verify(snapshot)
            finally:
                store.close()
        except DuskmatchError as error:
            raise GalleryError(str(error).replace(str(part), str(file))) from error
        if not verdict.whole:
            raise GalleryError(f"{file} is damaged: {verdict.problems[0]}; restore an older backup")
    return verdict.n_entries


def copy(folder: Path, target: Path) -> None:
    """Makes another gallery of the same entries; what was deleted from this one is not in it."""
    with staged(target) as part:
        _write_compact(folder, part / DATABASE)
        SqliteStore(part).close()  # with its log in use


def _write_compact(folder: Path, file: Path) -> None:
    """One snapshot of a gallery's database as a new file without free pages.

    Source: sqlite.org, VACUUM INTO; the file may be there where it is empty.
    """
    new_file(file)
    with refusing(folder):
        db = connect(folder / DATABASE)
        try:
            db.execute("VACUUM INTO ?", (os.fspath(file),))
        finally:
            db.close()
