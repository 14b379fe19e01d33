"""The findings of `duskmatch check`: every broken rule of a data set, not only the first, and its contents."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from duskmatch.data.clips import in_order
from duskmatch.data.dataset import WALK_SPLITS, Dataset, count_by_modality
from duskmatch.data.decoding import NEXT, decode_frame, look_at_end
from duskmatch.data.layout import Place
from duskmatch.data.lists import names_in
from duskmatch.data.problems import Problem
from duskmatch.data.tracklets import TABLE
from duskmatch.data.vcm import OFFICIAL_COUNTS
from duskmatch.errors import FrameError
from duskmatch.records import HITSZ_VCM, MODALITIES, Tracklet

Frames = Literal["all", "sample", "none"]


Listed = tuple[Tracklet, Place]


@dataclass
class Found:
    """Pictures that were looked at."""

    listed: int = 0
    missing: int = 0
    opened: int = 0
    unreadable: int = 0
    problems: list[Problem] = field(default_factory=list)

    def counts(self, frames: Frames) -> dict[str, Any]:
        """The counts as JSON values; `frames`: which pictures were to be opened."""
        found = {"listed": self.listed, "missing": self.missing, "opened": self.opened, "unreadable": self.unreadable}
        return {"checked": frames, **found}


def describe_dataset(
    dataset: Dataset, problems: Sequence[Problem], frames: Frames, n_threads: int = 1
) -> dict[str, Any]:
    """Everything that `check` reports on a data set whose reading found `problems`, as JSON values."""
    listed = [(track, rows.places[row]) for rows in dataset.splits.values() for row, track in rows.tracklets.items()]
    pictures = look_at_frames(dataset.root, listed, frames, n_threads)
    counts = count_table(dataset)
    problems = [*problems, *count_problems(dataset, counts), *pictures.problems]
    return {
        "data": str(dataset.root),
        "kind": "data set",
        "name": dataset.name,
        "version": dataset.version,
        "synthetic": dataset.synthetic,
        "fingerprint": _fingerprint(dataset),
        "counts": counts,
        "people": {split: len(rows.people()) for split, rows in dataset.splits.items()},
        **_left_out(dataset),
        "cameras": camera_table({split: rows.kept() for split, rows in dataset.splits.items()}),
        "frames": pictures.counts(frames),
        "problems": [asdict(problem) for problem in problems],
    }


def describe_tracklets(
    root: Path, rows: dict[int, Tracklet], problems: Sequence[Problem], frames: Frames, n_threads: int = 1
) -> dict[str, Any]:
    """The same of a folder of tracklets, by their line in its table."""
    tracklets = list(rows.values())
    pictures = look_at_frames(root, [(t, Place(TABLE, line)) for line, t in rows.items()], frames, n_threads)
    return {
        "data": str(root),
        "kind": "tracklets",
        "name": root.name,
        "people": {"all": len({t.pid for t in tracklets})},
        "counts": [
            {"what": what, "found": n, "expected": None}
            for what, n in count_by_modality(tracklets, order=MODALITIES).items()
        ],
        "cameras": camera_table({"all": tracklets}),
        "frames": pictures.counts(frames),
        "problems": [asdict(problem) for problem in [*problems, *pictures.problems]],
    }


def look_at_frames(root: Path, listed: Sequence[Listed], frames: Frames, n_threads: int) -> Found:
    """The pictures that are missing, and those opened that cannot be read; every one with file and line.

    "all" opens each picture, "sample" the middle one of each tracklet and looks at size and end of the others, "none"
    only checks that they exist.
    """
    found = Found()
    folders: dict[Path, set[str]] = {}
    to_open: list[tuple[Listed, int]] = []
    others: list[tuple[Listed, int]] = []
    for entry in listed:
        tracklet, place = entry
        found.listed += len(tracklet)
        there = []
        for index, frame in enumerate(tracklet.frames):
            folder = frame.parent
            if folder not in folders:
                folders[folder] = set(names_in(folder))
            if frame.name in folders[folder]:
                there.append(index)
            else:
                text = f"the picture {_relative(root, frame)} is missing; copy it from the data set"
                found.missing += 1
                found.problems.append(Problem("missing", *place.of_picture(index), text))
        chosen = {"all": there, "sample": there[len(there) // 2 :][:1], "none": []}[frames]
        to_open += [(entry, index) for index in chosen]
        others += [(entry, index) for index in there if frames == "sample" and index not in chosen]
    found.opened = len(to_open)
    looks: list[tuple[Callable[[Path], object], Listed, int]] = [(decode_frame, *one) for one in to_open]
    looks += [(look_at_end, *one) for one in others]
    for problem in in_order(lambda one: _look(root, *one), looks, n_threads):
        if problem is not None:
            found.unreadable += 1
            found.problems.append(problem)
    return found


def camera_table(splits: dict[str, list[Tracklet]]) -> list[dict[str, Any]]:
    """One row for each camera: its number of tracks of each modality in each split."""
    counts = {s: Counter((t.camid, t.modality) for t in tracklets) for s, tracklets in splits.items()}
    cameras = sorted({camid for count in counts.values() for camid, _ in count})
    return [
        {"camid": camid} | {f"{s} {m}": counts[s][camid, m] for s in splits for m in MODALITIES} for camid in cameras
    ]


def _look(root: Path, look: Callable[[Path], object], entry: Listed, index: int) -> Problem | None:
    tracklet, place = entry
    frame = tracklet.frames[index]
    try:
        look(frame)
    except FrameError as error:
        text = str(error).replace(str(frame), _relative(root, frame), 1).replace(NEXT, "copy it from the data set")
        return Problem("unreadable", *place.of_picture(index), text)
    return None


def count_table(dataset: Dataset) -> list[dict[str, Any]]:
    """Counts beside the expected ones: a data set's official ones, or those that a generated set's own record holds.

    A reader may leave both in the data set's facts, as `found` and `expected`.
    """
    if not dataset.synthetic:
        expected = OFFICIAL_COUNTS if dataset.protocol is HITSZ_VCM else dataset.facts.get("expected", {})
        found = dataset.facts.get("found", dataset.counts())
        return [{"what": k, "found": n, "expected": expected.get(k)} for k, n in found.items()]
    pools, table = dataset.facts.get("pools"), []
    for pool, split in WALK_SPLITS.items():
        own = pools.get(pool) if isinstance(pools, dict) else None
        for what, n in _pool_counts(list(dataset.splits[split].tracklets.values()) if split in dataset.splits else []):
            expected = own.get(what.replace(" ", "_")) if isinstance(own, dict) else None
            table.append({"what": f"{split} {what}", "found": n, "expected": expected})
    return table


def count_problems(dataset: Dataset, counts: list[dict[str, Any]]) -> list[Problem]:
    """The counts in which a generated set differs from its own record; HITSZ-VCM's are checked when it is opened."""
    wrong = [row for row in counts if dataset.synthetic and row["expected"] not in (None, row["found"])]
    rule = "a generated set must hold what its own record says"
    texts = [f"{rule}; {row['what']}: expected {row['expected']}, found {row['found']}" for row in wrong]
    return [Problem("counts", "duskwalk.json", None, text) for text in texts]


def _pool_counts(tracklets: list[Tracklet]) -> list[tuple[str, int]]:
    return [
        ("people", len({tracklet.pid for tracklet in tracklets})),
        ("infrared tracks", sum(tracklet.modality == "infrared" for tracklet in tracklets)),
        ("visible tracks", sum(tracklet.modality == "visible" for tracklet in tracklets)),
        ("frames", sum(map(len, tracklets))),
    ]


def _fingerprint(dataset: Dataset) -> str | None:
    try:
        return dataset.fingerprint
    except OSError:
        return None  # an info file is missing, which is among the problems


def _left_out(dataset: Dataset) -> dict[str, Any]:
    """Counts of what HITSZ-VCM's layout may leave out; in others every listed picture is used."""
    if all(rows.min_frames == 1 for rows in dataset.splits.values()):
        return {}
    unused = {split: rows.n_names - sum(map(len, rows.tracklets.values())) for split, rows in dataset.splits.items()}
    return {"short": dict(dataset.n_short), "names_in_no_track": unused}


def _relative(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
