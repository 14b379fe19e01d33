"""TRACKLETS: a folder of pictures with a tracklets.csv beside them, or one side of a data set.

`tracklets.csv` has the columns below; `frames` holds the pictures' names relative to the folder, in order of time,
with `/` between folders and `;` between names. Unknown people have pid -1, unknown times an empty cell.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from duskmatch import files
from duskmatch.data.dataset import Dataset
from duskmatch.data.images import READABLE, in_time_order, is_picture, pictures_in
from duskmatch.data.lists import leaves, stays
from duskmatch.data.problems import Kind, Problem, Report, others_left_out, stop_in
from duskmatch.errors import DataError, nearest
from duskmatch.records import MODALITIES, Tracklet

TABLE = "tracklets.csv"
COLUMNS = ("tracklet_id", "pid", "camid", "modality", "begin_s", "end_s", "frames")
SPLIT_COLUMN = "split"  # optional: train, test, validation or empty; with it the folder is a data set too
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what `files.escape_cell` quotes

# The sides in DATASET:side. The query side is the infrared test side, the gallery the visible one.
NAMED_TRACKLETS: dict[str, Callable[[Dataset], list[Tracklet]]] = {
    "train": lambda dataset: dataset.train,
    "query": lambda dataset: dataset.direction("infrared_to_visible").query,
    "gallery": lambda dataset: dataset.direction("infrared_to_visible").gallery,
    "validation-query": lambda dataset: dataset.direction("infrared_to_visible", "validation").query,
    "validation-gallery": lambda dataset: dataset.direction("infrared_to_visible", "validation").gallery,
}


def split_spec(spec: str) -> tuple[Path, str | None]:
    """(folder, None) for a folder of tracklets, (data set, side) for DATASET:side."""
    folder = Path(spec).expanduser()
    head, colon, side = spec.rpartition(":")
    # C:data is a Windows folder, x:query a side of the data set x
    drive = len(head) < 2 and side not in NAMED_TRACKLETS
    if folder.is_dir() or not colon or "/" in side or os.sep in side or drive or not head:
        return folder, None
    if side not in NAMED_TRACKLETS:
        hint = nearest(side, NAMED_TRACKLETS, prefix=f"{head}:")
        raise DataError(
            f"{spec}: the word after the colon must be one of {', '.join(NAMED_TRACKLETS)}; got {side!r}{hint}"
        )
    return Path(head).expanduser(), side


def loose_pictures(spec: str) -> tuple[Path, ...]:
    """A picture, or the pictures in a folder without a table, in order of time; none if `spec` names anything else.

    They are taken as one tracklet of an unknown person.
    """
    place = Path(spec).expanduser()
    if place.is_file():
        return (place,) if is_picture(place.name, READABLE) else ()
    names = () if (place / TABLE).exists() else in_time_order(pictures_in(place, READABLE))
    return tuple(place / name for name in names)


def has_splits(folder: Path) -> bool:
    """True if the table's first line has the column `split`."""
    with (folder / TABLE).open("rb") as file:
        header = file.readline(2**16).decode("utf-8-sig", errors="replace")
    return SPLIT_COLUMN in next(csv.reader(header.splitlines()[:1]), [])


def read_table(folder: Path, report: Report) -> Iterator[tuple[int, str, Tracklet]]:
    """(line, split or nothing, tracklet) of each good row; `folder` must be resolved."""
    seen: dict[str, int] = {}
    inside = _Inside(folder)
    outside: list[tuple[int, str]] = []
    for line, cells in _rows(folder, report):
        names = [name for name in cells["frames"].split(";") if name]
        leaving = {name for name in names if not (stays(name) and inside.holds(folder / name))}
        staying = [name for name in names if name not in leaving]
        outside += [(line, name) for name in names if name in leaving]
        if names and not staying:
            continue
        try:
            tracklet = _tracklet(folder, cells, staying)
        except _BrokenRow as broken:
            report(Problem(broken.kind, TABLE, line, broken.text))
            continue
        if (before := seen.setdefault(tracklet.tracklet_id, line)) != line:
            text = f"each tracklet_id must be there once; {tracklet.tracklet_id!r} is in line {before} too"
            report(Problem("duplicate", TABLE, line, text))
        else:
            yield line, cells.get(SPLIT_COLUMN, "").strip(), tracklet
    if outside:  # one report for all: if a folder is a link, every row leads out
        line, name = outside[0]
        text = f"pictures must lie inside the folder of {TABLE}; got {name!r}; copy it there"
        report(Problem("outside", TABLE, line, f"{text}{others_left_out(len(outside) - 1, 'picture')}"))


def open_folder(folder: Path, report: Report | None = None) -> dict[int, Tracklet]:
    """The tracklets of a folder that holds a tracklets.csv, by their line in it."""
    if not folder.is_dir():
        rule = f"must be a folder with a {TABLE}, or DATASET:query and the like"
        raise DataError(f"{folder} {rule}; there is no such folder; check the path")
    root = folder.resolve()
    if not (root / TABLE).is_file():
        sign = any((root / name).exists() for name in ("info/test_name.txt", "test_name.txt", "exp", "idx", "test"))
        sides = f"a data set is given as {folder}:query, {folder}:gallery or {folder}:train"
        raise DataError(f"{folder} must hold a {TABLE}; found none; {sides if sign else 'check the path'}")
    return {line: tracklet for line, _, tracklet in read_table(root, report or stop_in(root))}


def write_tracklets(folder: str | Path, tracklets: Sequence[Tracklet], splits: Sequence[str] | None = None) -> Path:
    """Writes tracklets.csv, whole or not at all, and returns its path.

    `splits`, a word for each tracklet (train, test, validation or nothing), makes the folder a data set too. Each
    picture must lie inside `folder`. Write the pictures first: the table is what makes a folder TRACKLETS.
    """
    root = Path(folder).resolve()
    inside = _Inside(root)
    rows = [_row(root, tracklet, inside) for tracklet in tracklets]
    ids = {row["tracklet_id"] for row in rows}
    if len(ids) != len(rows):
        text = f"each tracklet_id must be there once; {len(rows)} tracklets share {len(ids)} of them"
        raise DataError(f"{root / TABLE}: {text}")
    if splits is None:
        files.write_csv(root / TABLE, rows, COLUMNS)
    else:
        rows = [{**row, SPLIT_COLUMN: split} for row, split in zip(rows, splits, strict=True)]
        files.write_csv(root / TABLE, rows, (*COLUMNS, SPLIT_COLUMN))
    return root / TABLE


def _row(root: Path, tracklet: Tracklet, inside: _Inside) -> dict[str, object]:
    name = tracklet.tracklet_id
    if not name or name[0] == "'" or name != name.strip() or not name.isprintable():
        raise DataError(f"tracklet_id must be printable, not empty, without a quote or space at its ends; got {name!r}")
    if twice := _twice(tracklet.frames):
        raise DataError(f"tracklet {name}: each picture must be there once; {twice} is there twice; remove one")
    cells = []
    for frame in tracklet.frames:
        path = frame.parent.resolve() / frame.name  # the folder may be reached by a link or from the working folder
        if not inside.holds(path):
            raise DataError(f"tracklet {name}: its pictures must lie inside {root}; got {frame}; copy them there")
        cells.append(Path(os.path.relpath(path, root)).as_posix())
    if any(";" in cell or "\n" in cell or cell != cell.strip() for cell in cells):
        raise DataError(f"tracklet {name}: names of pictures must have no semicolon, line break or space at their ends")
    return {
        "tracklet_id": name,
        "pid": tracklet.pid,
        "camid": tracklet.camid,
        "modality": tracklet.modality,
        "begin_s": "" if tracklet.begin_s is None else repr(float(tracklet.begin_s)),
        "end_s": "" if tracklet.end_s is None else repr(float(tracklet.end_s)),
        "frames": ";".join(cells),
    }


def _rows(folder: Path, report: Report) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells) of each row that has the table's columns."""
    text = (folder / TABLE).read_bytes().decode("utf-8-sig", errors="replace")
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # an hour's track lists 36,000 pictures in one cell
    reader = csv.reader(io.StringIO(text, newline=""))
    n_rows = 0
    try:
        header = next(reader, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            rule = f"the first line must name the columns {', '.join(COLUMNS)}"
            report(Problem("malformed", TABLE, 1, f"{rule}; {', '.join(missing)} not found"))
            return
        if twice := next((column for column in (*COLUMNS, SPLIT_COLUMN) if header.count(column) > 1), None):
            text = f"each column must be there once; {twice} is there {header.count(twice)} times; remove one"
            report(Problem("duplicate", TABLE, 1, text))
            return
        for cells in reader:
            n_rows += 1
            if len(cells) != len(header):
                text = f"a row must have {len(header)} cells, one for each column; got {len(cells)}"
                report(Problem("malformed", TABLE, reader.line_num, text))
            else:
                yield reader.line_num, dict(zip(header, map(_unescape, cells), strict=True))
        if not n_rows:
            text = "the table must have rows below the names of its columns; it has none; add a row for each tracklet"
            report(Problem("missing", TABLE, 1, text))
    except csv.Error as error:
        report(Problem("malformed", TABLE, reader.line_num, f"the table must be CSV; {error}"))
    finally:
        csv.field_size_limit(limit)


class _BrokenRow(Exception):
    def __init__(self, text: str, kind: Kind = "malformed") -> None:
        self.kind: Kind = kind
        self.text = text


def _tracklet(folder: Path, cells: dict[str, str], names: list[str]) -> Tracklet:
    if not cells["tracklet_id"].strip():
        raise _BrokenRow("tracklet_id must not be empty")
    pid, camid = (_whole(name, cells) for name in ("pid", "camid"))
    begin_s, end_s = (_seconds(name, cells) for name in ("begin_s", "end_s"))
    if begin_s is not None and end_s is not None and end_s < begin_s:
        raise _BrokenRow(f"end_s must not be before begin_s; got {begin_s} to {end_s}")
    modality = next((m for m in MODALITIES if m == cells["modality"]), None)
    if modality is None:
        raise _BrokenRow(f"modality must be visible or infrared; got {cells['modality']!r}")
    if not names:
        raise _BrokenRow("frames must name at least one picture")
    frames = tuple(folder / name for name in names)
    if twice := _twice(frames):
        raise _BrokenRow(
            f"each picture must be in a tracklet once; {twice.name} is there twice; remove one", "duplicate"
        )
    return Tracklet(frames, pid, camid, modality, cells["tracklet_id"], begin_s, end_s)


def _twice(frames: Sequence[Path]) -> Path | None:
    """The first picture that occurs twice."""
    seen: set[Path] = set()
    return next((frame for frame in frames if frame in seen or seen.add(frame)), None)  # type: ignore[func-returns-value]


class _Inside:
    """Tells whether paths lie inside a resolved folder, links followed; each parent folder is checked once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: dict[Path, bool] = {}

    def holds(self, path: Path) -> bool:
        if path.parent not in self.folders:
            self.folders[path.parent] = not leaves(self.root, os.fspath(path.parent))
        plain = path.name != ".." and not path.is_symlink()
        return self.folders[path.parent] and (plain or not leaves(self.root, os.fspath(path)))


def _unescape(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA and len(cell) > 1 else cell


def _whole(name: str, cells: dict[str, str]) -> int:
    if not re.fullmatch(r"-?\d{1,18}", cells[name].strip(), re.ASCII):
        raise _BrokenRow(f"{name} must be a whole number (-1: unknown); got {cells[name]!r}")
    if int(cells[name]) < -1:
        raise _BrokenRow(f"{name} must be -1 (unknown), 0 or more; got {cells[name].strip()}")
    return int(cells[name])


def _seconds(name: str, cells: dict[str, str]) -> float | None:
    if not cells[name].strip():
        return None
    try:
        seconds = float(cells[name])
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise _BrokenRow(f"{name} must be seconds or empty; got {cells[name]!r}")
    return seconds
