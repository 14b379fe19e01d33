"""Writes to a gallery's database without the remains of cells that SQLite has moved.

With `secure_delete` SQLite overwrites a deleted cell, but not the copy that stays behind where it moved a cell to
another page to balance its tree: the copy lies between the page's cells and outlives the deletion of the cell itself.
Nothing reads those bytes. So they are overwritten with zeros in each page on its way into the database file, whose
pages are thereby clean at all times; the log is cut after each deletion. apsw is loaded with this module.
"""

from __future__ import annotations

import logging
import struct
import sys
from collections.abc import Callable
from functools import cache, partial
from types import CodeType, TracebackType
from typing import Any

import apsw

log = logging.getLogger("duskmatch")

NAME = "duskmatch"
HEADER_BYTES = 100  # of the file, at the beginning of its first page
INTERIOR, LEAF = (2, 5), (10, 13)  # kinds of pages with cells
# Other kinds of pages begin with a page number, whose first byte is 0 below this many pages (256 GiB of 16 KiB).
MOST_PAGES = 1 << 24


def without_remains(page: bytes, offset: int) -> bytes:
    """The page with zeros between its list of cells and the first cell.

    Source: sqlite.org, Database File Format, 1.6: the kind at 0, the number of cells at 3, where they begin at 5.
    """
    head = HEADER_BYTES if offset == 0 else 0
    if len(page) < 512 or page[head] not in (*INTERIOR, *LEAF):
        return page
    n_cells, begin = struct.unpack_from(">HH", page, head + 3)
    begin = begin or 65536
    end = head + (8 if page[head] in LEAF else 12) + 2 * n_cells
    if end >= begin or begin > len(page) or page.count(0, end, begin) == begin - end:
        return page
    return page[:end] + bytes(begin - end) + page[begin:]


class CleanFile(apsw.VFSFile):
    """A database file, written without remains."""

    def __init__(self, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(without_remains(bytes(data), offset), offset)


class CleanDisk(apsw.VFS):
    """The system's own files, but for databases."""

    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return CleanFile(name, flags)
        return apsw.VFSFile("", name, flags)


@cache
def disk() -> CleanDisk:
    """The only one of this process, which apsw knows by NAME for as long as it is held."""
    sys.unraisablehook = partial(_not_raised, sys.unraisablehook)
    return CleanDisk()


def _not_raised(otherwise: Callable[[Any], object], what: Any) -> None:
    """Passes on what Python cannot raise, but for writes that the disk refused and that SQLite got over by itself.

    A full disk lets a checkpoint fail after a commit that is safe in the log: nobody has to see a traceback of it.
    """
    if isinstance(what.exc_value, apsw.Error) and _last_function(what.exc_traceback) is CleanFile.xWrite.__code__:
        log.debug("a write was refused, and the database went on without it: %s", what.exc_value)
    else:
        otherwise(what)


def _last_function(trace: TracebackType | None) -> CodeType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame.f_code
