import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses import defense_triplet_loss
from duskmatch.models import Due, mitml
from duskmatch.models.backbone import load_backbone
from duskmatch.models.mitml import MITML, guide_of_frame, modality_labels, undecided_loss
from duskmatch.training.trainer import make_optimizer
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import LABELS, alone_as_in_a_batch, batch, clips, made, moved, parameters, updated
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
    forward = batch(model, settings, due=Due(epoch=3))
    got = {name: float(x.detach()) for step in (main, modality) for name, x in step.terms(forward).items()}
    with torch.no_grad():
        features = model.frame_features(model.shared_maps(model.shallow(clips(0), clips(1)), 2), 2)
        embedding = model.neck(features.mean(dim=1))
        first, _, last = model.modality_classifier.layers
        hidden = torch.relu(features @ first.weight[:, :, 0].T + first.bias)  # frame by frame
        logits = (hidden @ last.weight[:, :, 0].T + last.bias).mean(dim=1)
        expected = {
            "identity": F.cross_entropy(model.classifier(embedding), LABELS.repeat(2)),
            "triplet": defense_triplet_loss(features.mean(dim=1), LABELS.repeat(2), margin=0.3, form="euclidean"),
            "confusion": F.cross_entropy(logits, torch.full((8,), 2)),
            "modality": F.cross_entropy(logits, torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])),
        }
    assert got == {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}
    assert {**main.weights, **modality.weights} == dict.fromkeys(expected, 1.0)
    assert modality_labels(LABELS).tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_the_confusion_begins_at_its_epoch():
    model, settings = made("mitml", TWO)
    assert MITML(5).confusion_epoch == 60
    for epoch, due in ((2, False), (3, True)):
        (forward,) = [batch(model, settings, due=Due(epoch=epoch))]
        assert ("confusion" in mitml.terms(forward)) == due


@pytest.mark.parametrize("joint", [False, True])
def test_the_modality_classifier_learns_its_own_task_and_nothing_else_does(joint):
    model, settings = made("mitml", TWO)
    modality, main = mitml.updates(model, settings, Due())
    assert modality.trains == ("modality_classifier",) and set(main.trains) == EVERYTHING
    alone, _ = made("mitml", TWO)
    undecided_loss(alone, alone.frame_features(batch(alone, settings).maps, 2)).backward()
    assert all(p.grad is None for p in alone.modality_classifier.parameters())
    alone.zero_grad()
    modality.terms(batch(alone, settings))["modality"].backward()
    assert {n.split(".")[0] for n, p in alone.named_parameters() if p.grad is not None} == {"modality_classifier"}
    expected = {n: p.detach() - 0.01 * p.grad for n, p in alone.modality_classifier.named_parameters()}
    before = parameters(model)
    updated(model, settings, due=Due(epoch=3), joint=joint)  # with confusion, which must not teach it
    for name, parameter in model.modality_classifier.named_parameters():
        assert torch.allclose(parameter, expected[name], atol=1e-6), name
    assert moved(model, before) == {*EVERYTHING, "modality_classifier"}


def test_the_modality_classifier_trains_at_the_backbones_rate():
    model, settings = made("mitml", TWO, "train.backbone_lr_factor=0.1", "train.lr=0.1", "train.optimizer=sgd")
    slow = {id(p) for p in make_optimizer(model, settings).param_groups[0]["params"]}
    names = {n.split(".")[0] for n, p in model.named_parameters() if id(p) in slow}
    assert names == {"stem_visible", "stem_infrared", "encoder", "temporal_stage", "modality_classifier"}


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(made("mitml", TWO)[0])


def test_options_without_sense_are_refused():
    with pytest.raises(SettingsError, match=r"model\.options memory_layers must be at least 1; got 0"):
        MITML(5, memory_layers=0)
    model, settings = made("mitml")
    with pytest.raises(SettingsError, match=r"model\.options frame_guides must be at most 2, .* never learn; got 6"):
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
