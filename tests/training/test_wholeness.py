"""What a RUN may go through: two writers, weights gone bad, damaged states, a log cut off."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from duskmatch import load_embedder
from duskmatch.data import open_dataset
from duskmatch.errors import CheckpointError, OutputError, SettingsError, TrainingError
from duskmatch.training import Watcher, checkpoint, train
from duskmatch.training.monitor import read_log
from duskmatch.training.trainer import prepare
from tests.data.tree import Tree
from tests.training.test_loop import with_


@pytest.fixture
def run(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_has_one_writer(settings, dataset, tmp_path):
    def second(step, total, row):
        if step == 2:
            with pytest.raises(OutputError, match="is being trained by another process; wait for it or choose another"):
                train(settings, dataset, tmp_path / "run", resume=True)

    assert train(settings, dataset, tmp_path / "run", watcher=Watcher(on_step=second))["steps"] == 6
    assert train(settings, dataset, tmp_path / "run", resume=True)["steps"] == 6  # the lock is gone


def test_a_run_is_not_trained_over(settings, dataset, run):
    with pytest.raises(OutputError, match="holds a run; resume it or choose another RUN"):
        train(settings, dataset, run)


def test_weights_that_went_bad_are_not_saved_over_good_ones(settings, dataset, tmp_path):
    """A gradient that is not finite spoils the weights after the last loss that was looked at."""

    original = checkpoint.save_checkpoint

    def note(run, step, model, *args, **kwargs):
        if step == 4:
            model.defense_classifier.weight.data[0, 0] = torch.nan
        return original(run, step, model, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("duskmatch.training.loop.save_checkpoint", note)
        message = (
            r"^iteration 4: defense_classifier\.weight holds NaN or infinity; .*state still holds iteration 2; lower"
        )
        with pytest.raises(TrainingError, match=message):
            train(settings, dataset, tmp_path / "run")
    assert checkpoint.valid_steps(tmp_path / "run") == [2]
    assert train(settings, dataset, tmp_path / "run", resume=True)["steps"] == 6


@pytest.mark.parametrize("content", ["[]", "{}", '{"step": "x"}', '{"step": 6, "numerics": 3}', "{"])
def test_a_damaged_state_is_refused_by_name(content, settings, dataset, run):
    (run / "state" / "000000006" / "progress.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"000000006/progress\.json"):
        train(settings, dataset, run, resume=True)


WHOLE = {"step": 6, "fingerprint": "x", "numerics": {}, "n_clipped": 0, "defense_accuracy": 0.5, "seconds": 1,
         "best": None}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step": 5}, "is of iteration 5, not of its folder's"),
        ({"step": True}, "is damaged: step: "),
        ({"n_clipped": -1}, "is damaged: n_clipped: "),
        ({"seconds": float("nan")}, "is damaged: seconds: "),
        ({"best": {"mAP": 1}}, "is damaged: best.step: "),
        ({"dead": [1]}, "is damaged: dead.0: "),
    ],
)
def test_progress_that_cannot_be_is_refused(changes, why, tmp_path):
    path = tmp_path / "state" / "000000006" / "progress.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(WHOLE))
    (tmp_path / "state" / "²").mkdir()  # a digit, and no number
    assert checkpoint.newest_checkpoint(tmp_path).progress == WHOLE
    path.write_text(json.dumps({**WHOLE, **changes}))
    with pytest.raises(CheckpointError) as error:
        checkpoint.newest_checkpoint(tmp_path)
    assert str(error.value).startswith(f"{path} {why}") and str(error.value).endswith("; train again")
    (tmp_path / "state" / "000000004").mkdir()
    with pytest.raises(CheckpointError, match=f"delete {path.parent}, the run goes on from the checkpoint before it"):
        checkpoint.newest_checkpoint(tmp_path)


def stepped(optimizer_of):
    model = torch.nn.Linear(2, 1)
    optimizer = optimizer_of(model.parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda memory: memory.clear(), "it holds nothing"),
        (lambda memory: memory.pop("bias/exp_avg"), "lacks bias/exp_avg"),
        (lambda memory: memory.update({"bias/momentum_buffer": torch.ones(1)}), "holds bias/momentum_buffer"),
        (lambda memory: memory["bias/exp_avg"].fill_(torch.nan), "bias/exp_avg holds NaN or infinity"),
        (lambda memory: memory.update({"bias/exp_avg": torch.tensor(0.0)}), r"bias/exp_avg must be \(1,\); got \(\)"),
        (lambda memory: memory.update({"bias/step": torch.ones(1)}), r"bias/step must be \(\); got \(1,\)"),
    ],
    ids=["empty", "one gone", "one more", "NaN", "scalar", "counter"],
)
def test_an_optimisers_memory_that_cannot_be_is_refused(change, why, tmp_path):
    model, optimizer = stepped(torch.optim.AdamW)
    memory, path = checkpoint.optimizer_tensors(model, optimizer), tmp_path / "optimizer.safetensors"
    save_file(memory, path)
    checkpoint.fill_optimizer(model, optimizer, path)
    change(memory)
    save_file(memory, path)
    with pytest.raises(CheckpointError, match=why):
        checkpoint.fill_optimizer(model, optimizer, path)


def test_the_memory_of_another_optimiser_is_refused(tmp_path):
    model, optimizer = stepped(torch.optim.AdamW)
    save_file(checkpoint.optimizer_tensors(model, optimizer), tmp_path / "optimizer.safetensors")
    with pytest.raises(CheckpointError, match="holds bias/exp_avg, which this optimiser lacks; it was made for"):
        checkpoint.fill_optimizer(*stepped(torch.optim.SGD), tmp_path / "optimizer.safetensors")


def test_weights_of_another_iteration_are_refused(tmp_path):
    file = tmp_path / "000000006" / "model.safetensors"
    checkpoint.check_step({"step": 6}, file)
    with pytest.raises(CheckpointError, match="is of iteration 4, not of its folder's"):
        checkpoint.check_step({"step": 4}, file)


def test_other_people_are_other_data_not_other_settings(settings, run, tmp_path):
    people = {"train": range(1, 7), "test": (8, 9)}
    root = Tree(tmp_path / "other", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
    with pytest.raises(TrainingError, match="was trained on data with fingerprint"):
        train(settings, open_dataset(root), run, resume=True)


def test_recalibration_leaves_the_state_as_it_was_trained(settings, dataset, run, tmp_path):
    train(with_(settings, train__recalibrate_steps=2), dataset, tmp_path / "again")
    a, b = (load_file(place / "state" / "000000006" / "model.safetensors") for place in (run, tmp_path / "again"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    before = (tmp_path / "again" / "model.safetensors").read_bytes()
    train(with_(settings, train__recalibrate_steps=2), dataset, tmp_path / "again", resume=True)
    after = load_file(tmp_path / "again" / "model.safetensors")
    (tmp_path / "before.safetensors").write_bytes(before)
    assert all(torch.equal(t, after[k]) for k, t in load_file(tmp_path / "before.safetensors").items())


def test_half_a_number_at_the_end_of_a_log_is_no_row(run):
    with (run / "log.csv").open("a") as file:
        file.write("1")  # of a row 12
    assert [row["step"] for row in read_log(run / "log.csv")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_pids": 0}, "n_pids must be at least 1; got 0"),
        ({"n_pids": 10**30}, "its header asks for an impossible network"),
        ({"n_pids": 10**17}, "its header asks for an impossible network|must be .*; got"),
    ],
)
def test_a_hostile_header_is_refused(change, message, run):
    weights = run / "model.safetensors"
    header = {**load_embedder(run).header, **change}
    save_file(load_file(weights), weights, metadata={"duskmatch": json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_embedder(run)


def test_weights_of_another_type_are_refused(run):
    weights, header = run / "model.safetensors", load_embedder(run).header
    tensors = load_file(weights)
    tensors["defense_classifier.weight"] = tensors["defense_classifier.weight"].double()
    save_file(tensors, weights, metadata={"duskmatch": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"defense_classifier\.weight must be torch\.float32; got torch\.float64"):
        load_embedder(run)


def test_shares_that_tear_people_apart_are_refused(settings, dataset, tmp_path, monkeypatch):
    class Three:
        def __init__(self, *_):
            self.rank, self.world = 0, 3

    monkeypatch.setattr("duskmatch.training.trainer.Processes", Three)
    with pytest.raises(SettingsError, match=r"train\.pids_per_batch must be a multiple of 3, the processes times"):
        prepare(with_(settings, train__pids_per_batch=4), dataset, tmp_path, device="cpu", watcher=Watcher())
