"""A method's run killed with SIGKILL and resumed, beside one that was left alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests import forked

SHORT = ["train.stage1_epochs=1", "train.stage2_epochs=0", "train.steps_per_epoch=5", "train.checkpoint_every=2"]
SHORT += ["data.frames_per_clip=2", "train.pids_per_batch=2"]

# Trains in a process of its own that kills itself after the n-th iteration.
VICTIM = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import Watcher, train
overrides, n, data, run = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
def die(step, total, row):
    if step == n:
        os.kill(os.getpid(), signal.SIGKILL)
settings = load_settings("tiny", overrides=overrides)
train(settings, open_dataset(data), run, resume=run.exists(), device="cpu", watcher=Watcher(on_step=die))
"""


def differing(overrides: list[str], tree: Path, folder: Path, *, at: int) -> list[str]:
    """Names of the tensors that differ between an unbroken run and one killed after iteration `at` and resumed."""

    def run(name: str, n: int) -> int:
        return forked.run(VICTIM, json.dumps(overrides), n, tree, folder / name).returncode

    assert run("whole", 0) == 0
    assert run("killed", at) == -signal.SIGKILL
    assert run("killed", 0) == 0
    a, b = (load_file(folder / name / "model.safetensors") for name in ("whole", "killed"))
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]
