import copy

import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses import centre_cluster_loss, distillation_loss
from duskmatch.models import Due, mpanet
from duskmatch.models.mpanet import (
    ModalityAlleviation,
    followers_logits,
    modality_logits,
    separation,
)
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import LABELS, alone_as_in_a_batch, batch, clips, made, parameters, updated, values, weights
from tests.models.overfit import overfit
from tests.oracle import mpanet as oracle

D = 64  # of the preset tiny


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_alleviation_equals_the_literal_loop():
    torch.manual_seed(0)
    module, maps = ModalityAlleviation(8, reduction=4), random(2, 8, 3, 2)
    found = module(maps)
    for picture, one in zip(maps, found, strict=True):
        gate = ((layer.weight.detach(), layer.bias.detach()) for layer in (module.down, module.up))
        assert torch.allclose(one, torch.tensor(oracle.alleviated(picture, *gate)), atol=1e-5)


def test_a_shut_gate_takes_a_pictures_own_mean_and_contrast_away():
    torch.manual_seed(0)
    module, maps = ModalityAlleviation(8), random(2, 8, 6, 3)
    torch.nn.init.constant_(module.up.bias, -30)
    assert torch.allclose(module(maps), module(3 * maps + 5), atol=1e-4)
    torch.nn.init.constant_(module.up.bias, 60)
    assert torch.allclose(module(maps), maps, atol=1e-5)


def test_separation_equals_the_literal_loop_and_is_nothing_where_no_masks_overlap():
    masks = random(3, 4, 5, 2).sigmoid()
    assert float(separation(masks)) == pytest.approx(oracle.separation(masks), rel=1e-5)
    apart = torch.eye(4).reshape(1, 4, 2, 2)
    assert float(separation(apart)) == 0


def test_descriptors_of_patterns_equal_the_literal_loop():
    model, _ = made("mpanet")
    maps, masks = random(4, D, 3, 2), random(4, 6, 3, 2, seed=1).sigmoid()
    pooled = model.pooled(maps, masks, 2)
    each = torch.tensor([oracle.descriptor(m, k) for m, k in zip(maps, masks, strict=True)])
    assert pooled.shape == (2, 7 * D) and torch.allclose(pooled, each.reshape(2, 2, -1).mean(dim=1), atol=1e-6)


def test_the_terms_are_their_equations_with_their_weights():
    model, settings = made("mpanet", "loss.margin=0.7")
    with torch.no_grad():
        model.visible_follower.normal_(generator=torch.Generator().manual_seed(1))
        model.infrared_follower.normal_(generator=torch.Generator().manual_seed(2))
        model.visible_classifier.weight.mul_(50), model.infrared_classifier.weight.mul_(50)
    (step,) = mpanet.updates(model, settings, Due())
    forward = batch(model)
    got = {name: float(term.detach()) for name, term in values(step, forward).items()}
    with torch.no_grad():
        masks = model.masks(forward.maps)
        pooled = model.pooled(forward.maps, masks, 2)
        embedding = model.neck(pooled)
        visible, infrared = embedding.chunk(2)
        own = [model.visible_classifier(visible), model.infrared_classifier(infrared)]
        other = [visible @ model.infrared_follower.T, infrared @ model.visible_follower.T]
        expected = {
            "identity": F.cross_entropy(model.classifier(embedding), LABELS.repeat(2)),
            "centre_cluster": centre_cluster_loss(pooled, LABELS.repeat(2), margin=0.7),
            "separation": separation(masks),
            "modality_identity": sum(F.cross_entropy(logits, LABELS) for logits in own),
            "agreement": distillation_loss(torch.cat(own), torch.cat(other)),
        }
    assert got == {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}
    assert weights(step) == {
        "identity": 1.0, "centre_cluster": 1.0, "separation": 0.5, "modality_identity": 1.0, "agreement": 2.5
    }  # fmt: skip


def test_agreement_teaches_the_own_classifier_and_never_the_followed_one():
    model, _ = made("mpanet")
    embedding = random(4, 7 * D).requires_grad_()
    with torch.no_grad():
        model.infrared_follower.normal_(generator=torch.Generator().manual_seed(1))
    assert not followers_logits(model, embedding).requires_grad
    distillation_loss(modality_logits(model, embedding), followers_logits(model, embedding)).backward()
    assert float(model.visible_classifier.weight.grad.abs().sum()) > 0 and float(embedding.grad.abs().sum()) > 0


def test_followers_move_towards_the_classifiers_once_an_iteration_and_slower_in_the_end():
    model, settings = made("mpanet")
    for epoch, rate in ((0, 0.2), (99, 0.2), (199, 0.1)):
        before = copy.deepcopy(model)
        with torch.no_grad():
            model.visible_classifier.weight.add_(1.0), before.visible_classifier.weight.add_(1.0)
        updated(model, settings, due=Due(epoch=epoch))
        was, weight = before.visible_follower, before.visible_classifier.weight
        rows = zip(was.tolist(), weight.tolist(), strict=True)
        expected = torch.tensor([[(1 - rate) * x + rate * w for x, w in zip(*row, strict=True)] for row in rows])
        assert torch.allclose(model.visible_follower, expected, atol=1e-6)


def test_both_modalities_go_through_the_same_layers():
    model, _ = made("mpanet")
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.embed(clips(0), "visible"), model.embed(clips(0), "infrared"))
    assert not [name for name, _ in model.named_parameters() if name.startswith("stem_")]


def test_one_update_moves_every_part():
    model, settings = made("mpanet", "loss.margin=0.7")
    before = parameters(model)
    updated(model, settings)
    assert {n for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])} == set()


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(made("mpanet")[0])


def test_options_without_sense_are_refused():
    with pytest.raises(SettingsError, match=r"model\.options n_patterns must be greater than or equal to 2; got 1"):
        made("mpanet", "model.options={n_patterns: 1}")
    with pytest.raises(SettingsError, match=r"model\.options follow_rate must be greater than 0; got 0\.0"):
        made("mpanet", "model.options={follow_rate: 0.0}")
    with pytest.raises(SettingsError, match=r"options n_pattern: model\.name mpanet has follow_rate, n_patterns"):
        made("mpanet", "model.options={n_pattern: 3}")
    with pytest.raises(SettingsError, match=r"model\.options n_patterns must be a valid integer; got 'six'"):
        made("mpanet", "model.options={n_patterns: six}")


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch():
    assert least_cosine(*made("mpanet"), "infrared") >= 0.9999


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits_followers_included(tree, tmp_path):
    assert differing([*SHORT, "model.name=mpanet"], tree, tmp_path, at=3) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    assert overfit("mpanet", tmp_path_factory, tmp_path / "run", "loss.margin=0.7", "train.steps_per_epoch=120") >= 0.9
