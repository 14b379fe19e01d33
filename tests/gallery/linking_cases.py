"""Galleries of people who can be told apart, with a calibration that knows how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.evaluation.calibration import Calibration, LikelihoodRatio
from duskmatch.gallery import Gallery
from duskmatch.gallery.probability.calibrated import Calibrated
from duskmatch.records import Embeddings, Floats, Modality
from tests.gallery.making import WIDTH

PAIRS = ("visible-visible", "infrared-infrared", "visible-infrared")
FACTS = {
    "data": ["invented"], "synthetic": True, "n_people": 100, "n_tracklets": 600, "n_unknown": 0, "pairs": [*PAIRS],
    "camera_rule": "none", "made_s": 1.0, "version": "0",
}  # fmt: skip


def calibration(slope: float = 16.0, even: float = 0.5, pairs: Sequence[str] = PAIRS) -> Calibration:
    """Even odds at a similarity of `even`, `slope` more log-odds for each 1 of similarity."""
    knots = np.array([-1.0, 1.0])
    ratio = LikelihoodRatio("platt", knots, slope * (knots - even), 1000, 100_000, 100)
    return Calibration(dict.fromkeys(pairs, ratio), FACTS)


def calibrate(gallery: Gallery, given: Calibration | None = None) -> None:
    """Puts a calibration into a gallery's table."""
    text = Calibrated(given or calibration(), (), (), gallery.facts.model or "").text()
    gallery._store.write(lambda db: db.execute("INSERT OR REPLACE INTO calibration VALUES (1, ?)", (text,)).fetchall())


def vectors(people: Sequence[int], seed: int = 0, noise: float = 0.1) -> Floats:
    """A vector of length 1 for each entry: the direction of its person and some noise of its own."""
    rng = np.random.default_rng(seed)
    centre = np.linalg.qr(np.random.default_rng(99).normal(size=(WIDTH, WIDTH)))[0]
    drawn = centre[np.asarray(people)] + noise * rng.normal(size=(len(people), WIDTH))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def entries(people: Sequence[int], names: Sequence[str], **facts: Any) -> Embeddings:
    """Entries of these people: by turns visible of camera 1 and infrared of camera 2, seen one after another."""
    n = len(people)
    words: list[Modality] = ["visible" if i % 2 == 0 else "infrared" for i in range(n)]
    given: dict[str, Any] = {
        "pids": np.array(people), "camids": np.array([1 + i % 2 for i in range(n)]), "modality": words,
        "begin_s": [100.0 * i for i in range(n)], "end_s": [100.0 * i + 50 for i in range(n)],
    }  # fmt: skip
    given |= facts
    seed = int(np.frombuffer(names[0].encode().ljust(4, b"x")[:4], np.uint32)[0]) if n else 0
    return Embeddings(
        vectors(people, seed), given["pids"], given["camids"], given["modality"], list(names), {"model": "m"},
        given["begin_s"], given["end_s"],
    )  # fmt: skip


def gallery_of(folder: Path, people: Sequence[int], **facts: Any) -> Gallery:
    """A calibrated gallery with an entry a0, a1, ... for each of these people."""
    gallery = Gallery.create(folder, width=WIDTH, model="m")
    if len(people):
        gallery.add(entries(people, [f"a{i}" for i in range(len(people))], **facts))
    calibrate(gallery)
    return gallery


def who(gallery: Gallery) -> dict[int, list[str]]:
    """Person -> ids."""
    return {person.number: list(person.ids) for person in gallery.people()}
