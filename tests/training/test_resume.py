"""Killed anywhere and resumed, a run ends with the same weights to the bit."""

import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from duskmatch.data import open_dataset
from duskmatch.errors import CheckpointError, OutputError, TrainingError
from duskmatch.training import Watcher, train
from duskmatch.training import checkpoint as checkpoint_module
from duskmatch.training.monitor import read_log
from tests import forked
from tests.data.tree import Tree

# Trains in a process of its own that kills itself: at the n-th file of a checkpoint, or at the n-th iteration.
VICTIM = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import Watcher, checkpoint, train
from tests.training.conftest import FAST
place, n, data, run = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
count = 0
def die(*_):
    global count
    count += 1
    if count == n:
        os.kill(os.getpid(), signal.SIGKILL)
whole = checkpoint._write
def write(path, data):
    if count + 1 == n:
        whole(path, data[: len(data) // 2])
    die()
    whole(path, data)
if place == "write":
    checkpoint._write = write
watcher = Watcher(on_step=die if place == "step" else lambda *_: None)
train(load_settings("tiny", overrides=FAST), open_dataset(data), run, resume=run.exists(), watcher=watcher)
"""


@pytest.fixture(scope="module")
def unbroken(tree, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    assert forked.run(VICTIM, "never", 0, tree, run).returncode == 0
    return run


def same_weights(a: Path, b: Path) -> bool:
    x, y = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "n"), [("step", 1), ("step", 3), ("step", 5), ("write", 1), ("write", 2), ("write", 6)]
)
def test_a_run_killed_with_sigkill_and_resumed_ends_with_the_same_bits(place, n, tree, tmp_path, unbroken):
    run = tmp_path / "run"
    assert forked.run(VICTIM, place, n, tree, run).returncode == -signal.SIGKILL
    assert forked.run(VICTIM, "never", 0, tree, run).returncode == 0
    assert same_weights(run, unbroken)
    assert not list((run / "state").glob("*.part"))
    steps = [row["step"] for row in read_log(run / "log.csv")]
    assert steps == [1, 2, 3, 4, 5, 6]


STOPPED = """
import signal, sys
from pathlib import Path
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import Watcher, train
from tests.training.conftest import FAST

def ask(step, total, row):
    if step == 3:
        signal.raise_signal(signal.SIGTERM)

try:
    settings = load_settings("tiny", overrides=FAST)
    train(settings, open_dataset(sys.argv[1]), Path(sys.argv[2]), watcher=Watcher(on_step=ask))
except KeyboardInterrupt:
    print("stopped", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_asked_to_stop_it_saves_at_the_end_of_the_iteration(tree, tmp_path):
    # a process of its own: other tests of this one may have changed what a signal does
    done = forked.run(STOPPED, tree, tmp_path / "run")
    assert done.returncode == 0 and done.output.endswith("stopped True\n"), done.output[-2000:]
    assert checkpoint_module.valid_steps(tmp_path / "run") == [3]


def test_a_finished_run_resumes_to_itself(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    before = load_file(tmp_path / "run" / "model.safetensors")
    assert train(settings, dataset, tmp_path / "run", resume=True)["steps"] == 6
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_other_data_is_refused_on_resume(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    people = {"train": range(1, 5), "test": range(8, 11)}
    other = Tree(tmp_path / "other", people=people, lengths=(13,), size=(96, 48), duskwalk=True).write()
    with pytest.raises(TrainingError, match=r"was trained on data with fingerprint .*; resume with the same data or"):
        train(settings, open_dataset(other), tmp_path / "run", resume=True)


def test_another_machine_is_said_on_resume(settings, dataset, tmp_path, monkeypatch):
    train(settings, dataset, tmp_path / "run")
    notes: list[str] = []
    monkeypatch.setattr(
        "duskmatch.training.loop.numerics", lambda _: {"torch": "0.1", "threads": 1, "cpu": "x", "gpu": "none"}
    )
    train(settings, dataset, tmp_path / "run", resume=True, watcher=Watcher(on_note=notes.append))
    assert any(note.startswith("resumed with torch 0.1 instead of") for note in notes)


def test_nothing_to_resume_is_refused(settings, dataset, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="holds no run to resume; leave out --resume to begin one"):
        train(settings, dataset, tmp_path / "run", resume=True)


def test_a_full_disk_is_said_and_the_last_checkpoint_stays_valid(settings, dataset, tmp_path, unbroken):
    """A real small disk, filled while the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:

        def fill(step, total, row):
            if step == 3:
                with (disk / "ballast").open("wb") as file, pytest.raises(OSError, match="No space left"):
                    while True:
                        file.write(b"0" * 65536)
                        file.flush()

        with pytest.raises(
            OutputError,
            match=r"the disk is full \(.*disk: 0 of 16 MiB free\); free some space there, then .* with --resume",
        ):
            train(settings, dataset, disk / "run", watcher=Watcher(on_step=fill))
        assert checkpoint_module.valid_steps(disk / "run") == [2]
        (disk / "ballast").unlink()
        train(settings, dataset, disk / "run", resume=True)
        assert same_weights(disk / "run", unbroken)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_old_checkpoints_go_and_the_public_weights_are_the_newest(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    assert checkpoint_module.valid_steps(tmp_path / "run") == [6]
    newest = tmp_path / "run" / "state" / f"{6:09d}" / "model.safetensors"
    assert newest.read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()


def test_a_run_of_another_layout_is_refused_and_kept(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    (tmp_path / "run" / "VERSION").write_text("2\n")
    with pytest.raises(CheckpointError, match="this duskmatch reads RUN layout 1; got 2; train again or use"):
        train(settings, dataset, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "VERSION").read_text() == "2\n"
