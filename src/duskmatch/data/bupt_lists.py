"""BUPTCampus' lists, line by line: pairs to train on, queries, gallery, and the paths of each track's pictures.

| file                               | holds                                                                  |
|------------------------------------|------------------------------------------------------------------------|
| `train.txt`, `train_auxiliary.txt` | aligned pairs, a line each: `pid RGB/IR camera track`                  |
| `query.txt`, `gallery.txt`         | tracks, a line each: `pid RGB camera track` or `pid IR camera track`   |
| `data_paths.json`                  | pid -> RGB or IR -> camera -> track -> paths of pictures below `DATA/` |

A picture is `<pid>/<RGB or IR>/<camera>/<pid>_<RGB or IR>_<camera>_<track>_<frame>.jpg`. Every broken rule is reported.

Source: public code dyhBUPT/BUPTCampus; docs/datasets.md, "BUPTCampus".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from duskmatch.data.images import read_lines
from duskmatch.data.lists import leaves
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import nearest
from duskmatch.records import Modality

CAMERAS = {"LS3": 0, "G25": 1, "CQ1": 2, "W4": 3, "TSG1": 4, "TSG2": 5}
WORD: dict[Modality, str] = {"visible": "RGB", "infrared": "IR"}
MODALITIES: dict[str, tuple[Modality, ...]] = {
    "RGB/IR": ("visible", "infrared"),
    "RGB": ("visible",),
    "IR": ("infrared",),
}
PATHS = "data_paths.json"
NUMBER, NAME = re.compile(r"\d{1,9}", re.ASCII), re.compile(r"[A-Za-z0-9]{1,18}")
FRAME = re.compile(r"[A-Za-z0-9]{1,18}\.jpg")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list: a track in one modality, or in both."""

    file: str
    line: int
    pid: str
    modalities: tuple[Modality, ...]
    camera: str
    track: str

    def name(self, modality: Modality) -> str:
        """The beginning of the track's picture names: `1_RGB_CQ1_1`."""
        return f"{self.pid}_{WORD[modality]}_{self.camera}_{self.track}"


def read_list(root: Path, file: str, words: tuple[str, ...], report: Report) -> Iterator[Line]:
    """The list's well-formed lines; `words` are the modalities it may hold."""
    first: dict[Line, int] = {}
    for number, text in read_lines(root, root / file, report):
        if broken := _broken(text.split(), words):
            report(Problem("malformed", file, number, f"{broken}; got {text[:60]!r}"))
            continue
        pid, word, camera, track = text.split()
        line = Line(file, number, pid, MODALITIES[word], camera, track)
        key = Line(file, 0, pid, MODALITIES[word], camera, track)
        if (before := first.setdefault(key, number)) != number:
            report(Problem("duplicate", file, number, f"each track must be there once; it is in line {before} too"))
        else:
            yield line


def _broken(cells: list[str], words: tuple[str, ...]) -> str | None:
    """The rule that a line breaks, if any."""
    if len(cells) != 4:
        return "a line must be four words: pid modality camera track"
    pid, word, camera, track = cells
    if not NUMBER.fullmatch(pid) or not NAME.fullmatch(track):
        return "pid must be a whole number and track letters or digits"
    if word not in words:
        return f"modality must be {' or '.join(words)} in this list"
    if camera not in CAMERAS:
        return f"camera must be one of {', '.join(CAMERAS)}{nearest(camera, CAMERAS)}"
    return None


class Paths:
    """data_paths.json, read track by track."""

    def __init__(self, root: Path, report: Report) -> None:
        self.root, self.report = root, report
        self.tree = self._read()

    def of(self, line: Line, modality: Modality) -> tuple[Path, ...] | None:
        """A track's pictures in the file's order; None, and a report, if a rule is broken."""
        if self.tree is None:
            return None
        keys = (line.pid, WORD[modality], line.camera, line.track)
        found: Any = self.tree
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if found is None:
            text = f"{PATHS} must list the pictures of every track; it has none of {' > '.join(keys)}"
            self.report(Problem("contradictory", line.file, line.line, text))
            return None
        return self._pictures(found, "/".join(keys[:3]), line.name(modality))

    def _pictures(self, found: Any, folder: str, name: str) -> tuple[Path, ...] | None:
        if not isinstance(found, list) or not found:
            text = f"a track must be a list with one path or more; {name} is {json.dumps(found)[:60]}"
            self.report(Problem("malformed", PATHS, None, text))
            return None
        begin = f"{folder}/{name}_"
        for path in found:
            if not isinstance(path, str) or not path.startswith(begin) or not FRAME.fullmatch(path[len(begin) :]):
                text = f"a path of track {name} must look like {begin}1.jpg; got {json.dumps(path)[:60]}"
                self.report(Problem("malformed", PATHS, self._line_of(path), text))
                return None
        if len(set(found)) != len(found):
            twice = next(path for i, path in enumerate(found) if path in found[:i])
            text = f"each path must be there once; {twice} is there twice"
            self.report(Problem("duplicate", PATHS, self._line_of(twice), text))
            return None
        data = self.root / "DATA" / folder
        return tuple(data / path[len(folder) + 1 :] for path in found)

    def _read(self) -> dict[str, Any] | None:
        path = self.root / PATHS
        if leaves(self.root, str(path)) or not path.is_file():
            text = "this file is missing or a link that leaves the data set; copy it from the data set"
            self.report(Problem("missing", PATHS, None, text))
            return None
        try:
            tree = json.loads(path.read_bytes(), object_pairs_hook=self._report_duplicates)
        except (ValueError, RecursionError) as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else None
            self.report(Problem("malformed", PATHS, line, f"it must be JSON: {error}; copy it from the data set"))
            return None
        if not isinstance(tree, dict):
            self.report(Problem("malformed", PATHS, None, f"it must hold people by pid; got {json.dumps(tree)[:60]}"))
            return None
        return tree

    def _report_duplicates(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            self.report(Problem("duplicate", PATHS, None, f"each key must be there once; {twice!r} is there twice"))
        return found

    @cached_property
    def _text(self) -> str:
        return (self.root / PATHS).read_text(encoding="utf-8", errors="replace")

    def _line_of(self, value: Any) -> int | None:
        """The line of a value's first occurrence in the file; None if it is spelled differently there."""
        at = self._text.find(json.dumps(value))
        return None if at < 0 else self._text.count("\n", 0, at) + 1
