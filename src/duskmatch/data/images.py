"""Reading of picture sets: pictures in folders, each a tracklet of one frame, and lists."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from duskmatch.data.layout import Place, SplitRows
from duskmatch.data.lists import names_in, read_text, relative, stays
from duskmatch.data.problems import Problem, Report
from duskmatch.records import Modality

PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
# What OpenCV reads into 8 bits a channel; a build without one of them refuses such a picture by its name.
READABLE = (
    *PICTURES, ".jpe", ".dib", ".webp", ".tif", ".tiff", ".jp2", ".avif", ".gif", ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip


def picture_rows(root: Path, lists: Iterable[Path] = ()) -> SplitRows:
    """An empty split of a set of pictures, in which a tracklet may have a single frame."""
    return SplitRows(root, min_frames=1, lists=[path for path in lists if path.is_file()])


def pictures_in(folder: Path, endings: tuple[str, ...] = PICTURES) -> list[str]:
    """The names of a folder's pictures, sorted as text; none if there is no such folder.

    SYSU-MM01 and LLCM need this order: their public galleries are drawn by number from lists sorted as text. The
    pictures of a walk need `in_time_order`.
    """
    return names_in(folder, lambda entry: is_picture(entry.name, endings))


def in_time_order(names: Iterable[str]) -> list[str]:
    """Names sorted with their numbers compared as numbers: frame_2.jpg comes before frame_10.jpg."""

    def key(name: str) -> tuple[list[str | int], str]:
        words = re.split(r"([0-9]+)", name)  # text, number, text, ...: like is compared with like
        return [int(word) if i % 2 else word for i, word in enumerate(words)], name

    return sorted(names, key=key)


def folders_in(folder: Path) -> list[str]:
    """The names of a folder's folders, sorted as text."""
    return names_in(folder, lambda entry: entry.is_dir() and not entry.name.startswith("."))


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, hidden ones left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in in_time_order(names) if not name.startswith("."))


def is_picture(name: str, endings: tuple[str, ...] = PICTURES) -> bool:
    return name.lower().endswith(endings) and not name.startswith(".")


def read_lines(root: Path, path: Path, report: Report) -> list[tuple[int, str]]:
    """(line, text) of a list's lines, blank ones left out; a missing or empty list is a problem."""
    text = read_text(root, path, "list", report)
    lines = [(n, line.strip()) for n, line in enumerate((text or "").splitlines(), start=1) if line.strip()]
    if text is not None and not lines:
        rule = "the list must not be empty; copy it from the data set"
        report(Problem("malformed", relative(root, path), None, rule))
    return lines


def read_people(root: Path, path: Path, report: Report) -> dict[int, Place]:
    """Person numbers with their place, from a list with commas or blanks between them, on one line or many."""
    where = relative(root, path)
    people: dict[int, Place] = {}
    for line, text in read_lines(root, path, report):
        for word in re.split(r"[,\s]+", text.strip(", \t")):
            if not re.fullmatch(r"\d{1,9}", word, re.ASCII):
                report(Problem("malformed", where, line, f"a person must be a whole number; got {word[:40]!r}"))
            elif int(word) in people:
                report(Problem("duplicate", where, line, f"each person must be there once; {int(word)} is there twice"))
            else:
                people[int(word)] = Place(where, line)
    return people


def pictures_of_person(root: Path, where: str, report: Report) -> list[str]:
    """The names in a person's folder, which may be missing but not empty."""
    names = pictures_in(root / where)
    if not names and (root / where).is_dir():
        text = "a person's folder must hold pictures; it is empty; copy them or remove the folder"
        report(Problem("missing", where, None, text))
    return names


def read_labels(root: Path, path: Path, report: Report) -> Iterator[tuple[int, str, int]]:
    """(line, picture, label) of a list with `path label` lines; paths stay inside the data set."""
    where = relative(root, path)
    seen: dict[str, int] = {}
    for line, text in read_lines(root, path, report):
        found = re.fullmatch(r"(?P<path>\S.*?)\s+(?P<label>\d{1,9})", text, re.ASCII)
        if found is None:
            rule = "a line must be a picture and a whole number, `path label`"
            report(Problem("malformed", where, line, f"{rule}; got {text[:60]!r}"))
        elif not stays(found["path"]):
            rule = "pictures must lie inside the data set's own folder"
            report(Problem("outside", where, line, f"{rule}; got {found['path'][:60]!r}"))
        elif (before := seen.setdefault(found["path"], line)) != line:
            rule = "each picture must be there once"
            report(Problem("duplicate", where, line, f"{rule}; {found['path']} is in line {before} too"))
        else:
            yield line, found["path"], int(found["label"])


def read_labelled(
    root: Path,
    lists: Mapping[Modality, Path],
    folders: Mapping[Modality, str],
    camera: Callable[[Modality, str], int],
    report: Report,
) -> SplitRows:
    """The pictures of one list for each modality; they lie at FOLDER/<person>/<file>, `camera` reads a file's name."""
    rows, labels = picture_rows(root, lists.values()), Labels()
    for modality, path in lists.items():
        where, folder = relative(root, path), folders[modality]
        for line, name, label in read_labels(root, path, report):
            found = re.fullmatch(rf"{folder}/(?P<pid>\d{{1,9}})/(?P<file>[^/]+)", name, re.ASCII)
            if found is None:
                rule = f"a picture must lie at {folder}/<person>/<file>"
                report(Problem("malformed", where, line, f"{rule}; got {name[:60]!r}"))
            elif text := labels.contradiction(label, int(found["pid"])):
                report(Problem("contradictory", where, line, text))
            else:
                camid = camera(modality, found["file"])
                rows.add_picture(root / name, int(found["pid"]), camid, modality, Place(where, line))
    return rows


def numbered(names: Sequence[str], folder: str, report: Report) -> list[str]:
    """The pictures of a folder whose names are numbers, each number once; others are reported."""
    seen: dict[int, str] = {}
    kept = []
    for name in names:
        stem = name.rsplit(".", 1)[0]
        if not (stem.isascii() and stem.isdecimal()):
            text = f"a picture must be called by its number, 0001.jpg; got {name[:40]!r}; rename or remove it"
            report(Problem("malformed", f"{folder}/{name}", None, text))
        elif int(stem) in seen:
            text = f"each picture must be there once; {seen[int(stem)]} has the same number; remove one"
            report(Problem("duplicate", f"{folder}/{name}", None, text))
        else:
            seen[int(stem)] = name
            kept.append(name)
    return kept


class Labels:
    """Checks that a label means one person, and a person has one label, in both modalities' lists."""

    def __init__(self) -> None:
        self.person: dict[int, int] = {}
        self.label: dict[int, int] = {}

    def contradiction(self, label: int, pid: int) -> str:
        """The rule that this label of a person breaks, or an empty text."""
        person, known = self.person.setdefault(label, pid), self.label.setdefault(pid, label)
        if person != pid:
            return f"a label must be one person's; {label} is that of the folder of person {person}, this is of {pid}"
        if known != label:
            return f"a person must have one label; person {pid} has {known} before, here {label}"
        return ""
