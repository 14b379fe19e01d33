"""The info files of HITSZ-VCM's layout, line by line: names of pictures, tracks, queries.

| file               | a line is                                                                                |
|--------------------|------------------------------------------------------------------------------------------|
| `*_name.txt`       | one picture: pid `M` modality `D` camera `T` track `F` frame, `0001M2D3T1F1.jpg`              |
| `track_*_info.txt` | one track: `modality start end pid camera`; 1-based lines of the names, the last included  |
| `query_IDX.txt`    | 1-based rows of `track_test_info.txt`, any whitespace: the infrared test side              |

Modality 1 is infrared, 2 visible. Every broken rule is reported, and lines keep their numbers.

Source: the README of HITSZ-VCM-data and the loaders of MITML, M3-ReID and X-ReID, none of which is complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from duskmatch.data.problems import Problem, Report
from duskmatch.records import Modality

MODALITY: dict[str, Modality] = {"1": "infrared", "2": "visible"}
FOLDER: dict[Modality, str] = {"infrared": "ir", "visible": "rgb"}
NAME = re.compile(
    r"(?P<source>(?P<pid>\d{4})M(?P<modality>[12])D(?P<camid>\d{1,9}))T(?P<track>\d{1,9})F(?P<frame>\d{1,18}\.jpg)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One person, camera and modality, and the folder that holds all tracks of these."""

    pid: int
    modality: Modality
    camid: int
    folder: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"person {self.pid}, {self.modality}, camera {self.camid}"


@dataclass(frozen=True, slots=True)
class Name:
    """One line of a name file."""

    source: Source
    track: str
    frame: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a track file."""

    line: int
    start: int
    end: int
    source: Source


def read_names(root: Path, path: Path, report: Report) -> Iterator[Name | None]:
    """The pictures in order of lines; None for a malformed line, so that line numbers stay right."""
    sources: dict[str, Source] = {}
    first: dict[str, int] = {}
    for line, text in enumerate(_lines(root, path, report), start=1):
        found = NAME.fullmatch(text)
        if found is None:
            rule = "a name must look like 0001M2D3T1F1.jpg (pid, modality 1 or 2, camera, track, frame)"
            report(Problem("malformed", relative(root, path), line, f"{rule}; got {_shown(text)}"))
            yield None
            continue
        if (before := first.setdefault(text, line)) != line:
            where = relative(root, path)
            report(Problem("duplicate", where, line, f"each name must be there once; {text} is in line {before} too"))
        yield Name(_source(found, sources), found["track"], found["frame"])


def read_rows(root: Path, path: Path, report: Report) -> Iterator[Row | None]:
    """The tracks in order of lines; None for a malformed line, so that row numbers stay right."""
    where = relative(root, path)
    for line, text in enumerate(_lines(root, path, report), start=1):
        words = text.split()
        if len(words) != 5 or not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
            rule = "a track must be five whole numbers: modality start end pid camera"
            report(Problem("malformed", where, line, f"{rule}; got {_shown(text)}"))
            yield None
        elif words[0] not in MODALITY:
            rule = "modality must be 1 (infrared) or 2 (visible)"
            report(Problem("malformed", where, line, f"{rule}; got {words[0]}"))
            yield None
        else:
            start, end, pid, camid = map(int, words[1:])
            yield Row(line, start, end, Source(pid, MODALITY[words[0]], camid))


def read_query(root: Path, path: Path, n_rows: int, report: Report) -> list[int]:
    """Row numbers of the query side, in the file's order.

    Differs: MITML's loader keeps only the last line of the file, M3-ReID's joins all; here any whitespace separates.
    """
    where = relative(root, path)
    rows: dict[int, int] = {}
    for line, text in enumerate(_lines(root, path, report), start=1):
        for word in text.split():
            if not re.fullmatch(r"\d{1,9}", word, re.ASCII) or not 1 <= int(word) <= n_rows:
                rule = f"a query must be a row of the track file, 1 to {n_rows}"
                report(Problem("malformed", where, line, f"{rule}; got {_shown(word)}"))
            elif int(word) in rows:
                before = rows[int(word)]
                text_ = f"each query must be there once; row {word} is in line {before} already"
                report(Problem("duplicate", where, line, text_))
            else:
                rows[int(word)] = line
    return list(rows)


def _source(found: re.Match[str], sources: dict[str, Source]) -> Source:
    key = found["source"]
    if key not in sources:
        modality = MODALITY[found["modality"]]
        folder = f"{found['pid']}/{FOLDER[modality]}/D{found['camid']}"
        sources[key] = Source(int(found["pid"]), modality, int(found["camid"]), folder)
    return sources[key]


def _lines(root: Path, path: Path, report: Report) -> list[str]:
    """The file's lines without the blank ones at its end; a blank line inside counts, as rows are line numbers."""
    text = (read_text(root, path, "info file", report) or "").rstrip()
    return [line.strip() for line in text.split("\n")] if text else []


def read_text(root: Path, path: Path, what: str, report: Report) -> str | None:
    """The text of a file of the data set; None if it is missing or a link that leads out, which is reported."""
    if leaves(root, os.fspath(path)):
        text = f"{what}s must not be links that leave the data set; copy the file here"
        report(Problem("outside", relative(root, path), None, text))
        return None
    if not path.is_file():
        report(Problem("missing", relative(root, path), None, f"this {what} is missing; copy it from the data set"))
        return None
    return path.read_bytes().decode("utf-8-sig", errors="replace")


def leaves(root: Path, path: str) -> bool:
    """True if a path, links followed, lies outside the data set's resolved root."""
    return not Path(os.path.realpath(path)).is_relative_to(root)


def stays(name: str) -> bool:
    """True if a name from a list stays below the root on every system, links aside."""
    plain = not name.startswith("/") and not any(sign in name for sign in ("\\", ":", "\0"))
    return plain and bool(name) and ".." not in name.split("/")


def names_in(folder: Path | str, wanted: Callable[[os.DirEntry[str]], bool] = lambda _: True) -> list[str]:
    """The names of a folder's wanted entries, sorted as text; none if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if wanted(entry))
    except OSError:
        return []


def relative(root: Path, path: Path) -> str:
    """The path below the root, as in messages."""
    return path.relative_to(root).as_posix()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
