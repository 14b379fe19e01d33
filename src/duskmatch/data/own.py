"""Your own data: folders `train/` and `test/` with person/modality/camera, or a tracklets.csv with a `split` column.

Pictures in a camera's folder are tracklets of one frame; folders in it are tracklets, their pictures sorted by name,
with numbers compared as numbers. `validation/`, or `validation` in the column, is for validation people.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from duskmatch.data.dataset import Dataset, finish
from duskmatch.data.images import READABLE, files_below, folders_in, in_time_order, picture_rows, pictures_in
from duskmatch.data.layout import Place, Split, SplitRows
from duskmatch.data.lists import relative
from duskmatch.data.problems import Problem, Report
from duskmatch.data.tracklets import SPLIT_COLUMN, TABLE, has_splits, read_table
from duskmatch.records import Modality, Protocol, ScoredPair, Tracklet

log = logging.getLogger("duskmatch")

NAMED = 3  # ignored files that are named in the warning
SPLITS: tuple[Split, ...] = ("train", "test", "validation")
NEEDED: tuple[Split, ...] = ("train", "test")
MODALITY: dict[str, Modality] = {
    "visible": "visible", "vis": "visible", "rgb": "visible",
    "infrared": "infrared", "ir": "infrared", "nir": "infrared", "thermal": "infrared",
}  # fmt: skip

# HITSZ-VCM's rules, for other data. Source: docs/datasets.md, "Your own data".
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
    """True if a folder holds `train/` and `test/`."""
    return all((root / split).is_dir() for split in NEEDED)


def lies_in_table(root: Path) -> bool:
    """True if a folder holds a tracklets.csv with a `split` column."""
    return (root / TABLE).is_file() and has_splits(root)


def open_table(root: Path, report: Report, protocol: Protocol = OWN) -> Dataset:
    """The data set of a tracklets.csv with a `split` column; rows without a split are left out."""
    splits = {split: picture_rows(root, [root / TABLE]) for split in SPLITS}
    for line, split, tracklet in read_table(root, report):
        if not split:
            continue
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
    splits = {split: picture_rows(root) for split in SPLITS}
    rule = "a person's folder must be called by a whole number"
    for split, rows in splits.items():
        for pid, person in _numbered(root, split, "person", r"(\d{1,9})", rule, report):
            _add_person(root, rows, f"{split}/{person}", pid, report)
    ignored = _ignored(root, splits.values())
    return _dataset(root, splits, report, protocol, {split: split for split in SPLITS}, ignored)


def _numbered(root: Path, where: str, what: str, pattern: str, rule: str, report: Report) -> Iterator[tuple[int, str]]:
    """(number, name) of the folders in `where`, each number once; others are reported."""
    seen: dict[int, str] = {}
    for name in folders_in(root / where):
        found = re.fullmatch(pattern, name, re.ASCII)
        if found is None:
            report(Problem("malformed", where, None, f"{rule}; got {name[:40]!r}; rename it"))
        elif (before := seen.setdefault(int(found[1]), name)) != name:
            text = f"each {what} must have a number of its own; {before} has this one too; rename one or join them"
            report(Problem("duplicate", f"{where}/{name}", None, text))
        else:
            yield int(found[1]), name


def _ignored(root: Path, splits: Iterable[SplitRows]) -> list[str]:
    """The files below the splits' folders that are in no tracklet; a warning names the first of them."""
    used = {frame for rows in splits for t in rows.tracklets.values() for frame in t.frames}
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
    splits: dict[Split, SplitRows],
    report: Report,
    protocol: Protocol,
    files: dict[Split, str],
    ignored: Sequence[str] = (),
) -> Dataset:
    for split in NEEDED:
        if not splits[split].tracklets:
            text = f"{split} people must have tracklets; there are none that can be read; add some"
            report(Problem("missing", files[split], None, text))
    if not splits["validation"].tracklets:
        del splits["validation"]
    finish(root, splits, report, files)
    return Dataset(root, "own data", "", False, splits, {"ignored": list(ignored)}, protocol)


def _add_person(root: Path, rows: SplitRows, where: str, pid: int, report: Report) -> None:
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
        rule = "a camera's folder must end in its number, like 3 or cam3"
        for camid, camera in _numbered(root, f"{where}/{name}", "camera", r"[^\d]*(\d{1,9})", rule, report):
            _add_camera(root, rows, f"{where}/{name}/{camera}", (pid, camid, modality), report)


def _add_camera(root: Path, rows: SplitRows, where: str, who: tuple[int, int, Modality], report: Report) -> None:
    """Adds each of a camera's pictures, or each of its folders, as a tracklet."""
    pictures, folders = pictures_in(root / where, READABLE), folders_in(root / where)
    if not pictures and not folders:
        text = f"a camera's folder must hold pictures or folders of pictures; {_contents(root / where)}"
        report(Problem("missing", where, None, text))
    if pictures and folders:
        text = "a camera's folder must hold pictures or folders of pictures, not both; move the pictures into folders"
        report(Problem("contradictory", where, None, text))
        return
    _add_pictures(root, rows, where, pictures, who, report)
    for folder in folders:
        _add_track(root, rows, f"{where}/{folder}", who, report)


def _add_pictures(
    root: Path, rows: SplitRows, where: str, names: list[str], who: tuple[int, int, Modality], report: Report
) -> None:
    """Adds each picture as a tracklet, named by the file's name without its ending."""
    seen: dict[str, str] = {}
    for name in names:
        if (before := seen.setdefault(name.rsplit(".", 1)[0], name)) != name:
            text = f"pictures must differ by more than their ending; {before} is there too; remove or rename one"
            report(Problem("duplicate", f"{where}/{name}", None, text))
        else:
            rows.add_picture(root / where / name, *who)


def _add_track(root: Path, rows: SplitRows, where: str, who: tuple[int, int, Modality], report: Report) -> None:
    """Adds a folder's pictures as one tracklet, in order of time."""
    pid, camid, modality = who
    names = in_time_order(pictures_in(root / where, READABLE))
    if not names:
        report(Problem("missing", where, None, f"a tracklet's folder must hold pictures; {_contents(root / where)}"))
        return
    tracklet = Tracklet(tuple(root / where / name for name in names), pid, camid, modality, where)
    rows.add(tracklet, Place(where, None), query=modality == "infrared")


def _contents(folder: Path) -> str:
    """The end of the message about a folder without pictures: its contents, and the next step."""
    files = list(files_below(folder))
    if not files:
        return "it is empty; fill or remove it"
    names = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more that are no pictures"
    return f"it holds {names}; pictures end in {', '.join(READABLE)}; convert them or remove the folder"
