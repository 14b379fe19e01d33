"""Dataset: training, validation and test tracklets of one data set on disk, and its pairs of query and gallery."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from duskmatch.data.layout import FILES, Split, SplitRows, drop_outside, info_folder, read_split
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import DataError
from duskmatch.files import read_regular
from duskmatch.records import HITSZ_VCM, Direction, Modality, PairName, Protocol, Tracklet

WALK_SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}


class DirectionPair(NamedTuple):
    """The tracklets that are searched for, and those that are searched."""

    query: list[Tracklet]
    gallery: list[Tracklet]

    def in_direction(self, name: PairName) -> DirectionPair:
        """The (infrared, visible) sides as (query, gallery) of a direction."""
        return self if name == "infrared_to_visible" else DirectionPair(self.gallery, self.query)


FindPair = Callable[[PairName, Split, int], DirectionPair]
Open = Callable[[Path, Report, Protocol], "Dataset"]


class Reader(NamedTuple):
    """One kind of data set: a test for a folder, an opener, and the protocols it knows, the usual one first."""

    lies_in: Callable[[Path], bool]
    open: Open
    protocols: tuple[Protocol, ...]


@dataclass(frozen=True)
class Dataset:
    """One data set: its tracklets by split, its protocol, and what was left out.

    name is "Duskwalk", "HITSZ-VCM" (its official counts hold), "HITSZ-VCM layout" (any other data in that layout),
    or another reader's name. `find_pair` gives query and gallery of a (pair, split, trial); without it they are the
    infrared tracks of the query list and all visible tracks, as in HITSZ-VCM.
    """

    root: Path
    name: str
    version: str
    synthetic: bool
    splits: dict[Split, SplitRows]
    facts: dict[str, Any]
    protocol: Protocol = HITSZ_VCM
    find_pair: FindPair | None = None

    @cached_property
    def train(self) -> list[Tracklet]:
        return self.splits["train"].kept()

    @cached_property
    def validation(self) -> list[Tracklet]:
        """Tracklets of people for choices (presets, checkpoints); empty if the data set has none."""
        return self.splits["validation"].kept() if "validation" in self.splits else []

    @cached_property
    def test(self) -> list[Tracklet]:
        return self.splits["test"].kept()

    @cached_property
    def n_short(self) -> dict[Split, int]:
        """The number of tracks of fewer than 12 frames that were left out of each split."""
        return {split: rows.n_short() for split, rows in self.splits.items()}

    def direction(self, direction: Direction, split: Split = "test") -> DirectionPair:
        """The two sides of one direction; of several trials, the first one's."""
        return self.pair(direction, split, self.protocol.trials[0])

    def pair(self, name: PairName, split: Split = "test", trial: int = 0) -> DirectionPair:
        """Query and gallery of one of the protocol's pairs, in one of its trials.

        Source: docs/evaluation.md, "The protocol", where there is no `find_pair`.
        """
        names = [pair.name for pair in self.protocol.pairs]
        if name not in names:
            raise DataError(f"direction must be one of {', '.join(names)}; got {name!r}")
        if trial not in self.protocol.trials:
            raise DataError(f"trial must be one of {', '.join(map(str, self.protocol.trials))}; got {trial}")
        if split not in ("test", "validation") or split not in self.splits:
            has = [name for name in ("test", "validation") if name in self.splits]
            raise DataError(f"{self.root}: a direction is scored on {' or '.join(has)}; got {split!r}")
        if self.find_pair is not None:
            return self.find_pair(name, split, trial)
        return DirectionPair(*self.splits[split].query_and_rest()).in_direction(name)

    @cached_property
    def fingerprint(self) -> str:
        """Sixty-four hex digits that do not depend on the folder, nor on whether pictures are flat or in two archives.

        SHA-256 over the bytes of the info files or lists and each referenced picture's name and size in bytes (-1 where
        it is missing). No picture is opened; two copies of equal sizes and other contents have one fingerprint.
        """
        digest = hashlib.sha256()
        for rows in self.splits.values():
            for path in rows.lists:
                data = read_regular(path)
                digest.update(f"{path.name} {len(data)}\n".encode() + data)
            for line in _sizes(rows):
                digest.update(line.encode())
        return digest.hexdigest()

    def walks(self) -> dict[str, dict[str, str]]:
        """The facts of each walk (view_degrees, ...) by tracklet_id, from info/walks.csv; {} if there is none.

        Its `split` (train, val, test) and `row` name a line of the split's track file.
        """
        path = self.root / "info" / "walks.csv"
        if not path.is_file():
            return {}
        walks = {}
        with path.open(newline="", encoding="utf-8") as file:
            for line, walk in enumerate(csv.DictReader(file), start=2):
                split, row = WALK_SPLITS.get(walk.get("split", "")), walk.get("row", "")
                if split not in self.splits or not row.isdecimal() or int(row) not in self.splits[split].tracklets:
                    text = "split and row must name a track: train, val or test, and a line of its track file"
                    raise DataError(f"{path}, line {line}: {text}; write the set again")
                walks[self.splits[split].tracklets[int(row)].tracklet_id] = walk
        return walks

    def counts(self) -> dict[str, int]:
        """The eight figures of the official protocol: tracks and frames by split and modality, after the filter."""
        return count_by_modality(self.train, "train ") | count_by_modality(self.test, "test ")


def count_by_modality(
    tracklets: list[Tracklet], prefix: str = "", order: tuple[Modality, ...] = ("infrared", "visible")
) -> dict[str, int]:
    """The numbers of tracks and of frames of each modality, by name."""
    counts: dict[str, int] = {}
    for modality in order:
        lengths = [len(tracklet) for tracklet in tracklets if tracklet.modality == modality]
        counts |= {f"{prefix}{modality} tracks": len(lengths), f"{prefix}{modality} frames": sum(lengths)}
    return counts


def open_layout(
    root: Path, report: Report, *, name: str, version: str, synthetic: bool, facts: dict[str, Any]
) -> Dataset:
    """A data set in HITSZ-VCM's layout, every broken rule reported."""
    info = info_folder(root)
    pool = FILES["validation"]
    has_validation = any((info / file).is_file() and (info / file).stat().st_size for file in (pool.names, pool.rows))
    wanted: list[Split] = ["train", "test", *(["validation"] if has_validation else [])]  # type: ignore[list-item]
    splits: dict[Split, SplitRows] = {split: read_split(root, split, report) for split in wanted}
    finish(root, splits, report, {split: FILES[split].rows for split in splits})
    return Dataset(root, name, version, synthetic, splits, facts)


def resolved(path: str | Path) -> Path:
    """The data set's own folder, links followed once, so that paths can be compared with it."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"{path} must be a folder with a data set in it; there is no such folder; check the path")
    return root.resolve()


def finish(root: Path, splits: dict[Split, SplitRows], report: Report, files: dict[Split, str]) -> None:
    """Drops pictures outside the data set, and reports people who are in two splits, by the later one's file."""
    drop_outside(root, splits.values(), report)
    people = {split: rows.people() for split, rows in splits.items()}
    pairs: list[tuple[Split, Split]] = [("train", "test"), ("train", "validation"), ("validation", "test")]
    pairs.append(("auxiliary", "test"))
    for one, other in pairs:
        for pid in sorted(people.get(one, set()) & people.get(other, set())):
            text = f"{one} and {other} people must be different ones; person {pid} is in both"
            report(Problem("people", files[other], None, text))


def claims_to_be(name: str, root: Path, splits: dict[Split, SplitRows], n_people: dict[Split, int]) -> bool:
    """True if a copy claims to be this data set: by its numbers of people, or by a file of that name at its root."""
    return (root / name).is_file() or n_people == {split: len(splits[split].people()) for split in n_people}


def _sizes(rows: SplitRows) -> list[str]:
    base = len(os.fspath(rows.base)) + 1
    folders: dict[str, dict[str, int]] = {}
    lines = []
    for tracklet in rows.tracklets.values():
        for frame in tracklet.frames:
            folder, name = os.path.split(os.fspath(frame))
            if folder not in folders:
                folders[folder] = _listing(folder)
            short = folder[base:].replace(os.sep, "/")
            lines.append(f"{short}/{name} {folders[folder].get(name, -1)}\n")
    return lines


def _listing(folder: str) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except OSError:
        return {}
