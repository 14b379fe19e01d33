from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.losses import defense_triplet_loss
from duskmatch.models import Due, mitml
from duskmatch.models.backbone import load_backbone
from duskmatch.models.mitml import MITML, MITMLSettings, ModalityClassifier, guide_of_frame, undecided_loss
from duskmatch.training.trainer import make_optimizer
from duskmatch.weights import fill_model
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import (
    LABELS,
    alone_as_in_a_batch,
    batch,
    clips,
    figures,
    made,
    moved,
    parameters,
    updated,
    values,
    weights,
)
from tests.models.overfit import overfit
from tests.oracle import mitml as oracle

TWO = "model.options={frame_guides: 2, confusion_epoch: 3}"
EVERYTHING = {"stem_visible", "stem_infrared", "encoder", "temporal_stage", "memory", "guides", "neck", "classifier"}


@pytest.mark.parametrize(("n_guides", "n_frames"), [(6, 6), (2, 3), (1, 4)])
def test_frame_features_equal_the_literal_loop(n_guides, n_frames):
    model, _ = made("mitml", f"model.options={{frame_guides: {n_guides}}}")
    maps = torch.rand(2 * n_frames, 2 * model.channels, 3, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model.frame_features(maps, n_frames)
        means = maps.mean(dim=(2, 3)).reshape(2, n_frames, -1)
        for clip, one in zip(means, found, strict=True):
            appearance, time = clip[:, : model.channels], clip[:, model.channels :]
            assert torch.allclose(one, torch.tensor(oracle.frame_features(appearance, time, model)), atol=1e-5)
        assert torch.allclose(model.pooled(maps, n_frames), found.mean(dim=1))


def test_the_modality_classifier_equals_the_literal_loop():
    torch.manual_seed(0)
    module, clips = ModalityClassifier(40), torch.randn(6, 40)
    with torch.no_grad():
        for norm in module.halving[1::3]:
            norm.weight.uniform_(0.5, 2), norm.bias.uniform_(-1, 1)
        assert torch.allclose(module(clips), torch.tensor(oracle.modality_logits(clips, module)), atol=1e-4)


def test_the_modality_classifier_halves_the_channels_to_eight_or_the_next_above():
    def widths(d: int) -> list[int]:
        with torch.device("meta"):
            module = ModalityClassifier(d)
        layers = module.halving[0::3]
        assert all((x.kernel_size, x.stride, x.padding) == ((3,), (2,), (1,)) for x in layers)
        assert module.last.in_features == (layers[-1].out_channels if len(layers) else d)
        return [layer.out_channels for layer in layers]

    assert widths(2048) == [1024, 512, 256, 128, 64, 32, 16, 8]
    assert widths(64) == [32, 16, 8] and widths(1280)[-2:] == [20, 10] and widths(12) == []


def test_guides_have_no_shift_in_their_squeeze_and_excitation():
    model, _ = made("mitml", TWO)
    names = {name.split(".", 2)[2] for name, _ in model.named_parameters() if name.startswith("guides.")}
    assert names == {"told.weight", "told.bias", "excite.0.weight", "excite.2.weight"}


def test_a_run_of_an_earlier_mitml_is_refused_in_one_line_that_says_what_to_do():
    model, _ = made("mitml", TWO)
    kept = {name: x for name, x in model.state_dict().items() if not name.startswith("modality_classifier.")}
    shifts = {"guides.0.excite.0.bias": torch.zeros(8), "guides.0.excite.2.bias": torch.zeros(64)}
    old = {**kept, **shifts, "modality_classifier.layers.0.weight": torch.zeros(8, 64, 1)}
    without = {**model.state_dict(), **shifts}  # as exported folders are, without the classifier
    for tensors, thing in (
        (old, "lacks modality_classifier.halving.0.bias"),
        (without, "holds guides.0.excite.0.bias, which this network lacks"),
    ):
        with pytest.raises(CheckpointError) as caught:
            fill_model(model, tensors, Path("run.safetensors"))
        assert str(caught.value) == (
            f"run.safetensors: {thing}; it was made for other settings or by another duskmatch; train again or use the "
            "one that wrote it"
        )


@pytest.mark.parametrize(
    ("n_frames", "n_guides", "expected"),
    [(6, 6, [0, 1, 2, 3, 4, 5]), (3, 6, [0, 2, 4]), (6, 2, [0, 0, 0, 1, 1, 1]), (5, 1, [0] * 5), (1, 6, [0])],
)
def test_guides_of_frames_by_hand(n_frames, n_guides, expected):
    assert guide_of_frame(n_frames, n_guides) == expected


def test_any_number_of_frames_is_embedded():
    model, _ = made("mitml", TWO)
    model.eval()
    with torch.no_grad():
        for n_frames in (1, 2, 5, 8):
            assert model.embed(clips(0, n_frames), "visible").shape == (4, model.embedding_width)


def test_appearance_and_time_have_a_stage_4_each_that_start_alike():
    model, _ = made("mitml", TWO)
    appearance, time = model.shared_maps(model.shallow(clips(0), clips(1)), 2).chunk(2, dim=1)
    assert torch.equal(appearance, time)
    with torch.no_grad():
        next(model.temporal_stage.parameters()).add_(1.0)
    appearance, time = model.shared_maps(model.shallow(clips(0), clips(1)), 2).chunk(2, dim=1)
    assert not torch.equal(appearance, time)


def test_loaded_weights_fill_both_stages_4():
    model, _ = made("mitml", TWO)
    weights = {k: v + 1 for piece in model.backbone_pieces() for k, v in piece.state_dict().items()}
    load_backbone(model.backbone_pieces(), weights, "file")
    assert torch.equal(model.temporal_stage.layer4[0].conv1.weight, weights["layer4.0.conv1.weight"])
    assert torch.equal(model.encoder.layer4[0].conv1.weight, weights["layer4.0.conv1.weight"])


def test_the_terms_are_their_equations_with_their_weights():
    model, settings = made("mitml", TWO)
    modality, main = mitml.updates(model, settings, Due(epoch=3))
    forward = batch(model)
    got = {name: float(x.detach()) for step in (main, modality) for name, x in values(step, forward).items()}
    with torch.no_grad():
        features = model.frame_features(model.shared_maps(model.shallow(clips(0), clips(1)), 2), 2)
        clip = features.mean(dim=1)  # before the neck
        shares = torch.tensor(oracle.modality_logits(clip, model.modality_classifier)).log_softmax(dim=1)
        expected = {
            "identity": F.cross_entropy(model.classifier(model.neck(clip)), LABELS.repeat(2)),
            "triplet": defense_triplet_loss(clip, LABELS.repeat(2), margin=0.3, form="euclidean"),
            "confusion": -shares[:4, 2].mean() - shares[4:, 2].mean(),  # both modalities' means, summed
            "modality": -shares[:4, 1].mean() - shares[4:, 0].mean(),
        }
    assert got == {name: pytest.approx(float(value), rel=1e-3) for name, value in expected.items()}
    assert {**weights(main), **weights(modality)} == dict.fromkeys(expected, 1.0)
    right = (shares.argmax(dim=1) == torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])).float().mean()
    assert float(figures(modality, forward)["modality_accuracy"]) == pytest.approx(float(right))


def test_the_confusion_begins_at_its_epoch():
    model, settings = made("mitml", TWO)
    assert MITML(5, MITMLSettings()).confusion_epoch == 60
    for epoch, due in ((2, False), (3, True)):
        _, main = mitml.updates(model, settings, Due(epoch=epoch))
        assert ("confusion" in values(main, batch(model))) == due


@pytest.mark.parametrize("joint", [False, True])
def test_the_modality_classifier_learns_its_own_task_and_nothing_else_does(joint):
    model, settings = made("mitml", TWO)
    modality, main = mitml.updates(model, settings, Due())
    assert modality.trains == ("modality_classifier",) and set(main.trains) == EVERYTHING
    alone, _ = made("mitml", TWO)
    undecided_loss(alone, alone.pooled(batch(alone).maps, 2)).backward()
    assert all(p.grad is None for p in alone.modality_classifier.parameters())
    alone.zero_grad()
    values(mitml.updates(alone, settings, Due())[0], batch(alone))["modality"].backward()
    assert {n.split(".")[0] for n, p in alone.named_parameters() if p.grad is not None} == {"modality_classifier"}
    expected = {n: p.detach() - 0.01 * p.grad for n, p in alone.modality_classifier.named_parameters()}
    before = parameters(model)
    updated(model, settings, due=Due(epoch=3), joint=joint)  # with confusion, which must not teach it
    for name, parameter in model.modality_classifier.named_parameters():
        assert torch.allclose(parameter, expected[name], atol=1e-6), name
    assert moved(model, before) == {*EVERYTHING, "modality_classifier"}


def test_all_but_the_neck_and_the_classifier_train_at_the_slow_rate():
    model, settings = made("mitml", TWO, "train.rates={backbone: 0.1}", "train.lr=0.1", "train.optimizer=sgd")
    slow = {id(p) for p in make_optimizer(model, settings).param_groups[0]["params"]}
    names = {n.split(".")[0] for n, p in model.named_parameters() if id(p) in slow}
    assert names == (EVERYTHING | {"modality_classifier"}) - {"neck", "classifier"}


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(made("mitml", TWO)[0])


def test_options_without_sense_are_refused():
    with pytest.raises(SettingsError, match=r"model\.options memory_layers must be greater than or equal to 1; got 0"):
        made("mitml", "model.options={memory_layers: 0}")
    model, settings = made("mitml")
    with pytest.raises(SettingsError, match=r"^model\.options frame_guides must be at most 2, .* trained; got 6"):
        updated(model, settings)


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch():
    assert least_cosine(*made("mitml", TWO), "infrared") >= 0.9999


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tree, tmp_path):
    options = "model.options={frame_guides: 2, confusion_epoch: 0}"
    assert differing([*SHORT, "model.name=mitml", options], tree, tmp_path, at=3) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    confused = ["model.options={frame_guides: 1, confusion_epoch: 1}", "train.stage1_epochs=2"]  # in its second half
    assert overfit("mitml", tmp_path_factory, tmp_path / "run", *confused) >= 0.9
