"""Stage 0 taken over from a Baseline's run: the same bits as trained by oneself."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.errors import CheckpointError, TrainingError
from duskmatch.training import Watcher, shared_stage, train
from duskmatch.training.checkpoint import valid_steps
from duskmatch.training.monitor import read_log
from duskmatch.training.shared_stage import baseline_of
from duskmatch.weights import read_weights
from tests.data.tree import Tree
from tests.training.narrow import narrow_start

STAGED = ["train.stage0_epochs=2", "train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=2"]
STAGED += ["train.stage0_frames=1", "train.stage0_lr=0.002", "train.log_every=1", "train.clip_norm=1"]
STAGED += ["data.frames_per_clip=2", "train.pids_per_batch=2", "train.recalibrate_steps=1", "train.centre=true"]
STAGED += ["model.highlight_start=half", "model.motion_norm=true", "model.sequence_neck=true"]
STAGED += [
    "train.rates={guidance: 0.5, attack_classifier: 3.0}",
    "loss.triplet_weight=0.1",
    "loss.triplet_on=embedding",
    "loss.contrastive_weight=0.5",
]
FULL = ["model.attack=true", "model.defense=true", "model.sequence=full", "model.embedding=both"]
N_PIDS = 4
ROWS = {
    "Full": FULL,
    "ASAM": ["model.attack=true", "model.defense=false", "model.sequence=none"],
    "FRM-STIG": ["model.attack=false", "model.defense=false", "model.sequence=full"],
    "Baseline": ["model.attack=false", "model.defense=false", "model.sequence=none"],
}


@pytest.fixture(scope="module")
def settings_of(tmp_path_factory):
    """A row's settings; they all begin from one file of weights."""
    start = narrow_start(tmp_path_factory.mktemp("weights"))

    def settings(name, *more):
        return load_settings("tiny", overrides=[*STAGED, *start, *ROWS[name], *more], seed=3)

    return settings


def begun(dataset, folder, settings):
    """The run of stage 0."""
    baseline = baseline_of(settings, N_PIDS)
    train(baseline, dataset, folder, device="cpu", stage0_only=True)
    return folder


@pytest.mark.parametrize("name", ROWS)
def test_a_run_ends_with_the_bits_that_it_has_by_itself(name, settings_of, dataset, tmp_path):
    settings = settings_of(name)
    train(settings, dataset, tmp_path / "alone", device="cpu")
    stage0 = begun(dataset, tmp_path / "stage0", settings)
    assert valid_steps(stage0) == [4] and not (stage0 / "health.json").exists()
    seen = []
    train(settings, dataset, tmp_path / "shared", device="cpu", stage0_of=stage0, watcher=noting(seen))
    assert seen == [5, 6, 7, 8]  # stage 0 was not trained again
    alone, shared = (load_file(tmp_path / run / "model.safetensors") for run in ("alone", "shared"))
    assert alone.keys() == shared.keys()
    assert [key for key in alone if not torch.equal(alone[key], shared[key])] == []
    logs = [read_log(tmp_path / run / "log.csv") for run in ("alone", "shared")]
    clock = {"seconds", "frames_per_s"}
    assert [{k: v for k, v in row.items() if k not in clock} for row in logs[0]] == [
        {k: v for k, v in row.items() if k not in clock} for row in logs[1]
    ]


def noting(seen):
    return Watcher(on_step=lambda done, total, row: seen.append(done))


def test_what_has_begun_takes_nothing_over(settings_of, dataset, tmp_path):
    settings, run = settings_of("ASAM", "train.checkpoint_every=1"), tmp_path / "run"
    stage0 = begun(dataset, tmp_path / "stage0", settings)

    def stop(done, total, row):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, dataset, run, device="cpu", stage0_of=stage0, watcher=Watcher(on_step=stop))
    assert valid_steps(run) == [5]
    seen = []
    train(settings, dataset, run, device="cpu", resume=True, stage0_of=stage0, watcher=noting(seen))
    assert seen == [6, 7, 8]


@pytest.mark.parametrize(
    "more",
    [
        ["model.weights=null"],
        ["train.stage0_epochs=0"],
        ["train.stage0_lr=null"],
        ["train.ema=0.9"],
        ["train.selection=validation"],
    ],
)
def test_a_stage_that_depends_on_what_comes_after_it_is_not_shared(more, settings_of):
    assert baseline_of(settings_of("Full", *more), N_PIDS) is None


def test_rows_of_a_table_share_one_and_other_rates_do_not(settings_of):
    one = {
        baseline_of(settings_of(name), N_PIDS).model_dump_json() for name in ("Full", "ASAM", "FRM-STIG", "Baseline")
    }
    assert len(one) == 1
    assert baseline_of(settings_of("Full", "train.lr=0.1"), N_PIDS).model_dump_json() not in one
    assert baseline_of(load_settings("cajl-small"), N_PIDS) is None


def test_another_machines_is_trained_again_and_another_networks_or_data_refused(
    settings_of, dataset, tmp_path, monkeypatch
):
    settings = settings_of("Full")
    stage0 = begun(dataset, tmp_path / "stage0", settings)
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(shared_stage, "describe", lambda: "another machine")
        train(settings, dataset, tmp_path / "run", device="cpu", stage0_of=stage0, watcher=noting(seen))
    assert seen == list(range(1, 9))
    weights = stage0 / "state" / "000000004" / "model.safetensors"
    header, tensors = read_weights(weights).header, load_file(weights)
    save_file({**tensors, "x": torch.zeros(1)}, weights, metadata={"duskmatch": json.dumps(header)})
    with pytest.raises(CheckpointError, match="holds x, which is no part of this network"):
        train(settings, dataset, tmp_path / "other", device="cpu", stage0_of=stage0)
    people = {"train": range(1, 5), "test": range(8, 11)}
    other = open_dataset(Tree(tmp_path / "data", people=people, lengths=(12,), size=(98, 48)).write())
    with pytest.raises(TrainingError, match="was trained on data with fingerprint"):
        train(settings, other, tmp_path / "third", device="cpu", stage0_of=stage0)
