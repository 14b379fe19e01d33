"""BUPTCampus: its reader, the official counts of a real copy, aligned pairs and generated infrared.

Every training track is a pair, the same walk in visible and infrared, aligned pixel by pixel. The auxiliary list holds
people seen by one camera only: `dataset.splits["auxiliary"]`, which training uses only on request.
`DATA/<pid>/FakeIR/` holds infrared pictures that a network made of the visible ones: `fake_infrared`.

Source: public code dyhBUPT/BUPTCampus; docs/datasets.md, "BUPTCampus".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from duskmatch.data.bupt_lists import CAMERAS, PATHS, WORD, Line, Paths, read_list
from duskmatch.data.bupt_protocol import STANDARD, pair_finder
from duskmatch.data.dataset import Dataset, claims_to_be, count_by_modality, finish
from duskmatch.data.images import picture_rows
from duskmatch.data.layout import Place, Split, SplitRows
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import DataError
from duskmatch.records import Protocol, Tracklet

NAME = "BUPTCampus"  # also a file at the root, which has the copy checked against the official counts
QUERY = "query.txt"
FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.txt",),
    "auxiliary": ("train_auxiliary.txt",),
    "test": (QUERY, "gallery.txt"),
}
OFFICIAL_PEOPLE: dict[Split, int] = {"train": 1074, "test": 1076}
# People, infrared tracks, infrared frames, visible tracks, visible frames of each list. Source: BUPTCampus' README.
OFFICIAL_LISTS = {
    "train": (1074, 3574, 398069, 3574, 398069),
    "auxiliary": (930, 930, 104575, 930, 104575),
    "query": (1076, 536, 53417, 540, 48521),
    "gallery": (1076, 2422, 298771, 2422, 298771),
}
COUNTED = ("people", "infrared tracks", "infrared frames", "visible tracks", "visible frames")
OFFICIAL_COUNTS = {
    f"{name} {what}": n for name, counts in OFFICIAL_LISTS.items() for what, n in zip(COUNTED, counts, strict=True)
}


class AlignedPair(NamedTuple):
    """One walk in both modalities; frame i of both was taken at the same moment."""

    visible: Tracklet
    infrared: Tracklet


def lies_in_bupt(root: Path) -> bool:
    """True if a folder holds BUPTCampus' lists."""
    return (root / PATHS).exists() or (root / "train_auxiliary.txt").exists()


def open_bupt(root: Path, report: Report, protocol: Protocol = STANDARD) -> Dataset:
    """A copy of BUPTCampus, held to its official counts, or any data written in its layout.

    A copy claims to be BUPTCampus by its 1,074 training and 1,076 test people, or by a file named BUPTCampus at its
    root.
    """
    paths = Paths(root, report)
    splits = {split: _read(root, split, paths, report) for split in FILES}
    finish(root, splits, report, {split: files[-1] for split, files in FILES.items()})
    found = count_lists(splits)
    wrong = [f"{what}: expected {n}, found {found[what]}" for what, n in OFFICIAL_COUNTS.items() if found[what] != n]
    if wrong and claims_to_be(NAME, root, splits, OFFICIAL_PEOPLE):
        rule = f"this copy claims to be {NAME} but its counts differ"
        report(Problem("counts", ".", None, f"{rule} ({'; '.join(wrong)}); copy the lists and archives again"))
    name = f"{NAME} layout" if wrong else NAME
    facts = {"found": found, "expected": OFFICIAL_COUNTS}
    return Dataset(root, name, "", False, splits, facts, protocol, pair_finder(splits["test"], protocol))


def aligned_pairs(dataset: Dataset, split: Split = "train") -> list[AlignedPair]:
    """The pairs of the training list, or of the auxiliary one."""
    if split not in ("train", "auxiliary") or split not in dataset.splits:
        raise DataError(f"{dataset.root}: aligned pairs are in train and auxiliary of {NAME}; got {split!r}")
    tracklets = dataset.splits[split].tracklets
    return [
        AlignedPair(tracklet, tracklets[row + 1])
        for row, tracklet in tracklets.items()
        if tracklet.modality == "visible" and row + 1 in tracklets
    ]


def fake_infrared(tracklet: Tracklet) -> Tracklet:
    """The infrared track that a network made from a visible one: the same names in folder FakeIR instead of RGB."""
    camera = tracklet.frames[0].parent
    if tracklet.modality != "visible" or camera.parent.name != WORD["visible"]:
        raise DataError(f"only visible tracks of {NAME} have a FakeIR one; got {tracklet.tracklet_id} in {camera}")
    folder = camera.parent.parent / "FakeIR" / camera.name
    if not folder.is_dir():
        raise DataError(f"{folder} must hold FakeIR pictures; there is no such folder; copy it from the data set")
    frames = tuple(folder / frame.name for frame in tracklet.frames)
    name = tracklet.tracklet_id.replace("_RGB_", "_FakeIR_")
    return replace(tracklet, frames=frames, modality="infrared", tracklet_id=name)


def count_lists(splits: dict[Split, SplitRows]) -> dict[str, int]:
    """People, tracks and frames of the four lists, by modality, called as in OFFICIAL_COUNTS."""
    query, gallery = splits["test"].query_and_rest()
    lists = {name: splits[name].kept() for name in ("train", "auxiliary")} | {"query": query, "gallery": gallery}
    counts: dict[str, int] = {}
    for name, tracklets in lists.items():
        counts |= {f"{name} people": len({t.pid for t in tracklets}), **count_by_modality(tracklets, f"{name} ")}
    return counts


def _read(root: Path, split: Split, paths: Paths, report: Report) -> SplitRows:
    """One split; in it the visible track of an aligned pair is just before the infrared one."""
    files = FILES[split]
    words = ("RGB", "IR") if split == "test" else ("RGB/IR",)
    rows = picture_rows(root, [root / file for file in (*files, *([PATHS] if split == "train" else []))])
    for file in files:
        for line in read_list(root, file, words, report):
            for tracklet in _tracks(line, paths, report):
                rows.add(tracklet, Place(file, line.line), query=file == QUERY)
    return rows


def _tracks(line: Line, paths: Paths, report: Report) -> list[Tracklet]:
    """The line's one or two tracks; none if a rule is broken."""
    tracks = []
    for modality in line.modalities:
        if frames := paths.of(line, modality):
            tracks.append(Tracklet(frames, int(line.pid), CAMERAS[line.camera], modality, line.name(modality)))
    if len(tracks) != len(line.modalities):
        return []
    if len({len(track) for track in tracks}) > 1:
        lengths = " and ".join(f"{len(track)} {track.modality}" for track in tracks)
        text = f"an aligned pair must have as many visible as infrared pictures; got {lengths}"
        report(Problem("contradictory", line.file, line.line, text))
        return []
    return tracks
