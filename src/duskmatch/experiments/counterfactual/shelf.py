"""Opens the RUNs of a counterfactual test, and keeps their embeddings of each film as files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from duskmatch import __version__
from duskmatch.data import Dataset
from duskmatch.embedding import Embedder, load_embedder
from duskmatch.embedding.embedder import Progress
from duskmatch.embedding.exported import FILE, is_exported
from duskmatch.embedding.shards import Shards
from duskmatch.errors import EvaluationError
from duskmatch.evaluation import load_embeddings, save_embeddings
from duskmatch.files import file_hash
from duskmatch.machine import pick_device
from duskmatch.records import Embeddings, Tracklet


@dataclass(frozen=True, slots=True)
class Subject:
    """One RUN with its name; `key` changes with everything that can change a vector of the same pictures."""

    name: str
    path: Path
    embedder: Embedder
    weights_sha256: str
    key: str


def open_subjects(runs: Sequence[Path], names: Sequence[str], **options: Any) -> list[Subject]:
    """The opened RUNs; `options` are load_embedder's: device, engine, precision."""
    return [_open(run, name, options) for run, name in zip(runs, names, strict=True)]


def _open(run: Path, name: str, options: dict[str, Any]) -> Subject:
    embedder = load_embedder(run, **options)
    weights = file_hash(run / (FILE if is_exported(run) else "model.safetensors"))
    engine, place = embedder.engine, pick_device(options.get("device", "auto"))
    made = [weights, engine.name, engine.precision, engine.versions, place.type, torch.__version__, __version__]
    return Subject(name, run, embedder, weights, hashlib.sha256(json.dumps(made).encode()).hexdigest())


class Shelf:
    """Embeddings in a folder, a file for each RUN and each set of pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, subject: Subject, fingerprint: str) -> Embeddings | None:
        """The stored embeddings of exactly these pictures by this RUN; None if missing or damaged."""
        file = self._file(subject, fingerprint)
        if not file.is_file():
            return None
        try:
            found = load_embeddings(file)
        except EvaluationError:
            return None
        return found if found.meta.get("shelf") == [subject.key, fingerprint] else None

    def embedded(
        self, subject: Subject, tracklets: Sequence[Tracklet], fingerprint: str, on_progress: Progress | None = None
    ) -> Embeddings:
        """The tracklets' embeddings, stored or computed; a killed process continues after its last block."""
        found = self.find(subject, fingerprint)
        if found is not None:
            return found
        file = self._file(subject, fingerprint)
        shards = Shards(subject.embedder, tracklets, file)
        shards.compute(on_progress=on_progress)
        made, _ = shards.joined()
        made.meta.update({"synthetic": True, "shelf": [subject.key, fingerprint]})
        save_embeddings(file, made)
        shards.remove()
        return made

    def _file(self, subject: Subject, fingerprint: str) -> Path:
        return self.folder / f"{subject.key[:16]}-{fingerprint[:16]}.safetensors"


def training_data(subject: Subject, dataset: Dataset) -> tuple[str, str | None]:
    """The relation of a RUN's training data to DATASET, and a note for the user if it matters.

    In Duskwalk no person can be in both training and test, whatever the seeds, since both are drawn from streams of
    their own. Of other data it is not known who is in them.
    """
    header = subject.embedder.header.get("data") or {}
    name, seed = header.get("name"), header.get("seed")
    if header.get("fingerprint") == dataset.fingerprint:
        return "this data set", None
    if name is None:
        return "not said", f"the training data of {subject.name} are not known and may include these test people"
    if name != "Duskwalk":
        what = f"{subject.name} was trained on other data ({name}, fingerprint {str(header.get('fingerprint'))[:16]})"
        return "other data", f"{what}: it is not known whether they include these test people"
    if seed == dataset.facts["seed"]:
        return "the same seed", None
    other = "a Duskwalk set of unknown seed" if seed is None else f"Duskwalk of seed {seed}"
    return "other Duskwalk", (
        f"{subject.name} was trained on {other}, not on seed {dataset.facts['seed']}: no test person was among its "
        "people, but cameras and streets may be new to it, unlike to a RUN trained on this seed"
    )
