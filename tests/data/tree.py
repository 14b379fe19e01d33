"""A tiny tree in HITSZ-VCM's layout, written by hand and not by the generator, and tracklets without pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from duskmatch.records import Modality, Tracklet

CODE = {"infrared": 1, "visible": 2}
FOLDER = {"infrared": "ir", "visible": "rgb"}
FILES = {
    "train": ("train_name.txt", "track_train_info.txt", None, "Train"),
    "test": ("test_name.txt", "track_test_info.txt", "query_IDX.txt", "Test"),
    "validation": ("val_name.txt", "track_val_info.txt", "val_query_IDX.txt", "Validation"),
}


@dataclass
class Tree:
    """What to write. Each person has `lengths` tracks before each of `cameras`, in both modalities."""

    root: Path
    people: dict[str, Sequence[int]] = field(default_factory=lambda: {"train": (1, 2, 3), "test": (4, 5)})
    cameras: Sequence[int] = (1, 2)
    lengths: Sequence[int] = (12, 13)
    size: tuple[int, int] = (24, 12)
    layout: str = "flat"  # or "split"
    info: str = "info"  # or "root"
    query: str = "one line"  # or "many lines"
    duskwalk: bool = False
    pictures: bool = True

    @property
    def info_folder(self) -> Path:
        return self.root / "info" if self.info == "info" else self.root

    def base(self, split: str) -> Path:
        return self.root / FILES[split][3] if self.layout == "split" else self.root

    def write(self) -> Path:
        self.info_folder.mkdir(parents=True, exist_ok=True)
        for split in self.people:
            self._write_split(split)
        if self.duskwalk:
            facts = {"name": "Duskwalk", "data_version": "1", "preset": "tiny", "seed": 0, "synthetic": True}
            (self.root / "duskwalk.json").write_text(json.dumps(facts))
        return self.root

    def file(self, name: str) -> Path:
        return self.info_folder / name

    def edit(self, name: str, line: int, text: str | None) -> None:
        """Replaces one line (from 1) of an info file, or takes it out."""
        lines = self.file(name).read_text().splitlines()
        lines[line - 1 : line] = [] if text is None else [text]
        self.file(name).write_text("\n".join(lines) + "\n")

    def _write_split(self, split: str) -> None:
        names, rows, query = [], [], []
        for pid, modality, camid, track, n in self._tracks(split):
            rows.append(f"{CODE[modality]} {len(names) + 1} {len(names) + n} {pid:04d} {camid}")
            query += [len(rows)] if modality == "infrared" else []
            names += [f"{pid:04d}M{CODE[modality]}D{camid}T{track}F{track * 100 + f}.jpg" for f in range(n)]
            if self.pictures:
                folder = self.base(split) / f"{pid:04d}" / FOLDER[modality] / f"D{camid}"
                for f in range(n):
                    write_picture(folder / f"{track * 100 + f}.jpg", self.size, seed=pid * 1000 + track * 100 + f)
        name_file, row_file, query_file, _ = FILES[split]
        self.file(name_file).write_text("".join(f"{name}\n" for name in names))
        self.file(row_file).write_text("".join(f"{row}\n" for row in rows))
        if query_file:
            gap = " " if self.query == "one line" else "\n"
            self.file(query_file).write_text(gap.join(map(str, query)) + "\n")

    def _tracks(self, split: str) -> Iterator[tuple[int, Modality, int, int, int]]:
        modalities: tuple[Modality, ...] = ("infrared", "visible")
        for pid in self.people[split]:
            for modality in modalities:
                for camid in self.cameras:
                    for track, n in enumerate(self.lengths, start=1):
                        yield pid, modality, camid, track, n


def write_picture(path: Path, size: tuple[int, int] = (24, 12), seed: int = 0) -> None:
    """A small smooth JPEG that no two seeds share."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    picture = cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def fake_tracklets(people: int, infrared: int, visible: int) -> list[Tracklet]:
    """Tracklets without pictures, dealt out to people in turn."""
    counts: tuple[tuple[Modality, int], ...] = (("infrared", infrared), ("visible", visible))
    return [
        Tracklet((Path(f"{modality}/{i}.jpg"),), pid=1 + i % people, camid=1 + i % 6, modality=modality)
        for modality, n in counts
        for i in range(n)
    ]


def vcm_sized_info(root: Path) -> None:
    """Info files with HITSZ-VCM's people and eight counts, no pictures; short tracks too."""
    (root / "info").mkdir(parents=True)
    counts = {
        "train": (range(1, 501), (("infrared", 4291, 98214), ("visible", 5460, 126543))),
        "test": (range(501, 928), (("infrared", 4584, 105979), ("visible", 5099, 118137))),
    }
    for split, (people, modalities) in counts.items():
        names, rows, query = [], [], []
        for modality, n_tracks, n_frames in modalities:
            lengths = [n_frames // n_tracks + (i < n_frames % n_tracks) for i in range(n_tracks)] + [11] * 100
            for i, n in enumerate(lengths):
                pid, camid, track = people[i % len(people)], 1 + i % 12, i
                rows.append(f"{CODE[modality]} {len(names) + 1} {len(names) + n} {pid:04d} {camid}")
                query += [len(rows)] if modality == "infrared" else []
                names += [f"{pid:04d}M{CODE[modality]}D{camid}T{track}F{f}.jpg" for f in range(n)]
        name_file, row_file, query_file, _ = FILES[split]
        (root / "info" / name_file).write_text("\n".join(names) + "\n")
        (root / "info" / row_file).write_text("\n".join(rows) + "\n")
        if query_file:
            (root / "info" / query_file).write_text(" ".join(map(str, query)))
