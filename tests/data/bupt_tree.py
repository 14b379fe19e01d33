"""Small trees in BUPTCampus' layout: written from the tracks of another data set, broken on purpose, or lists alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duskmatch.data import Dataset
from duskmatch.data.bupt_lists import CAMERAS
from duskmatch.records import Tracklet

NAMES = list(CAMERAS)
Pair = tuple[Tracklet, Tracklet]


@dataclass
class BuptTree:
    """Pairs of tracks of one person become aligned pairs, cut to `n_frames` each."""

    root: Path
    n_frames: int = 10
    lists: dict[str, list[str]] = field(default_factory=dict)
    paths: dict[str, Any] = field(default_factory=dict)

    def write(self, source: Dataset) -> BuptTree:
        """Training people train; of each test person one track in one modality is a query, the others are gallery;
        validation people, each with one pair, are the auxiliary ones."""
        self.lists = {name: [] for name in ("train.txt", "train_auxiliary.txt", "query.txt", "gallery.txt")}
        for pairs in _pairs(source.train):
            for track, pair in enumerate(pairs, start=1):
                self.add("train.txt", "RGB/IR", pair, track)
        for pairs in _pairs(source.validation):
            self.add("train_auxiliary.txt", "RGB/IR", pairs[0], 1)
        for number, pairs in enumerate(_pairs(source.test)):
            self.add("query.txt", "RGB" if number % 2 else "IR", pairs[0], 1)
            for track, pair in enumerate(pairs[1:], start=2):
                for word in ("RGB", "IR"):
                    self.add("gallery.txt", word, pair, track)
        self.save()
        return self

    def add(self, file: str, word: str, pair: Pair, track: int) -> None:
        """One line, its paths and its pictures."""
        pid, camera = str(pair[0].pid), NAMES[pair[0].camid % len(NAMES)]
        self.lists[file].append(f"{pid} {word} {camera} {track}")
        for modality, tracklet in zip(("RGB", "IR"), pair, strict=True):
            if modality in word.split("/"):
                self._pictures(tracklet, pid, modality, camera, track)
        if word == "RGB/IR":
            for visible, infrared in zip(*(self._of(pid, m, camera, track) for m in ("RGB", "IR")), strict=True):
                fake = self.root / "DATA" / visible.replace("/RGB/", "/FakeIR/")
                fake.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.root / "DATA" / infrared, fake)

    def save(self) -> None:
        for name, lines in self.lists.items():
            (self.root / name).write_text("".join(f"{line}\n" for line in lines))
        (self.root / "data_paths.json").write_text(json.dumps(self.paths, indent=1))

    def edit(self, name: str, line: int, text: str) -> None:
        """Replaces one line (from 1) of a list."""
        self.lists[name][line - 1] = text
        self.save()

    def _pictures(self, tracklet: Tracklet, pid: str, word: str, camera: str, track: int) -> None:
        folder = Path(pid) / word / camera
        (self.root / "DATA" / folder).mkdir(parents=True, exist_ok=True)
        paths = []
        for frame in tracklet.frames[: self.n_frames]:
            paths.append(f"{folder.as_posix()}/{pid}_{word}_{camera}_{track}_{frame.stem}.jpg")
            shutil.copyfile(frame, self.root / "DATA" / paths[-1])
        cameras = self.paths.setdefault(pid, {}).setdefault(word, {})
        cameras.setdefault(camera, {})[str(track)] = paths

    def _of(self, pid: str, word: str, camera: str, track: int) -> list[str]:
        found: list[str] = self.paths[pid][word][camera][str(track)]
        return found


def _pairs(tracklets: Sequence[Tracklet]) -> list[list[Pair]]:
    """For each person its visible and infrared tracks, side by side in their order."""
    people = dict.fromkeys(t.pid for t in tracklets)
    sides = {m: {pid: [t for t in tracklets if (t.pid, t.modality) == (pid, m)] for pid in people} for m in MODALITY}
    return [list(zip(sides["visible"][pid], sides["infrared"][pid], strict=True)) for pid in people]


MODALITY = ("visible", "infrared")


def official_lists(root: Path) -> None:
    """Lists of the official sizes, tracks of one frame, no pictures.

    The last 27 test people have two visible gallery tracks each, 54 in all, and 14 of them are infrared queries.
    """
    root.mkdir(parents=True)
    paths: dict[str, Any] = {}

    def line(pid: int, word: str, track: int) -> str:
        camera = NAMES[track % len(NAMES)]
        for m in word.split("/"):
            name = f"{pid}/{m}/{camera}/{pid}_{m}_{camera}_{track}_1.jpg"
            paths.setdefault(str(pid), {}).setdefault(m, {}).setdefault(camera, {})[str(track)] = [name]
        return f"{pid} {word} {camera} {track}\n"

    train = [pid for pid in range(1, 1075) for _ in range(3 + (pid <= 3574 - 3 * 1074))]
    tracks = dict.fromkeys(train, 0)
    with (root / "train.txt").open("w") as file:
        for pid in train:
            tracks[pid] += 1
            file.write(line(pid, "RGB/IR", tracks[pid]))
    (root / "train_auxiliary.txt").write_text("".join(line(2000 + i, "RGB/IR", 1) for i in range(930)))
    test = list(range(4001, 4001 + 1076))
    words = ["RGB"] * 4 + ["RGB" if i % 2 else "IR" for i in range(1, 1073)]  # 540 and 536, the last one infrared
    (root / "query.txt").write_text("".join(line(pid, word, 9) for pid, word in zip(test, words, strict=True)))
    gallery = [(pid, track) for i, pid in enumerate(test) for track in range(1, 3 + (i < 2422 - 2 * 1076))]
    (root / "gallery.txt").write_text("".join(line(pid, m, t) for pid, t in gallery for m in ("RGB", "IR")))
    (root / "data_paths.json").write_text(json.dumps(paths))
