"""Your own data: folders `train/` and `test/` with person/modality/camera, or a tracklets.csv with a `split` column.

Pictures in a camera's folder are tracklets of one frame; folders in it are tracklets, their pictures sorted by name,
numbers in it as numbers. `validation/`, or the word in the column, holds people kept for choices.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from duskmatch.data.dataset import Dataset, people_are_apart
from duskmatch.data.images import READABLE, Rows, files_below, finish, folders_in, in_time_order, pictures_in
from duskmatch.data.layout import Place, Split
from duskmatch.data.lists import relative
from duskmatch.data.problems import Problem, Report
from duskmatch.data.tracklets import SPLIT_COLUMN, TABLE, has_splits, read_split_tracklets
from duskmatch.records import Modality, Protocol, ScoredPair, Tracklet

log = logging.getLogger("duskmatch")

NAMED = 3  # ignored files whose names are said
SPLITS: tuple[Split, ...] = ("train", "test", "validation")
NEEDED: tuple[Split, ...] = ("train", "test")
MODALITY: dict[str, Modality] = {
    "visible": "visible", "vis": "visible", "rgb": "visible",
    "infrared": "infrared", "ir": "infrared", "nir": "infrared", "thermal": "infrared",
}  # fmt: skip

# Source: REFERENCE 1.3, HITSZ-VCM's rules for other people's data.
OWN = Protocol(
    name="own data (every tracklet of one modality is looked for among all of the other)",
    variant="standard",
    pairs=(
        ScoredPair("infrared_to_visible", "every infrared test tracklet", "every visible test tracklet"),
        ScoredPair("visible_to_infrared", "every visible test tracklet", "every infrared test tracklet"),
    ),
    camera_rule="same-pid-same-camera",
)


def lies_in_folders(root: Path) -> bool:
    """Whether `train/` and `test/` lie in a folder."""
    return all((root / split).is_dir() for split in NEEDED)


def lies_in_table(root: Path) -> bool:
    """Whether a folder holds a tracklets.csv that says who is for training and who for test."""
    return (root / TABLE).is_file() and has_splits(root)


def open_table(root: Path, report: Report, protocol: Protocol = OWN) -> Dataset:
    """The data set of a tracklets.csv with a `split` column; rows without a split are left out."""
    splits = {split: Rows(root, [root / TABLE]) for split in SPLITS}
    for line, split, tracklet in read_split_tracklets(root, report):
        if split not in splits:
            text = f"{SPLIT_COLUMN} must be {', '.join(splits)} or empty; got {split[:40]!r}"
            report(Problem("malformed", TABLE, line, text))
        elif tracklet.pid < 0:
            report(Problem("malformed", TABLE, line, "a pid must be known, 0 or more, where there is a split; got -1"))
        else:
            splits[split].add(tracklet, Place(TABLE, line), query=tracklet.modality == "infrared")
    return _dataset(root, splits, report, protocol, dict.fromkeys(SPLITS, TABLE))


def open_folders(root: Path, report: Report, protocol: Protocol = OWN) -> Dataset:
    """The data set of folders `split`/person/modality/camera."""
    splits: dict[Split, Rows] = {split: Rows(root) for split in SPLITS}
    for split, rows in splits.items():
        seen: dict[int, str] = {}
        for person in folders_in(root / split):
            if not re.fullmatch(r"\d{1,9}", person, re.ASCII):
                text = f"a person's folder must be called by a whole number; got {person[:40]!r}; rename it"
                report(Problem("malformed", split, None, text))
                continue
            if (before := seen.setdefault(int(person), person)) != person:
                report(Problem("duplicate", f"{split}/{person}", None, _same_number("person", before)))
                continue
            _add_person(root, rows, f"{split}/{person}", int(person), report)
    ignored = _ignored(root, splits.values())
    return _dataset(root, splits, report, protocol, {split: split for split in SPLITS}, ignored)


def _ignored(root: Path, splits: Iterable[Rows]) -> list[str]:
    """The files below the splits' folders that are in no tracklet; how many and which is said."""
    used = {frame for rows in splits for t in rows.rows.tracklets.values() for frame in t.frames}
    files = [path for split in SPLITS for path in files_below(root / split) if path not in used]
    names = [relative(root, path) for path in files]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        what = f"{', '.join(names[:NAMED])}{more}"
        rule = f"pictures end in {', '.join(READABLE)} and lie in a camera's folder or a tracklet's"
        log.warning("%s: %d files are not used: %s; %s", root, len(names), what, rule)
    return names


def _dataset(
    root: Path,
    splits: dict[Split, Rows],
    report: Report,
    protocol: Protocol,
    files: dict[Split, str],
    ignored: Sequence[str] = (),
) -> Dataset:
    for split in NEEDED:
        if not splits[split].rows.tracklets:
            text = f"{split} people must have tracklets; there are none that can be read; add some"
            report(Problem("missing", files[split], None, text))
    if not splits["validation"].rows.tracklets:
        del splits["validation"]
    found = finish(root, splits, report)
    people_are_apart(found, report, files)
    return Dataset(root, "own data", "", False, found, {"ignored": list(ignored)}, protocol)


def _add_person(root: Path, rows: Rows, where: str, pid: int, report: Report) -> None:
    names = folders_in(root / where)
    if not names:
        text = "a person's folder must hold folders by modality, visible and infrared; found none"
        report(Problem("missing", where, None, text))
    for name in names:
        modality = MODALITY.get(name.lower())
        if modality is None:
            text = f"a folder below a person must be a modality, {', '.join(MODALITY)}; got {name[:40]!r}; rename it"
            report(Problem("malformed", where, None, text))
            continue
        seen: dict[int, str] = {}
        for camera in folders_in(root / where / name):
            number = re.fullmatch(r"[^\d]*(?P<camid>\d{1,9})", camera, re.ASCII)
            if number is None:
                text = f"a camera's folder must end in its number, like 3 or cam3; got {camera[:40]!r}; rename it"
                report(Problem("malformed", f"{where}/{name}", None, text))
                continue
            camid = int(number["camid"])
            if (before := seen.setdefault(camid, camera)) != camera:
                report(Problem("duplicate", f"{where}/{name}/{camera}", None, _same_number("camera", before)))
                continue
            _add_camera(root, rows, f"{where}/{name}/{camera}", (pid, camid, modality), report)


def _same_number(what: str, before: str) -> str:
    return f"each {what} must have a number of its own; {before} has this one too; rename one or join them"


def _add_camera(root: Path, rows: Rows, where: str, who: tuple[int, int, Modality], report: Report) -> None:
    """A camera's pictures, each for itself, or its folders, each a tracklet."""
    pictures, folders = pictures_in(root / where, READABLE), folders_in(root / where)
    if not pictures and not folders:
        text = f"a camera's folder must hold pictures or folders of pictures; {_instead(root / where)}"
        report(Problem("missing", where, None, text))
    if pictures and folders:
        text = "a camera's folder must hold pictures or folders of pictures, not both; move the pictures into folders"
        report(Problem("contradictory", where, None, text))
        return
    _add_pictures(root, rows, where, pictures, who, report)
    for folder in folders:
        _add_track(root, rows, f"{where}/{folder}", who, report)


def _add_pictures(
    root: Path, rows: Rows, where: str, names: list[str], who: tuple[int, int, Modality], report: Report
) -> None:
    """Each picture as a tracklet, called by its name without the ending."""
    seen: dict[str, str] = {}
    for name in names:
        if (before := seen.setdefault(name.rsplit(".", 1)[0], name)) != name:
            text = f"pictures must differ by more than their ending; {before} is there too; remove or rename one"
            report(Problem("duplicate", f"{where}/{name}", None, text))
        else:
            rows.add_picture(root / where / name, *who)


def _add_track(root: Path, rows: Rows, where: str, who: tuple[int, int, Modality], report: Report) -> None:
    """A folder's pictures as one tracklet, in order of time."""
    pid, camid, modality = who
    names = in_time_order(pictures_in(root / where, READABLE))
    if not names:
        report(Problem("missing", where, None, f"a tracklet's folder must hold pictures; {_instead(root / where)}"))
        return
    tracklet = Tracklet(tuple(root / where / name for name in names), pid, camid, modality, where)
    rows.add(tracklet, Place(where, None), query=modality == "infrared")


def _instead(folder: Path) -> str:
    """What a folder without pictures holds, and what to do."""
    files = list(files_below(folder))
    if not files:
        return "it is empty; fill or remove it"
    names = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more that are none"
    return f"it holds {names}; pictures end in {', '.join(READABLE)}; convert them or remove the folder"
