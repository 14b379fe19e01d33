"""Whether a method learns at all: four people of Duskwalk `tiny`, trained until each is found among them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from duskmatch import load_embedder
from duskmatch.config import load_settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.evaluation import score
from duskmatch.files import only_writer
from duskmatch.synthetic import PRESETS, generate
from duskmatch.training import train

# Clips enter as in the preset `small`; all four people in every batch; the same pictures at every step.
FEW = ["train.stage1_epochs=1", "train.stage2_epochs=0", "train.steps_per_epoch=60", "train.checkpoint_every=60"]
FEW += ["train.pids_per_batch=4", "train.tracklets_per_pid=2", "train.recalibrate_steps=4"]
FEW += ["data.frames_per_clip=2", "data.grey=true", "data.per_clip=true", "data.local_contrast=[3, 5, 7]"]
FEW += ["augment.pad=0", "augment.flip=0"]


def four_people(factory: pytest.TempPathFactory) -> Dataset:
    """The first four training people of Duskwalk `tiny`, filmed once for all tests and all of their processes."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "four-people"
    place.mkdir(exist_ok=True)
    with only_writer(place, None), pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "four", replace(PRESETS["tiny"], people=(4, 2, 1)))
        if not (place / "set" / "duskwalk.json").is_file():
            generate(place / "set", preset="four", seed=0, n_processes=1, overwrite=True)
    return open_dataset(place / "set")


def overfit(name: str, factory: pytest.TempPathFactory, run: Path, *overrides: str) -> float:
    """Rank-1 of the four training people, the worse of both directions, after a run of seconds."""
    dataset = four_people(factory)
    settings = load_settings("tiny", overrides=[*FEW, f"model.name={name}", *overrides])
    train(settings, dataset, run, device="cpu")
    found = load_embedder(run, device="cpu").embed(dataset.train)
    infrared = [i for i, modality in enumerate(found.modalities) if modality == "infrared"]
    visible = [i for i, modality in enumerate(found.modalities) if modality == "visible"]
    sides = found.take(infrared), found.take(visible)
    return min(score(a, b, camera_rule="none").rank1 for a, b in (sides, sides[::-1]))
