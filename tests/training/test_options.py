"""Settings for studies, each through whole runs: both schedules, bf16, micro-batches, stopped and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from duskmatch.config import Settings, load_settings
from duskmatch.data import Dataset
from duskmatch.training import Watcher, train
from duskmatch.training.monitor import read_log
from tests.training.conftest import FAST
from tests.training.test_algorithm1 import LOSS, TRAIN, build, forward, moved, snapshot, sub_steps, updater

WAYS = {
    "algorithm1": [],
    "joint": ["train.schedule=joint"],
    "bf16": ["train.precision=bf16"],
    "micro-batches": ["train.micro_batches=2", "train.pids_per_batch=4"],
    "recalibrated": ["train.recalibrate_steps=2", "train.centre=true", "model.sequence_neck=true"],
}
ONE_BY_ONE = {
    "pooled head": "model.sequence=pooled_std",
    "no confusion": "loss.confusion_weight=0",
    "smoothing": "loss.label_smoothing=0.1",
    "gem": "model.pooling=gem",
    "contrastive": "loss.contrastive_weight=0.5",
    "average": "train.ema=0.9",
    "mixing": "model.temporal_mixing=true",
}
ALL = list(ONE_BY_ONE.values())


def chosen(*overrides: str) -> Settings:
    return load_settings("tiny", overrides=[*FAST, *overrides])


def weights(run: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run / name)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Stop(Exception):
    pass


def stop_after_three(step: int, total: int, row: object) -> None:
    if step == 3:
        raise Stop


def resumed_is_unbroken(settings: Settings, dataset: Dataset, place: Path) -> bool:
    """Whether a run torn off in iteration 3, and resumed from the checkpoint of 2, ends as one that was not."""
    train(settings, dataset, place / "whole")
    with pytest.raises(Stop):
        train(settings, dataset, place / "torn", watcher=Watcher(on_step=stop_after_three))
    train(settings, dataset, place / "torn", resume=True)
    return same(weights(place / "whole"), weights(place / "torn"))


@pytest.fixture(scope="module")
def plain(dataset, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("plain") / "run"
    train(chosen(), dataset, run)
    return run


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_each_changes_the_run_and_resumes_to_the_bit(name, plain, dataset, tmp_path):
    assert resumed_is_unbroken(chosen(ONE_BY_ONE[name]), dataset, tmp_path)
    assert not same(weights(plain), weights(tmp_path / "whole"))


def test_a_pooled_head_is_trained_by_equation_16():
    model = build(sequence="pooled_mean")
    steps = [step for step in sub_steps(model, LOSS, TRAIN, 1) if step.name == "sequence"]
    before = snapshot(model)
    updater(model).iterate(steps, lambda: forward(model), joint=False, norms=False)
    assert moved(model, before) == {
        "stem_visible",
        "stem_infrared",
        "defense_encoder",
        "guidance",
        "sequence_classifier",
    }


@pytest.mark.parametrize("way", WAYS)
def test_together_they_train_in_every_way(way, dataset, tmp_path):
    train(chosen(*ALL, *WAYS[way]), dataset, tmp_path / "run")
    rows = read_log(tmp_path / "run" / "log.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "temporal_mixing_ratio" in rows[0]
    assert all(row["sequence_identity"] > 0 and row["contrastive"] > 0 and "confusion" not in row for row in rows)
