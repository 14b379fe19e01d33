"""Two processes against one: started by torchrun, as a user would, and in the environment that torchrun gives."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.models import fast_layers
from duskmatch.models.building import build_model
from duskmatch.training import train
from duskmatch.training.monitor import read_log
from duskmatch.training.processes import SynchronisedBatchNorm, synchronise
from tests import forked
from tests.training.conftest import FAST
from tests.training.test_options import ALL

OVERRIDES = [*FAST, "train.pids_per_batch=4", "loss.triplet_weight=1", "loss.triplet=squared_over_d"]
TOGETHER = ["train.sync_batchnorm=true", "train.gather_triplets=true"]
# One iteration of plain SGD: Adam takes the signs of gradients, and further iterations blow rounding up.
ONE_STEP = ["train.optimizer=sgd", "train.lr=0.01", "train.clip_norm=1000"]
ONE_STEP += ["train.steps_per_epoch=1", "train.stage2_epochs=0", "train.warmup_steps=0"]
LITE = ["model.backbone=efficientnet_lite0", "model.width=0.25", "model.branch_start=0.3", "train.stage0_frames=1"]
PROGRAM = """
import json, sys
from pathlib import Path
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import train
for name, overrides in json.loads(sys.argv[3]).items():
    train(load_settings("tiny", overrides=overrides), open_dataset(sys.argv[1]), Path(sys.argv[2]) / name, device="cpu")
"""


def by_two(tree: Path, out: Path, **runs: list[str]) -> None:
    """Trains `out`/NAME for each NAME=overrides, one after the other in the same two processes."""
    processes(out, [json.dumps(runs)], tree)


def processes(out: Path, overrides: list[str], tree: Path | None = None, *, n: int = 2, program: str = PROGRAM) -> Path:
    """Runs the program in n processes with the tree, what it is to write and the overrides; what it has written."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1"}
    group |= {"MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": 0}
    running = [forked.Program(program, tree, out, *overrides, **group, RANK=rank, LOCAL_RANK=rank) for rank in range(n)]
    for done in [one.wait() for one in running]:
        assert done.returncode == 0, done.output[-2000:]
    return out


@pytest.mark.slow
def test_two_processes_train_together_and_write_one_run(tree, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"}
    arguments = [*command, str(tree), str(tmp_path), json.dumps({"run": OVERRIDES})]
    started = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr[-2000:]
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.csv")] == [1, 2, 3, 4, 5, 6]
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(bool(torch.isfinite(t).all()) for t in weights.values())


@pytest.mark.slow
def test_two_processes_as_one_batch_take_the_steps_of_one_process(tree, tmp_path):
    overrides = [*OVERRIDES, *ONE_STEP]
    train(load_settings("tiny", overrides=overrides), open_dataset(tree), tmp_path / "one", device="cpu")
    by_two(tree, tmp_path, two=[*overrides, *TOGETHER], apart=overrides)
    one, two, apart = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "apart"))
    start = load_file(tmp_path / "one" / "model.safetensors").keys()
    together = max(float((one[k] - two[k]).abs().max()) for k in start if one[k].is_floating_point())
    on_their_own = max(float((one[k] - apart[k]).abs().max()) for k in start if one[k].is_floating_point())
    assert together < 1e-5, together
    assert on_their_own > 100 * together  # the test can tell the difference


# The gradients of EfficientNet-Lite0 in fp64: each process has every other clip, their mean is that of all clips.
GRADIENTS = """
import os, sys
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from duskmatch.config import load_settings
from duskmatch.models.building import build_model
from duskmatch.training.processes import synchronise
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
model = build_model(load_settings("tiny", overrides=sys.argv[3:]), 4).double().train()
clips = torch.randn(8, 1, 3, 96, 48, generator=torch.Generator().manual_seed(0)).double()[rank::world]
if world > 1:
    synchronise(model)
(maps,) = model.maps_to_pool(clips, "infrared")
(maps.square() * torch.linspace(0, 1, maps.shape[2]).double()[:, None]).mean().backward()
found = {name: p.grad / world for name, p in model.named_parameters() if p.grad is not None}
for gradient in found.values():
    dist.all_reduce(gradient)
if rank == 0:
    save_file(found, sys.argv[2])
"""


@pytest.mark.slow
def test_gradients_of_efficientnet_by_two_processes_are_those_of_one(tmp_path):
    one, two = (load_file(processes(tmp_path / f"{n}", LITE, n=n, program=GRADIENTS)) for n in (1, 2))
    assert one.keys() == two.keys() and len(one) > 100
    whole = sum(float(gradient.square().sum()) for gradient in one.values()) ** 0.5
    apart = sum(float((one[name] - two[name]).square().sum()) for name in one) ** 0.5
    assert apart < 1e-11 * whole, apart / whole


@pytest.mark.slow
def test_two_processes_as_one_batch_with_efficientnet(tree, tmp_path, monkeypatch):
    """Up to rounding, which so deep and narrow a network blows up: less than torch's own layers in one process do."""
    overrides = [*OVERRIDES, *LITE, *ONE_STEP, "train.stage0_epochs=1", "train.stage1_epochs=0"]
    settings, dataset = load_settings("tiny", overrides=overrides), open_dataset(tree)
    train(settings, dataset, tmp_path / "one", device="cpu")
    by_two(tree, tmp_path, two=[*overrides, *TOGETHER], apart=overrides)
    monkeypatch.setattr(fast_layers, "compiled", lambda: None)
    train(settings, dataset, tmp_path / "plain", device="cpu")
    names = dict(build_model(settings, 4).named_parameters())
    one, *others = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "plain", "apart"))
    two, plain, apart = (sum(float((run[name] - one[name]).square().sum()) for name in names) ** 0.5 for run in others)
    assert two < plain < 0.1 * apart, (two, plain, apart)


@pytest.mark.slow
def test_two_processes_train_efficientnet_through_all_stages(tree, tmp_path):
    stages = ["train.stage0_epochs=1", "train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=1"]
    overrides = [*OVERRIDES, *LITE, *stages, "train.log_every=1"]
    runs = {precision: [*overrides, f"train.precision={precision}"] for precision in ("fp32", "bf16")}
    by_two(tree, tmp_path, **runs)
    for precision in runs:
        assert [row["stage"] for row in read_log(tmp_path / precision / "log.csv")] == [0, 1, 2]
        weights = load_file(tmp_path / precision / "model.safetensors")
        assert all(bool(torch.isfinite(t).all()) for t in weights.values())


@pytest.mark.slow
def test_two_processes_as_one_batch_with_every_setting_for_studies(tree, tmp_path):
    overrides = [*OVERRIDES, *ALL, *ONE_STEP, "loss.triplet_weight=0"]  # contrasts alone have to be gathered
    train(load_settings("tiny", overrides=overrides), open_dataset(tree), tmp_path / "one", device="cpu")
    by_two(tree, tmp_path, two=[*overrides, *TOGETHER], apart=[*overrides, "train.sync_batchnorm=true"])
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
