import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from duskmatch import load_embedder
from duskmatch.config import load_settings, parse_settings
from duskmatch.data import open_dataset
from duskmatch.errors import SettingsError, TrainingError
from duskmatch.evaluation import evaluate_dataset
from duskmatch.models import SelfAttackDefense
from duskmatch.models.algorithm1 import self_pair_drawn
from duskmatch.models.building import build_model
from duskmatch.training import Watcher, train
from duskmatch.training import iteration as iteration_module
from duskmatch.training import loop as loop_module
from duskmatch.training.monitor import CollapseDetector, Log, read_log
from duskmatch.training.trainer import prepare
from duskmatch.weights import read_weights
from tests.data.tree import Tree
from tests.training.conftest import FAST


def with_(settings, **changes):
    tree = settings.model_dump()
    for key, value in changes.items():
        section, name = key.split("__")
        tree[section][name] = value
    return parse_settings(tree)


def test_a_run_folder_has_what_the_layout_says(settings, dataset, tmp_path):
    seen = []
    outcome = train(settings, dataset, tmp_path / "run", watcher=Watcher(on_step=lambda s, n, row: seen.append((s, n))))
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "VERSION",
        "settings.yaml",
        "model.safetensors",
        "state",
        "log.csv",
        "health.json",
    }
    assert seen == [(i, 6) for i in range(1, 7)]
    assert outcome["synthetic"] is True and outcome["people"] == 4
    row = read_log(tmp_path / "run" / "log.csv")[-1]
    for name in ("confusion", "attack_identity", "defense_identity", "defense_triplet", "sequence_identity"):
        assert math.isfinite(row[name])
    for name in ("attack_stem_gradient", "defense_stem_gradient", "self_attention_ratio", "cross_attention3_ratio"):
        assert row[name] >= 0
    assert row["stage"] == 2 and row["frames_per_s"] > 0 and abs(row["confusion_excess"]) < 1


def test_both_schedules_and_precisions_train(settings, dataset, tmp_path):
    variants = [
        {"train__schedule": "joint"},
        {"train__precision": "bf16"},
        {"train__micro_batches": 2, "train__pids_per_batch": 4},
        {"train__optimizer": "sgd", "train__lr": 0.01},
    ]
    for i, changes in enumerate(variants):
        assert train(with_(settings, **changes), dataset, tmp_path / str(i))["steps"] == 6


def test_a_micro_batch_of_one_person_is_refused(settings):
    with pytest.raises(SettingsError, match="each micro-batch must hold two people or more for the triplet"):
        with_(settings, train__micro_batches=2)


def test_a_loss_that_is_not_finite_stops_with_step_term_and_checkpoint(settings, dataset, tmp_path, monkeypatch):
    original = iteration_module.forward_maker

    def poisoned(trainer, batch):
        if trainer.step == 4:
            with torch.no_grad():
                trainer.model.sequence_classifier.weight.fill_(torch.nan)
        return original(trainer, batch)

    monkeypatch.setattr(iteration_module, "forward_maker", poisoned)
    message = r"iteration 5: sequence_identity is nan; .* still holds iteration 4; lower train\.lr, set"
    with pytest.raises(TrainingError, match=message):
        train(settings, dataset, tmp_path / "run")
    assert (tmp_path / "run" / "state" / "000000004" / "model.safetensors").is_file()


def test_the_collapse_is_named_once_and_only_when_it_lasts():
    detector = CollapseDetector(100, 0.3, modalities_summed=2, watched=SelfAttackDefense.watched, window=3)
    dead = {"defense_triplet": 0.3001, "defense_identity": 2 * math.log(100)}
    assert detector.update(dead) is None
    assert detector.update({**dead, "defense_triplet": 0.2}) is None
    assert [detector.update(dead), detector.update(dead)] == [None, None]
    assert detector.update(dead).startswith(
        "collapsed: for 3 logged iterations the triplet loss has been its margin 0.3"
    )


def test_the_literal_recipe_from_scratch_collapses_and_is_named(dataset, tmp_path):
    """docs/method.md, row 15: squared triplet on f_d with SGD 0.12, here with all embeddings made one point."""
    changes = ["loss.triplet=squared", "loss.triplet_on=pooled", "train.steps_per_epoch=22", "train.lr=1e-12"]
    settings = load_settings("tiny", overrides=[*FAST, *changes, "train.stage2_epochs=0"])
    notes: list[str] = []

    watcher = Watcher(on_note=notes.append)
    original = loop_module.prepare

    def flat(*args, **kwargs):
        trainer = original(*args, **kwargs)
        with torch.no_grad():
            for part in trainer.model.defense_encoder.layer4[-1].modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.weight.zero_()
            trainer.model.defense_encoder.layer4[0].downsample[1].weight.zero_()
            trainer.model.defense_encoder.layer4[0].bn2.weight.zero_()
        return trainer

    loop_module.prepare = flat
    try:
        train(settings, dataset, tmp_path / "run", watcher=watcher)
    finally:
        loop_module.prepare = original
    assert sum(note.startswith("collapsed") for note in notes) == 1


def test_a_narrow_embedding_under_attack_is_said(settings, dataset, tmp_path):
    notes: list[str] = []
    train(with_(settings, model__width=0.0625), dataset, tmp_path / "run", watcher=Watcher(on_note=notes.append))
    assert not notes  # 64 wide for 4 people is wide enough
    crowd = Tree(
        tmp_path / "crowd", people={"train": range(1, 41), "test": (50,)}, lengths=(12,), cameras=(1,), size=(96, 48)
    )
    crowd.write()
    prepare(settings, open_dataset(tmp_path / "crowd"), tmp_path, device="cpu", watcher=Watcher(on_note=notes.append))
    assert notes[0].startswith("the embedding is 64 wide for 40 people: below twice their number Eq. 3 works against")
    harmless = with_(settings, loss__confusion_weight=0)
    prepare(harmless, open_dataset(tmp_path / "crowd"), tmp_path, device="cpu", watcher=Watcher(on_note=notes.append))
    later = with_(settings, train__stage0_epochs=1)  # who is who has been learnt when the attack begins
    prepare(later, open_dataset(tmp_path / "crowd"), tmp_path, device="cpu", watcher=Watcher(on_note=notes.append))
    assert len(notes) == 1


def test_selection_on_validation_people_keeps_the_best_look(settings, dataset, tmp_path, monkeypatch):
    looks = iter([0.5, 0.4])

    def fake(self, step, header):
        from duskmatch.training.checkpoint import write_model

        value = next(looks)
        if self.best is None or value > self.best["mAP"]:
            self.best = {"step": step, "mAP": value, "rank1": value}
            write_model(self.run / "best.safetensors", self.model, header)
        return {"validation_mAP": value, "validation_rank1": value}

    monkeypatch.setattr("duskmatch.training.selection.Selection.evaluate", fake)
    chosen = with_(settings, train__selection="validation", train__validate_every=1)
    train(chosen, dataset, tmp_path / "run")
    public = load_file(tmp_path / "run" / "model.safetensors")
    last = load_file(tmp_path / "run" / "state" / f"{6:09d}" / "model.safetensors")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "run" / "best.safetensors").read_bytes()
    assert not torch.equal(
        public["defense_encoder.layer1.0.conv1.weight"], last["defense_encoder.layer1.0.conv1.weight"]
    )
    assert [row.get("validation_mAP") for row in read_log(tmp_path / "run" / "log.csv")] == [
        None,
        None,
        0.5,
        None,
        None,
        0.4,
    ]


def test_selection_really_looks_at_validation_people(settings, dataset, tmp_path):
    train(with_(settings, train__selection="validation", train__validate_every=2), dataset, tmp_path / "run")
    rows = [row for row in read_log(tmp_path / "run" / "log.csv") if "validation_mAP" in row]
    assert len(rows) == 1 and 0 < rows[0]["validation_mAP"] <= 1


@pytest.mark.parametrize(
    ("set_to", "own", "used"),
    [
        (None, "camera-3-skips-camera-2", "camera-3-skips-camera-2"),
        (None, "same-pid-same-camera", "same-pid-same-camera"),
        ("none", "same-pid-same-camera", "none"),
    ],
)
def test_selection_scores_by_the_data_sets_rule_unless_told_another(
    settings, dataset, tmp_path, monkeypatch, set_to, own, used
):
    seen = []

    def scored(*args, **options):
        found = evaluate_dataset(*args, **options)
        seen.append((found.camera_rule, found.protocol.cmc))
        return found

    monkeypatch.setattr("duskmatch.training.selection.evaluate_dataset", scored)
    of_its_own = replace(dataset, protocol=replace(dataset.protocol, camera_rule=own, cmc="identities"))
    chosen = with_(settings, train__selection="validation", train__validate_every=2, evaluate__camera_rule=set_to)
    train(chosen, of_its_own, tmp_path / "run")
    assert set(seen) == {(used, "identities")}
    assert read_weights(tmp_path / "run" / "model.safetensors").header["protocol"] == {"camera_rule": used}


def test_selection_without_validation_people_is_refused(settings, tmp_path):
    root = Tree(tmp_path / "t", people={"train": (1, 2, 3, 4), "test": (5, 6)}, lengths=(12,), size=(96, 48)).write()
    chosen = with_(settings, train__selection="validation")
    with pytest.raises(SettingsError, match=r"train\.selection validation needs validation people and .* has none"):
        train(chosen, open_dataset(root), tmp_path / "run")


def test_self_pairs_are_drawn_by_seed_and_step_alone():
    settings = load_settings("tiny", overrides=["train.self_pair_probability=0.5"])
    draws = [self_pair_drawn(settings, step) for step in range(200)]
    assert draws == [self_pair_drawn(settings, step) for step in range(200)]
    assert 60 < sum(draws) < 140
    assert not any(self_pair_drawn(load_settings("tiny"), step) for step in range(50))


def test_recalibration_sets_the_statistics_of_self_pairs(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "plain")
    train(with_(settings, train__recalibrate_steps=2), dataset, tmp_path / "again")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "again"))
    changed = {k for k in a if not torch.equal(a[k], b[k])}
    assert changed == {"defense_neck.running_mean", "defense_neck.running_var"}


def test_recalibration_takes_the_shift_of_longer_clips_out_of_j_d(settings, dataset, tmp_path):
    """Trained on 2 frames and tested on 6, all j_d would point the same way."""
    longer = {"data__train_frames_per_clip": 2, "data__frames_per_clip": 6, "model__sequence_neck": True}
    shifts = []
    for steps in (0, 3):
        run = tmp_path / str(steps)
        train(with_(settings, **longer, train__recalibrate_steps=steps), dataset, run)
        vectors = load_embedder(run).embed(dataset.train).vectors
        shifts.append(float(np.linalg.norm(vectors.mean(axis=0))))
    assert shifts[1] < 0.7 * shifts[0]


def test_the_attack_starts_when_the_defense_classifier_has_learnt(settings, dataset, tmp_path):
    train(with_(settings, train__attack_start=1.0), dataset, tmp_path / "run")
    assert all("confusion" not in row for row in read_log(tmp_path / "run" / "log.csv"))


def test_the_start_is_a_pure_function_of_the_seed(settings):
    a, b = build_model(settings, 4), build_model(settings, 4)
    other = build_model(with_(settings).model_copy(update={"seed": 1}), 4)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.stem_visible.conv1.weight, other.stem_visible.conv1.weight)


def test_a_log_cut_off_in_a_row_is_read_up_to_there(tmp_path):
    path = tmp_path / "log.csv"
    log = Log(path, SelfAttackDefense.logged, keep_until=0)
    for step in (1, 2, 3):
        log.write({"step": step, "lr": 0.5, "not a column": 1})
    log.close()
    path.write_text(path.read_text()[:-30] + "4,x")
    assert [row["step"] for row in read_log(path)] == [1, 2]
    Log(path, SelfAttackDefense.logged, keep_until=1).close()
    assert [row["step"] for row in read_log(path)] == [1]


def test_automatic_precision_is_settled_before_it_is_written(settings, dataset, tmp_path, monkeypatch):
    for fast, word in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(loop_module, "fast_bf16", lambda device, fast=fast: fast)
        train(with_(settings, train__precision="auto"), dataset, tmp_path / word)
        assert f"precision: {word}" in (tmp_path / word / "settings.yaml").read_text()


def test_tensorboard_is_asked_for_by_name_where_it_is_missing(settings, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match=r"train\.tensorboard needs TensorBoard: pip install 'duskmatch\[track\]'"):
        train(with_(settings, train__tensorboard=True), dataset, tmp_path / "run")


def test_centres_are_the_means_of_training_people_and_are_taken_off(settings, dataset, tmp_path):
    run = tmp_path / "run"
    train(with_(settings, train__recalibrate_steps=3, train__centre=True), dataset, run)
    weights = load_file(run / "model.safetensors")
    assert float(weights["centre_visible"].norm()) > 0 and not torch.equal(
        weights["centre_visible"], weights["centre_infrared"]
    )
    embedder = load_embedder(run)
    visible = embedder.embed([t for t in dataset.train if t.modality == "visible"]).vectors
    embedder.model.centre_visible.zero_()
    before = embedder.embed([t for t in dataset.train if t.modality == "visible"]).vectors
    expected = before - weights["centre_visible"].numpy()
    assert np.allclose(visible, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_centres_need_batches_to_be_taken_of(settings):
    with pytest.raises(SettingsError, match=r"train\.centre needs train\.recalibrate_steps above 0"):
        with_(settings, train__centre=True)


def test_the_log_has_the_width_over_the_people(settings, dataset, tmp_path):
    train(settings, dataset, tmp_path / "run")
    embedder = load_embedder(tmp_path / "run")
    assert read_log(tmp_path / "run" / "log.csv")[0]["width_over_people"] == embedder.model.channels / 4


def test_want_of_device_memory_says_what_to_change(settings, dataset, tmp_path, monkeypatch):
    def no_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("duskmatch.training.updates.Updater.iterate", no_memory)
    with pytest.raises(TrainingError, match=r"iteration 1: the device's memory.*train\.recompute_activations"):
        train(settings, dataset, tmp_path / "run")


def test_recalibration_goes_on_into_further_epochs(settings, dataset, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(loop_module, "recalibrate", lambda model, batches, data, *, centre: seen.append(len(batches)))
    train(with_(settings, train__recalibrate_steps=7), dataset, tmp_path / "run")  # an epoch has 3 steps
    assert seen == [7]
