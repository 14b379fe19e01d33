"""BUPTCampus: its reader, its protocols, what a real copy must count, aligned pairs and generated infrared.

Every training track is two, pixel by pixel the same walk in visible and infrared. The auxiliary list holds people seen by
one camera only: `dataset.splits["auxiliary"]`, which nothing trains on unasked. `DATA/<pid>/FakeIR/` holds infrared
pictures that a network made of the visible ones: `fake_infrared`.

Source: REFERENCE 2.1, 2.2.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from duskmatch.data.bupt_lists import CAMERAS, PATHS, WORD, Line, Paths, read_list
from duskmatch.data.dataset import Dataset, DirectionPair, Sides, people_are_apart
from duskmatch.data.layout import Place, Split, SplitRows, leave_outside
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import DataError
from duskmatch.records import Modality, PairName, Protocol, ScoredPair, Tracklet

NAME = "BUPTCampus"  # also the file at the root that says: hold this copy to the official counts
FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.txt",),
    "auxiliary": ("train_auxiliary.txt",),
    "test": ("query.txt", "gallery.txt"),
}
OFFICIAL_PEOPLE: dict[Split, int] = {"train": 1074, "test": 1076}
# Source: REFERENCE 2.1: people, tracks and frames of each list.
OFFICIAL_COUNTS = {
    "train people": 1074,
    "train infrared tracks": 3574,
    "train infrared frames": 398069,
    "train visible tracks": 3574,
    "train visible frames": 398069,
    "auxiliary people": 930,
    "auxiliary infrared tracks": 930,
    "auxiliary infrared frames": 104575,
    "auxiliary visible tracks": 930,
    "auxiliary visible frames": 104575,
    "query people": 1076,
    "query infrared tracks": 536,
    "query infrared frames": 53417,
    "query visible tracks": 540,
    "query visible frames": 48521,
    "gallery people": 1076,
    "gallery infrared tracks": 2422,
    "gallery infrared frames": 298771,
    "gallery visible tracks": 2422,
    "gallery visible frames": 298771,
}
LEGACY_BATCH = 64
BOTH: tuple[Modality, ...] = ("visible", "infrared")
SIDES: dict[PairName, tuple[tuple[Modality, ...], tuple[Modality, ...]]] = {
    "infrared_to_visible": (("infrared",), ("visible",)),
    "visible_to_infrared": (("visible",), ("infrared",)),
    "visible_to_visible": (("visible",), ("visible",)),
    "infrared_to_infrared": (("infrared",), ("infrared",)),
    "omni": (BOTH, BOTH),
}
# Source: REFERENCE 2.2; no camera rule, ten frames, all tracks of both lists.
STANDARD = Protocol(
    name="BUPTCampus (queries and gallery are two lists; four pairs of modalities, and all together)",
    variant="standard",
    pairs=tuple(
        ScoredPair(name, f"every {' or '.join(query)} query", f"every {' or '.join(gallery)} gallery track")
        for name, (query, gallery) in SIDES.items()
    ),
    camera_rule="none",
    frames_per_clip=10,
)
LEGACY_DROP = replace(
    STANDARD,
    variant="legacy_drop",
    name=f"BUPTCampus, legacy_drop: visible lists cut to a multiple of {LEGACY_BATCH} as in AuxNet's rows, not the whole set",
)
PROTOCOLS = (STANDARD, LEGACY_DROP)


class AlignedPair(NamedTuple):
    """One walk twice, frame by frame at the same moments."""

    visible: Tracklet
    infrared: Tracklet


def lies_in_bupt(root: Path) -> bool:
    """Whether a folder holds BUPTCampus' lists."""
    return (root / PATHS).exists() or any((root / name).exists() for name in ("gallery.txt", "train_auxiliary.txt"))


def open_bupt(root: Path, report: Report, protocol: Protocol = STANDARD) -> Dataset:
    """A copy of BUPTCampus, held to its official counts, or any data written in its layout.

    A copy claims to be BUPTCampus by its 1,074 training and 1,076 test people, or by a file named BUPTCampus at its root.
    """
    paths = Paths(root, report)
    splits = {split: _read(root, files, paths, report) for split, files in FILES.items()}
    splits["train"].lists.append(root / PATHS)
    leave_outside(root, splits.values(), report)
    people_are_apart(splits, report, {split: files[-1] for split, files in FILES.items()})
    people = {split: len({t.pid for t in splits[split].tracklets.values()}) for split in OFFICIAL_PEOPLE}
    claims = people == OFFICIAL_PEOPLE or (root / NAME).is_file()
    wrong = _differing(count_lists(splits)) if claims else []
    if wrong:
        rule = f"this copy claims to be {NAME} but its counts differ"
        report(Problem("counts", ".", None, f"{rule} ({'; '.join(wrong)}); copy the lists and archives again"))
    name = NAME if claims and not wrong else f"{NAME} layout"
    return Dataset(root, name, "", False, splits, {}, protocol, sides_of(splits["test"], protocol))


def sides_of(rows: SplitRows, protocol: Protocol) -> Sides:
    """Who is compared with whom in each pair of modalities."""

    def sides(name: PairName, split: Split, trial: int) -> DirectionPair:
        chosen = set(rows.query)
        query, gallery = rows.kept(rows.query), rows.kept([row for row in rows.tracklets if row not in chosen])
        if protocol.variant == LEGACY_DROP.variant:
            query, gallery = legacy_cut(query), legacy_cut(gallery)
        of_query, of_gallery = SIDES[name]
        return DirectionPair(
            [t for t in query if t.modality in of_query], [t for t in gallery if t.modality in of_gallery]
        )

    return sides


def legacy_cut(tracklets: list[Tracklet], batch: int = LEGACY_BATCH) -> list[Tracklet]:
    """Visible ones first, their last len % batch left out, then all infrared ones.

    Source: REFERENCE 2.2, the official test sampler. Differs: a visible list that is a multiple of the batch stays whole;
    there all of it would be lost.
    """
    visible = [t for t in tracklets if t.modality == "visible"]
    kept = visible[: len(visible) - len(visible) % batch]
    return kept + [t for t in tracklets if t.modality == "infrared"]


def aligned_pairs(dataset: Dataset, split: Split = "train") -> list[AlignedPair]:
    """The pairs of the training list, or of the auxiliary one."""
    if split not in ("train", "auxiliary"):
        raise DataError(f"{dataset.root}: aligned pairs are in train or auxiliary; got {split!r}")
    tracklets = dataset.splits[split].tracklets
    return [
        AlignedPair(tracklet, tracklets[row + 1])
        for row, tracklet in tracklets.items()
        if tracklet.modality == "visible" and row + 1 in tracklets
    ]


def fake_infrared(tracklet: Tracklet) -> Tracklet:
    """The infrared track that a network made of a visible one: the same names in the folder FakeIR in place of RGB."""
    first = tracklet.frames[0]
    if tracklet.modality != "visible" or first.parent.parent.name != WORD["visible"]:
        raise DataError(f"only visible tracks of {NAME} have a FakeIR one; got {tracklet.tracklet_id} at {first}")
    folder = first.parent.parent.parent / "FakeIR" / first.parent.name
    if not folder.is_dir():
        raise DataError(f"{folder} must hold FakeIR pictures; there is no such folder; copy it from the data set")
    frames = tuple(folder / frame.name for frame in tracklet.frames)
    name = tracklet.tracklet_id.replace("_RGB_", "_FakeIR_")
    return replace(tracklet, frames=frames, modality="infrared", tracklet_id=name)


def count_lists(splits: dict[Split, SplitRows]) -> dict[str, int]:
    """People, tracks and frames of the four lists, by modality."""
    test = splits["test"]
    chosen = set(test.query)
    lists = {
        "train": splits["train"].kept(),
        "auxiliary": splits["auxiliary"].kept(),
        "query": test.kept(test.query),
        "gallery": test.kept([row for row in test.tracklets if row not in chosen]),
    }
    counts = {}
    for name, tracklets in lists.items():
        counts[f"{name} people"] = len({t.pid for t in tracklets})
        for modality in ("infrared", "visible"):
            own = [t for t in tracklets if t.modality == modality]
            counts |= {f"{name} {modality} tracks": len(own), f"{name} {modality} frames": sum(map(len, own))}
    return counts


def _differing(found: dict[str, int]) -> list[str]:
    return [f"{what}: expected {n}, found {found[what]}" for what, n in OFFICIAL_COUNTS.items() if found[what] != n]


def _read(root: Path, files: tuple[str, ...], paths: Paths, report: Report) -> SplitRows:
    """One split; rows are numbered in order, an aligned pair's visible track before its infrared one."""
    rows = SplitRows(root / "DATA", min_frames=1, lists=[root / file for file in files])
    words = ("RGB/IR",) if len(files) == 1 else ("RGB", "IR")
    row = 0
    for file in files:
        for line in read_list(root, file, words, report):
            tracks = _tracks(line, paths, report)
            for row, tracklet in enumerate(tracks, start=row + 1):
                rows.tracklets[row], rows.places[row] = tracklet, Place(file, line.line)
                rows.query += [row] if file == "query.txt" else []
                rows.n_names += len(tracklet)
    return rows


def _tracks(line: Line, paths: Paths, report: Report) -> list[Tracklet]:
    """The line's track or two, or none where a rule is broken."""
    tracks = []
    for modality in line.modalities:
        if frames := paths.of(line, modality):
            tracks.append(Tracklet(frames, int(line.pid), CAMERAS[line.camera], modality, line.name(modality)))
    if len(tracks) != len(line.modalities):
        return []
    if len({len(track) for track in tracks}) > 1:
        text = "an aligned pair must have as many visible as infrared pictures; got " + " and ".join(
            f"{len(track)} {track.modality}" for track in tracks
        )
        report(Problem("contradictory", line.file, line.line, text))
        return []
    return tracks
