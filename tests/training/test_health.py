"""Health while training: measuring moves nothing, what is measured is right, a death is said once."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.errors import CheckpointError
from duskmatch.health import MOTION, in_words, read_health
from duskmatch.models import Forward
from duskmatch.models.algorithm1 import sub_steps
from duskmatch.models.network import STEMS
from duskmatch.training import Watcher, train
from duskmatch.training import loop as loop_module
from duskmatch.training.checkpoint import newest_checkpoint
from duskmatch.training.health import StemGradients
from duskmatch.training.monitor import read_log
from duskmatch.training.verdicts import DeathWatch
from tests.data.tree import Tree
from tests.models.methods import values, weights
from tests.oracle import health as oracle
from tests.training.conftest import FAST
from tests.training.test_algorithm1 import LABELS, LOSS, TRAIN, build, clips, updater
from tests.training.test_processes import OVERRIDES, TOGETHER, by_two

SMALL_DEAD = Path(__file__).parents[1] / "fixtures" / "small_dead.yaml"
# small's settings on six iterations of four people
QUICK = ["train.precision=fp32", "train.log_every=1", "train.pids_per_batch=4", "train.steps_per_epoch=6"]
QUICK += ["train.stage1_epochs=1", "train.stage2_epochs=0", "train.warmup_steps=1", "train.recalibrate_steps=2"]
WAYS = {
    "algorithm 1": [],
    "joint": ["train.schedule=joint"],
    "micro-batches": ["train.micro_batches=2", "train.pids_per_batch=4"],
    "recomputed": ["train.recompute_activations=true"],
    "clipped, bf16": ["train.clip_norm=0.1", "train.precision=bf16"],
}


def digest(run: Path) -> str:
    """SHA-256 of all weights and buffers; the file's own header holds settings."""
    tensors = load_file(run / "model.safetensors")
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return whole.hexdigest()


@pytest.mark.parametrize("way", WAYS)
def test_updates_are_the_same_to_the_bit_however_often_they_are_logged(way, dataset, tmp_path):
    for every in ("1", "10"):
        settings = load_settings("tiny", overrides=[*FAST, *WAYS[way], f"train.log_every={every}"])
        train(settings, dataset, tmp_path / every)
    often, seldom = (read_log(tmp_path / every / "log.csv") for every in ("1", "10"))
    assert [row["step"] for row in often] == [1, 2, 3, 4, 5, 6] and [row["step"] for row in seldom] == [6]
    assert digest(tmp_path / "1") == digest(tmp_path / "10")
    for row in often:
        assert row["parts_deviation"] > 0 and row["highlight_deviation"] > 0 and row["motion_deviation"] > 0
        assert ("confusion_share" in row) == (row["stage"] == 1)  # in stage 2 Eq. 9 does not move the stems


@pytest.mark.slow
def test_two_processes_measure_together_and_train_as_if_nothing_were_logged(tree, tmp_path):
    by_two(tree, tmp_path, **{every: [*OVERRIDES, *TOGETHER, f"train.log_every={every}"] for every in ("1", "10")})
    assert digest(tmp_path / "1") == digest(tmp_path / "10")
    rows = read_log(tmp_path / "1" / "log.csv")
    assert [("confusion_share" in row) for row in rows] == [True, True, True, False, False, False]
    assert read_health(tmp_path / "1")["validation"]["n_people"] == 3


def stem_norms(model, loss):
    """The stems' gradients by the weighted Eq. 3 and Eq. 9, each by a backward of its own."""
    found = {}
    for step in sub_steps(model, loss, TRAIN, 1):
        for name in ("confusion", "defense_identity"):
            forward = Forward(model, clips(0), clips(1), LABELS)
            terms = values(step, forward)
            if name in terms:
                model.zero_grad(set_to_none=True)
                (weights(step)[name] * terms[name]).backward()
                stems = [p.grad for n, p in model.named_parameters() if n.split(".")[0] in STEMS]
                found[name] = oracle.norm([g for g in stems if g is not None])
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize(("joint", "n_micro"), [(True, 1), (False, 1), (False, 2)])
def test_confusion_share_is_equation_3s_pull_at_the_stems_over_equation_9s(joint, n_micro):
    loss = LOSS.model_copy(update={"confusion_weight": 2.0, "defense_weight": 0.25})
    norms = stem_norms(build(), loss)
    model = build()
    run = updater(model, lr=0.0)  # the same weights in every sub-step
    make = lambda: [Forward(model, clips(0), clips(1), LABELS) for _ in range(n_micro)]  # noqa: E731
    outcome = run.iterate(sub_steps(model, loss, TRAIN, 1), make, joint=joint, norms=True)
    assert outcome.values["confusion_share"] == pytest.approx(norms["confusion"] / norms["defense_identity"], rel=1e-3)
    assert outcome.values["confusion_share"] > 0.01
    assert "confusion_share" not in run.iterate(sub_steps(model, loss, TRAIN, 2), make, joint=joint, norms=True).values
    assert "confusion_share" not in run.iterate(sub_steps(model, loss, TRAIN, 1), make, joint=joint, norms=False).values


def test_pulls_are_not_clipped_and_are_of_the_mean_over_processes():
    stem = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    gradients = StemGradients({"share": ("a", "b")}, torch.nn.Module(), [stem])
    gradients.add("a", (stem * torch.tensor([3.0, 4.0])).sum())
    gradients.add("b", stem.sum() * 100)
    gradients.add("c", stem.sum())
    assert gradients.ratios(None) == {"share": pytest.approx(5 / (100 * 2**0.5))}
    assert gradients.ratios(lambda g: g / g.norm())["share"] == pytest.approx(1.0)
    assert stem.grad is None
    alone = StemGradients({"share": ("a", "b")}, torch.nn.Module(), [stem])
    alone.add("a", stem.sum())
    alone.add("b", torch.zeros((), requires_grad=True) * 2)  # does not reach the stems
    assert alone.ratios(None) == {}


def row(step: int, motion: float) -> dict[str, float]:
    return {"step": step, "stage": 1, "motion_deviation": motion, "parts_deviation": 1.0, "lr": 0.1}


def test_a_death_is_said_once_when_the_median_says_so_and_never_in_the_warm_up():
    watch = DeathWatch(("motion_deviation", "parts_deviation"), warmup=3, named=[])
    assert [watch.update(row(step, 0.0)) for step in (1, 2, 3)] == [[], [], []]
    assert [watch.update(row(step, 0.2)) for step in (4, 5)] == [[], []]
    assert [watch.update(row(step, 0.001)) for step in (6,)] == [[]]  # one row of three
    (said,) = watch.update(row(7, 0.001))
    assert said.startswith(
        "LSTM_mot is dead by iteration 7: motion_deviation / parts_deviation 0.001 (at least 0.02) (median from "
        "iteration 5 on); it is (nearly) the same for every clip"
    )
    assert watch.update(row(8, 0.001)) == [] and watch.named == [MOTION]


def test_smalls_settings_at_a_rate_that_kills_are_caught_and_a_living_run_is_not(dataset, tmp_path):
    notes: dict[str, list[str]] = {}
    for name, lr in (("dead", 3.0), ("living", 0.0005)):
        said = notes.setdefault(name, [])
        settings = load_settings("tiny", file=SMALL_DEAD, overrides=[*QUICK, f"train.lr={lr}"])
        outcome = train(settings, dataset, tmp_path / name, watcher=Watcher(on_note=said.append))
        assert outcome["health"] == read_health(tmp_path / name)
    assert [note.split(" is dead")[0] for note in notes["dead"]] == [MOTION, "A (Eq. 12)"]
    assert notes["living"] == []
    states = {n: {v["part"]: v["state"] for v in read_health(tmp_path / n)["parts"]} for n in notes}
    assert states["dead"][MOTION] == states["dead"]["A (Eq. 12)"] == "dead"
    assert states["living"][MOTION] == states["living"]["A (Eq. 12)"] == states["living"]["Eq. 3"] == "alive"
    assert in_words(read_health(tmp_path / "dead"))[0].startswith("health of the parts: dead: LSTM_mot, A (Eq. 12)")


def test_a_resumed_run_does_not_repeat_what_it_said(dataset, tmp_path):
    class Stop(Exception):
        pass

    def stop(step, total, row):
        if step == 5:
            raise Stop

    first: list[str] = []
    again: list[str] = []
    overrides = [*QUICK, "train.lr=3", "train.checkpoint_every=4"]
    settings = load_settings("tiny", file=SMALL_DEAD, overrides=overrides)
    with pytest.raises(Stop):
        train(settings, dataset, tmp_path / "run", watcher=Watcher(on_note=first.append, on_step=stop))
    assert newest_checkpoint(tmp_path / "run").progress["dead"] == [MOTION, "A (Eq. 12)"]
    train(settings, dataset, tmp_path / "run", resume=True, watcher=Watcher(on_note=again.append))
    assert len(first) == 2 and not any("is dead" in note for note in again)


def test_a_checkpoint_from_before_there_were_verdicts_is_gone_on_with_and_a_damaged_one_is_not(
    settings, dataset, tmp_path
):
    train(settings, dataset, tmp_path / "run")
    path = next((tmp_path / "run" / "state").iterdir()) / "progress.json"
    progress = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in progress.items() if key != "dead"}))
    assert train(settings, dataset, tmp_path / "run", resume=True)["steps"] == 6
    path.write_text(json.dumps({**progress, "dead": 3}))
    with pytest.raises(CheckpointError, match="is damaged: dead: Input should be a valid array; train again"):
        train(settings, dataset, tmp_path / "run", resume=True)


def test_a_run_killed_before_its_health_was_written_gets_it_on_resume(settings, dataset, tmp_path, monkeypatch):
    whole = train(settings, dataset, tmp_path / "whole")["health"]

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "write_health", killed)
    with pytest.raises(KeyboardInterrupt):
        train(settings, dataset, tmp_path / "run")
    assert read_health(tmp_path / "run") is None
    monkeypatch.undo()
    outcome = train(settings, dataset, tmp_path / "run", resume=True)
    assert outcome["health"] == read_health(tmp_path / "run") == whole


def test_knock_outs_are_on_validation_people_alone(settings, dataset, tmp_path, monkeypatch):
    seen = []
    original = loop_module.write_health.__globals__["embed_without"]

    def noted(model, settings, tracklets, **options):
        seen.extend(tracklets)
        return original(model, settings, tracklets, **options)

    monkeypatch.setitem(loop_module.write_health.__globals__, "embed_without", noted)
    health = train(settings, dataset, tmp_path / "run")["health"]
    assert {t.pid for t in seen} == {t.pid for t in dataset.validation} and len(seen) == len(dataset.validation)
    validation = health["validation"]
    assert validation["n_people"] == 3 and validation["embedding"] == "sequence"
    assert [one["part"] for one in validation["without"]] == [MOTION, "A (Eq. 12)"]
    for one in validation["without"]:
        assert one["difference"] == pytest.approx(one["mAP"] - validation["mAP"])
    assert health["checkpoint"] == "iteration 6 of 6"


def test_the_weights_chosen_on_validation_are_those_whose_parts_are_fixed(settings, dataset, tmp_path):
    overrides = [*FAST, "train.selection=validation", "train.validate_every=1"]
    health = train(load_settings("tiny", overrides=overrides), dataset, tmp_path / "run")["health"]
    rows = read_log(tmp_path / "run" / "log.csv")
    looks = {row["step"]: row["validation_mAP"] for row in rows if "validation_mAP" in row}
    best = max(looks, key=lambda step: (looks[step], -step))
    assert health["checkpoint"] == f"iteration {int(best)} of 6"
    assert health["validation"]["mAP"] == pytest.approx(looks[best], abs=1e-4)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("model.sequence=none", "the embedding (defense) uses no part that could be fixed"),
        ("model.embedding=defense", "the embedding (defense) uses no part that could be fixed"),
    ],
)
def test_what_an_embedding_does_not_pass_is_not_knocked_out(override, why, dataset, tmp_path):
    health = train(load_settings("tiny", overrides=[*FAST, override]), dataset, tmp_path / "run")["health"]
    assert (health["validation"], health["not_measured"]) == (None, why)


def test_data_without_validation_people_are_said(settings, tmp_path):
    root = Tree(tmp_path / "t", people={"train": (1, 2, 3, 4), "test": (5, 6)}, lengths=(12,), size=(96, 48)).write()
    health = train(settings, open_dataset(root), tmp_path / "run")["health"]
    assert health["not_measured"] == "the data set has no validation people in both modalities"
    assert in_words(health)[1] == f"knock-outs: not measured: {health['not_measured']}"
