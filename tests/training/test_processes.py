"""Two processes, started by torchrun as a user would, against one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import train
from duskmatch.training.monitor import read_log
from duskmatch.training.synchronised import SynchronisedBatchNorm, synchronise
from tests.training.conftest import FAST
from tests.training.test_options import ALL

OVERRIDES = [*FAST, "train.pids_per_batch=4", "loss.triplet_weight=1", "loss.triplet=squared_over_d"]
TOGETHER = ["train.sync_batchnorm=true", "train.gather_triplets=true"]
# One iteration of plain SGD: Adam takes the signs of gradients, and further iterations blow rounding up.
ONE_STEP = ["train.optimizer=sgd", "train.lr=0.01", "train.clip_norm=1000"]
ONE_STEP += ["train.steps_per_epoch=1", "train.stage2_epochs=0", "train.warmup_steps=0"]
LITE = ["model.backbone=efficientnet_lite0", "model.width=0.25", "model.branch_start=0.3", "train.stage0_frames=1"]
PROGRAM = """
import sys
from pathlib import Path
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import train
train(load_settings("tiny", overrides=sys.argv[3:]), open_dataset(sys.argv[1]), Path(sys.argv[2]), device="cpu")
"""


def by_two(tree: Path, run: Path, overrides: list[str]) -> None:
    script = run.with_suffix(".py")
    script.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"}
    arguments = [*command, str(tree), str(run), *overrides]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_train_together_and_write_one_run(tree, tmp_path):
    by_two(tree, tmp_path / "run", OVERRIDES)
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.csv")] == [1, 2, 3, 4, 5, 6]
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(bool(torch.isfinite(t).all()) for t in weights.values())


@pytest.mark.slow
def test_two_processes_as_one_batch_take_the_steps_of_one_process(tree, tmp_path):
    overrides = [*OVERRIDES, *ONE_STEP]
    train(load_settings("tiny", overrides=overrides), open_dataset(tree), tmp_path / "one", device="cpu")
    by_two(tree, tmp_path / "two", [*overrides, *TOGETHER])
    by_two(tree, tmp_path / "apart", overrides)
    one, two, apart = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "apart"))
    start = load_file(tmp_path / "one" / "model.safetensors").keys()
    together = max(float((one[k] - two[k]).abs().max()) for k in start if one[k].is_floating_point())
    on_their_own = max(float((one[k] - apart[k]).abs().max()) for k in start if one[k].is_floating_point())
    assert together < 1e-5, together
    assert on_their_own > 100 * together  # the test can tell the difference


@pytest.mark.slow
def test_two_processes_as_one_batch_with_efficientnet(tree, tmp_path):
    # one update: a second one begins from other last digits, which so deep and narrow a network blows up
    overrides = [*OVERRIDES, *LITE, *ONE_STEP, "train.stage0_epochs=1", "train.stage1_epochs=0"]
    train(load_settings("tiny", overrides=overrides), open_dataset(tree), tmp_path / "one", device="cpu")
    by_two(tree, tmp_path / "two", [*overrides, *TOGETHER])
    by_two(tree, tmp_path / "apart", overrides)
    one, two, apart = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "apart"))
    together = max(float((one[k] - two[k]).abs().max()) for k in one if one[k].is_floating_point())
    on_their_own = max(float((one[k] - apart[k]).abs().max()) for k in one if one[k].is_floating_point())
    assert together < 1e-3 and on_their_own > 100 * together, (together, on_their_own)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_processes_train_efficientnet_through_all_stages(precision, tree, tmp_path):
    stages = ["train.stage0_epochs=1", "train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=1"]
    by_two(tree, tmp_path / "run", [*OVERRIDES, *LITE, *stages, f"train.precision={precision}", "train.log_every=1"])
    assert [row["stage"] for row in read_log(tmp_path / "run" / "log.csv")] == [0, 1, 2]
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(bool(torch.isfinite(t).all()) for t in weights.values())


@pytest.mark.slow
def test_two_processes_as_one_batch_with_every_setting_for_studies(tree, tmp_path):
    overrides = [*OVERRIDES, *ALL, *ONE_STEP, "loss.triplet_weight=0"]  # contrasts alone have to be gathered
    train(load_settings("tiny", overrides=overrides), open_dataset(tree), tmp_path / "one", device="cpu")
    by_two(tree, tmp_path / "two", [*overrides, *TOGETHER])
    by_two(tree, tmp_path / "apart", [*overrides, "train.sync_batchnorm=true"])
    one, two, apart = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "apart"))
    together = max(float((one[k] - two[k]).abs().max()) for k in one if one[k].is_floating_point())
    on_their_own = max(float((one[k] - apart[k]).abs().max()) for k in one if one[k].is_floating_point())
    # cosines of vectors that are still alike, and roots of powers, blow rounding up within the iteration
    assert together < 1e-3 and on_their_own > 20 * together, (together, on_their_own)
    seen = [read_log(tmp_path / name / "log.csv")[0]["contrastive"] for name in ("one", "two", "apart")]
    assert seen[1] == pytest.approx(seen[0], rel=1e-4) and seen[2] < 0.9 * seen[0]  # half as many candidates


def test_synchronised_normalisation_keeps_names_weights_and_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(16))
    model(torch.randn(8, 3, 2, 2))
    model[3].bias.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    clips = torch.randn(5, 3, 2, 2)
    model.eval()
    expected = model(clips)
    synchronise(model)
    assert isinstance(model[1], SynchronisedBatchNorm) and isinstance(model[3], SynchronisedBatchNorm)
    assert not model[3].bias.requires_grad and not model.training and not model[1].training
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    assert torch.equal(model(clips), expected)
