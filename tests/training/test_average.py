"""The average of a run's weights: what it is, and that the run is known by it."""

import pytest
import torch
from safetensors.torch import load_file

from duskmatch import load_embedder
from duskmatch.errors import CheckpointError
from duskmatch.models.building import build_model
from duskmatch.training import train
from duskmatch.training.average import decay_at
from tests.training.test_options import chosen, same, weights

EVERY_STEP = ["train.ema=0.2", "train.checkpoint_every=1", "train.keep_checkpoints=6"]


def state(run, step: int, name: str) -> dict[str, torch.Tensor]:
    return load_file(run / "state" / f"{step:09d}" / f"{name}.safetensors")


def test_the_average_equals_the_literal_loop(dataset, tmp_path):
    settings = chosen(*EVERY_STEP)
    train(settings, dataset, tmp_path / "run")
    average = {name: tensor.double() for name, tensor in build_model(settings, 4).state_dict().items()}
    for n in range(6):  # iterations before this one
        decay = min(0.2, (1 + n) / (10 + n))
        trained = state(tmp_path / "run", n + 1, "model")
        for name, tensor in trained.items():
            average[name] = decay * average[name] + (1 - decay) * tensor.double()
        kept = state(tmp_path / "run", n + 1, "average")
        for name, tensor in kept.items():
            if name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, trained[name])
            else:
                assert torch.allclose(tensor.double(), average[name], atol=1e-6), name
    assert same(weights(tmp_path / "run"), kept) and not same(kept, trained)


def test_the_decay_warms_up():
    assert [decay_at(0.3, n) for n in range(5)] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 0.3, 0.3])
    assert decay_at(0.999, 8990) == pytest.approx(0.999)


def test_training_goes_on_as_without_it(dataset, tmp_path):
    for name, more in (("with", ["train.ema=0.5"]), ("without", [])):
        train(chosen(*more), dataset, tmp_path / name)
    assert same(state(tmp_path / "with", 6, "model"), state(tmp_path / "without", 6, "model"))
    assert not (tmp_path / "without" / "state" / "000000006" / "average.safetensors").exists()


def test_the_run_is_known_by_the_average_which_is_what_is_recalibrated(dataset, tmp_path):
    run = tmp_path / "run"
    train(chosen("train.ema=0.5", "train.recalibrate_steps=2"), dataset, run)
    average, trained, public = state(run, 6, "average"), state(run, 6, "model"), weights(run)
    changed = {name for name in average if not torch.equal(average[name], public[name])}
    assert changed == {"defense_neck.running_mean", "defense_neck.running_var"}
    assert not torch.equal(public["stem_visible.conv1.weight"], trained["stem_visible.conv1.weight"])
    assert load_embedder(run).embed(dataset.test).vectors.shape == (len(dataset.test), 6 * 64)


def test_validation_people_are_looked_at_with_the_average(dataset, tmp_path):
    run = tmp_path / "run"
    train(chosen("train.ema=0.5", "train.selection=validation", "train.validate_every=2"), dataset, run)
    assert same(weights(run, "best.safetensors"), state(run, 6, "average"))  # one look, at the end


def test_a_checkpoint_without_its_average_is_refused_by_name(dataset, tmp_path):
    run = tmp_path / "run"
    train(chosen("train.ema=0.5"), dataset, run)
    (run / "state" / "000000006" / "average.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"000000006/average\.safetensors is missing"):
        train(chosen("train.ema=0.5"), dataset, run, resume=True)
