"""A small data set and an embedder for it: people as coloured figures, vectors as points about each person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from duskmatch.embedding import Account
from duskmatch.records import HITSZ_VCM, MODALITIES, Embeddings, Protocol, Tracklet


class Pair(NamedTuple):
    query: list[Tracklet]
    gallery: list[Tracklet]


@dataclass
class People:
    """Stands in for an opened data set."""

    root: Path
    tracklets: dict[str, list[Tracklet]]
    name: str = "Duskwalk"
    version: str = "1"
    fingerprint: str = "ab" * 32
    synthetic: bool = True
    truth: dict[str, dict[str, str]] = field(default_factory=dict)
    protocol: Protocol = HITSZ_VCM

    def direction(self, direction, split="test"):
        return self.pair(direction, split)

    def pair(self, direction, split="test", trial=0):
        infrared = [t for t in self.tracklets[split] if t.modality == "infrared"]
        visible = [t for t in self.tracklets[split] if t.modality == "visible"]
        return Pair(infrared, visible) if direction == "infrared_to_visible" else Pair(visible, infrared)

    def walks(self):
        return self.truth

    @property
    def test(self):
        return self.tracklets["test"]


def make_people(root: Path, n_people: int = 6, *, pictures: bool = False, per_camera: int = 1, seed: int = 0) -> People:
    """n people by three cameras, each seen in both modalities; frames are written where `pictures` says so."""
    rng = np.random.default_rng(seed)
    tracklets, truth = [], {}
    for modality in MODALITIES:
        for pid in range(1, n_people + 1):
            for camid in (1, 2, 3):
                for track in range(per_camera):
                    name = f"{pid:04d}{modality[0]}{camid}t{track}"
                    folder = root / name
                    frames = tuple(folder / f"{i}.jpg" for i in range(12))
                    if pictures:
                        folder.mkdir(parents=True)
                        for i, frame in enumerate(frames):
                            cv2.imwrite(str(frame), _picture(rng, pid, modality, i))
                    tracklets.append(Tracklet(frames, pid, camid, modality, name, begin_s=0.0, end_s=1.0))
                    truth[name] = {"tracklet_id": name, "view_degrees": str((37 * pid + 90 * camid) % 360)}
    return People(root, {"test": tracklets, "validation": tracklets}, truth=truth)


class FakeEmbedder:
    """Vectors about a point for each person, `noise` away from it."""

    def __init__(self, noise: float = 0.8, d: int = 16, unreadable: tuple[str, ...] = ()) -> None:
        self.noise, self.d, self.unreadable = noise, d, unreadable
        self.header = {}

    def embed(self, tracklets, on_progress=None):
        there = [t for t in tracklets if t.tracklet_id not in self.unreadable]
        centres = np.random.default_rng(1).standard_normal((1000, self.d))
        steps = np.random.default_rng(2).standard_normal((len(there), self.d))
        vectors = centres[[t.pid for t in there]] + self.noise * steps
        return Embeddings(
            vectors.astype(np.float32),
            np.array([t.pid for t in there], np.int64),
            np.array([t.camid for t in there], np.int64),
            [t.modality for t in there],
            sources=[t.tracklet_id for t in there],
        )

    def embed_with_account(self, tracklets, on_progress=None):
        return self.embed(tracklets), Account(n_tracklets=len(tracklets), seconds=0.0123 * len(tracklets))

    def facts(self, account=None):
        return {
            "precision": "fp32",
            "checkpoint": "RUN/model.safetensors, step 300",
            "selection": "last",
            "seed": 3,
            "n_frames": 6,
            "sampling": "first of each of 6 segments",
            "test_time_extras": [],
            "parameters": 1_234_567,
            "flops": 2.5e9,
            "ms_per_tracklet": 12.3,
            "settings": {"train": {"lr": 0.12, "optimizer": "sgd"}, "model": {"backbone": "resnet18"}},
            "versions": {"duskmatch": "0.1.0"},
        }


def _picture(rng, pid, modality, frame):
    """A standing figure in the person's colours (BGR), grey where infrared."""
    colours = np.random.default_rng(pid).integers(40, 220, (2, 3))
    picture = np.full((96, 48, 3), 120, np.uint8)
    cv2.circle(picture, (24 + frame % 3, 14), 8, (150, 170, 210), -1)
    cv2.rectangle(picture, (12, 24), (36, 58), colours[0].tolist(), -1)
    cv2.rectangle(picture, (15, 58), (33, 92), colours[1].tolist(), -1)
    picture = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    return picture if modality == "visible" else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
