"""HITSZ-VCM's layout on disk: splits of tracks, the places of their pictures, and links that lead out.

A picture lies at `<pid>/<ir or rgb>/D<camera>/<frame>.jpg`, flat or below `Train/` and `Test/`: all tracks of one
person, modality and camera share a folder. The info files lie in `info/` or at the root.

Source: docs/datasets.md, "HITSZ-VCM's layout".
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from duskmatch.data.lists import Name, Row, leaves, names_in, read_names, read_query, read_rows, relative
from duskmatch.data.problems import Problem, Report, others_left_out
from duskmatch.errors import DataError
from duskmatch.records import Modality, Tracklet

Split = Literal["train", "validation", "test", "auxiliary"]  # auxiliary: people seen by one camera only, to train on

MIN_FRAMES = 12  # shorter tracks are left out of training and test. Source: `min_seq_len` of MITML's loader


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The info files of one split, and the folder of its pictures if the archives are unpacked separately."""

    names: str
    rows: str
    query: str | None
    folder: str


FILES: dict[Split, SplitFiles] = {
    "train": SplitFiles("train_name.txt", "track_train_info.txt", None, "Train"),
    "test": SplitFiles("test_name.txt", "track_test_info.txt", "query_IDX.txt", "Test"),
    # Not in HITSZ-VCM: Duskwalk's validation people.
    "validation": SplitFiles("val_name.txt", "track_val_info.txt", "val_query_IDX.txt", "Validation"),
}


class Place(NamedTuple):
    """The file, relative to the root, that names a tracklet, and its line if the file is a list."""

    file: str
    line: int | None
    lines: Sequence[int] = ()  # of its pictures, if each has its own

    def of_picture(self, index: int) -> tuple[str, int | None]:
        """The file and the line that name one of its pictures."""
        return self.file, self.lines[index] if self.lines else self.line


@dataclass
class SplitRows:
    """One split as read from disk: every readable track in row order, short ones included.

    Readers of other layouts number the tracks themselves; `lists` are the files that were read for the split.
    """

    base: Path
    tracklets: dict[int, Tracklet] = field(default_factory=dict)  # row number -> its tracklet
    query: list[int] = field(default_factory=list)  # row numbers, in the order of the query list
    places: dict[int, Place] = field(default_factory=dict)  # row number -> where its first picture is named
    n_names: int = 0
    min_frames: int = MIN_FRAMES
    lists: list[Path] = field(default_factory=list)
    # rows that are below `min_frames` only since pictures outside the data set were dropped
    shortened: set[int] = field(default_factory=set)

    def kept(self, rows: list[int] | None = None) -> list[Tracklet]:
        """The tracks of at least `min_frames`, of these rows or of all."""
        chosen = self.tracklets if rows is None else [row for row in rows if row in self.tracklets]
        long = [row for row in chosen if len(self.tracklets[row]) >= self.min_frames or row in self.shortened]
        return [self.tracklets[row] for row in long]

    def n_short(self) -> int:
        return len(self.tracklets) - len(self.kept())

    def people(self) -> set[int]:
        """The pids of all tracks, the short ones' too."""
        return {tracklet.pid for tracklet in self.tracklets.values()}

    def query_and_rest(self) -> tuple[list[Tracklet], list[Tracklet]]:
        """The tracks of the query list, and all others."""
        chosen = set(self.query)
        return self.kept(self.query), self.kept([row for row in self.tracklets if row not in chosen])

    def add(self, tracklet: Tracklet, place: Place, *, query: bool = False) -> None:
        """Adds a tracklet under the next row number."""
        row = len(self.places) + 1
        self.tracklets[row], self.places[row] = tracklet, place
        self.n_names += len(tracklet)
        if query:
            self.query.append(row)

    def add_picture(self, path: Path, pid: int, camid: int, modality: Modality, place: Place | None = None) -> None:
        """Adds a picture as a tracklet of one frame, named by its path below the base; infrared ones are queries."""
        name = relative(self.base, path)
        tracklet = Tracklet((path,), pid, camid, modality, name.rsplit(".", 1)[0])
        self.add(tracklet, place or Place(name, None), query=modality == "infrared")


def info_folder(root: Path) -> Path:
    """The folder of the info files: `info/` or the root.

    Source: MITML's loader reads the first; the README of HITSZ-VCM-data draws the second.
    """
    for folder in (root / "info", root):
        if (folder / FILES["train"].names).is_file() or (folder / FILES["test"].names).is_file():
            return folder
    raise DataError(
        f"{root} must hold train_name.txt and its companions in info/ or at its root; "
        "found neither; pass the folder that holds them"
    )


def read_split(root: Path, split: Split, report: Report) -> SplitRows:
    """One split's tracks, every broken rule reported."""
    info, files = info_folder(root), FILES[split]
    base = root / files.folder if (root / "Train").is_dir() else root
    names = list(read_names(root, info / files.names, report))
    lists = [info / name for name in (files.names, files.rows, files.query) if name]
    rows = SplitRows(base, n_names=len(names), lists=lists)
    named = relative(root, info / files.names)
    seen = _Ids()
    used: dict[int, int] = {}  # line of the name file -> the row it belongs to
    n_rows = 0
    for row in read_rows(root, info / files.rows, report):
        n_rows += 1
        if row is not None and (frames := _frames(root, info, files, row, names, used, report)):
            tracklet_id = seen.take(frames[0])
            rows.tracklets[row.line] = _tracklet(base, row, frames, tracklet_id)
            rows.places[row.line] = Place(named, row.start, range(row.start, row.end + 1))
    if files.query:
        rows.query = read_query(root, info / files.query, n_rows, report)
        _query_is_infrared(root, info, files, rows, report)
    return rows


def drop_outside(root: Path, splits: Iterable[SplitRows], report: Report) -> None:
    """Drops pictures behind links that lead out of the data set; all such links are reported once, with their number.

    `root` must be resolved. Each folder is listed once, as asking for each of a full copy's 463,259 pictures is slow.
    """
    splits = list(splits)
    # A row's pictures share one folder.
    folders = {os.fspath(track.frames[0].parent) for rows in splits for track in rows.tracklets.values()}
    links = [link for folder in sorted(folders) for link in _links(root, folder)]
    if links:
        rule = "pictures must lie inside the data set's own folder; this is a link that leaves it"
        text = f"{rule}; copy the pictures in its place{others_left_out(len(links) - 1, 'link')}"
        report(Problem("outside", os.path.relpath(links[0], root), None, text))
    dropped = {Path(link) for link in links}
    for rows in splits if dropped else []:
        for row, track in list(rows.tracklets.items()):
            if track.frames[0].parent in dropped or dropped.issuperset(track.frames):
                del rows.tracklets[row]
            elif not dropped.isdisjoint(track.frames):
                _shorten(rows, row, dropped)


def _shorten(rows: SplitRows, row: int, dropped: set[Path]) -> None:
    """Removes pictures from a track; the others keep their line numbers."""
    track, place = rows.tracklets[row], rows.places[row]
    inside = [i for i, frame in enumerate(track.frames) if frame not in dropped]
    rows.tracklets[row] = replace(track, frames=tuple(track.frames[i] for i in inside))
    rows.places[row] = place._replace(lines=[place.lines[i] for i in inside] if place.lines else ())
    if len(track) >= rows.min_frames:
        rows.shortened.add(row)


class _Ids:
    """Names for tracks: `0001M2D3T1`, and `0001M2D3T1F25` where a track number is used again."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def take(self, name: Name) -> str:
        source = name.source
        track = f"{source.pid:04d}M{1 if source.modality == 'infrared' else 2}D{source.camid}T{name.track}"
        self.count[track] += 1
        return track if self.count[track] == 1 else f"{track}F{name.frame.removesuffix('.jpg')}"


def _frames(
    root: Path, info: Path, files: SplitFiles, row: Row, names: list[Name | None], used: dict[int, int], report: Report
) -> list[Name]:
    """The row's names; none if the row breaks a rule."""
    where = relative(root, info / files.rows)

    def refuse(kind: Literal["malformed", "contradictory"], text: str) -> list[Name]:
        report(Problem(kind, where, row.line, text))
        return []

    if not 1 <= row.start <= row.end:
        return refuse("malformed", f"start must be at least 1 and end not before it; got {row.start} to {row.end}")
    if row.end > len(names):
        return refuse("malformed", f"end must be a line of {files.names}, 1 to {len(names)}; got {row.end}")
    for line in range(row.start, row.end + 1):
        if (taken := used.setdefault(line, row.line)) != row.line:
            return refuse("contradictory", f"line {line} of {files.names} belongs to row {taken} already")
    frames = [name for name in names[row.start - 1 : row.end] if name is not None]
    if len(frames) != row.end - row.start + 1:
        return []  # the bad name was reported with its own line
    for line, name in enumerate(frames, start=row.start):
        if name.source != row.source:
            text = f"the row says {row.source}; line {line} of {files.names} says {name.source}"
            return refuse("contradictory", text)
    return frames


def _tracklet(base: Path, row: Row, names: list[Name], tracklet_id: str) -> Tracklet:
    folder = base / names[0].source.folder
    frames = tuple(folder / name.frame for name in names)
    return Tracklet(frames, row.source.pid, row.source.camid, row.source.modality, tracklet_id)


def _query_is_infrared(root: Path, info: Path, files: SplitFiles, rows: SplitRows, report: Report) -> None:
    """Reports a query list that is not exactly the infrared tracks. Source: docs/datasets.md, "HITSZ-VCM's layout"."""
    assert files.query is not None
    where, chosen = relative(root, info / files.query), set(rows.query)
    for row, tracklet in rows.tracklets.items():
        if row in chosen and tracklet.modality == "visible":
            text = f"a query must be an infrared track; row {row} of {files.rows} is visible"
            report(Problem("contradictory", where, None, text))
        if row not in chosen and tracklet.modality == "infrared":
            text = f"every infrared track must be a query; row {row} of {files.rows} is not in the list"
            report(Problem("contradictory", where, None, text))


def _links(root: Path, folder: str) -> list[str]:
    """The folder itself, or the pictures in it, that are links out of the root."""
    if leaves(root, folder):
        return [folder]
    names = names_in(folder, lambda entry: entry.is_symlink() and leaves(root, entry.path))
    return [os.fspath(Path(folder, name)) for name in names]
