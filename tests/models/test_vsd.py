import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses import distillation_loss, rank_loss, sinkhorn_distance
from duskmatch.models import Due, vsd
from duskmatch.models.method import Draws
from duskmatch.models.vsd import ChannelAttention, different_modality, grey_copy
from duskmatch.pixels import normalise
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import LABELS, alone_as_in_a_batch, batch, clips, made, parameters, updated, values, weights
from tests.models.overfit import overfit
from tests.oracle import vsd as oracle

SMOOTH = "loss.label_smoothing=0.1"
BRIGHTNESS = "model.options={grey_copy: false}"


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_channel_attention_equals_the_literal_loop(gamma):
    module, maps = ChannelAttention(), torch.randn(2, 5, 3, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.gamma.fill_(gamma)
        found = module(maps).flatten(2)
    for picture, one in zip(maps, found, strict=True):
        assert torch.allclose(one, torch.tensor(oracle.channel_attention(picture, gamma)), atol=1e-5)


def test_a_grey_copy_is_what_grey_pixels_would_have_been():
    pixels = torch.randint(0, 256, (2, 3, 3, 8, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = normalise(pixels, grey=True).flatten(0, 1)
    assert torch.allclose(grey_copy(normalise(pixels).flatten(0, 1)), expected, atol=1e-5)
    assert torch.allclose(grey_copy(expected), expected, atol=1e-5)  # infrared pictures are their own


def test_every_clip_goes_through_every_branch_as_colour_or_grey():
    model, _ = made("vsd")
    model.eval()
    with torch.no_grad():
        maps = model.maps_to_pool(clips(0), "infrared")
        frames = clips(0).flatten(0, 1)
        seen = {"visible": frames, "infrared": grey_copy(frames), "whole": frames, "grey": grey_copy(frames)}
        for (name, x), found in zip(seen.items(), maps, strict=True):
            branch = model.branches[name if name in model.branches else "shared"]
            assert torch.allclose(found, branch.maps(x), atol=1e-4), name
        colours = clips(0) + torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
        assert not torch.allclose(model.maps_to_pool(colours, "visible")[0], maps[0], atol=1e-2)


def test_where_clips_are_brightness_already_the_shared_branch_reads_them_once():
    model, _ = made("vsd", BRIGHTNESS)
    *_, whole, grey = model.maps_to_pool(clips(0), "visible")
    assert whole is grey
    seen = model.observations(model.maps_to_pool(clips(0), "visible"), 2, lambda x, share: x)
    assert seen.whole is seen.grey


@pytest.mark.parametrize("options", [(), (BRIGHTNESS,)])
def test_the_terms_are_their_equations_with_their_weights(options):
    model, settings = made("vsd", SMOOTH, *options)
    (step,) = vsd.updates(model, settings, Due())
    forward = batch(model)
    got = {name: float(term.detach()) for name, term in values(step, forward).items()}
    again = batch(model)
    with torch.no_grad():
        seen = model.observations(again.maps, 2, Draws(0, 0).dropout)._asdict()  # the same draws
    labels, across = LABELS.repeat(2), torch.tensor([[i // 4 != j // 4 for j in range(8)] for i in range(8)])

    def identity(name):
        return sum(F.cross_entropy(x, labels, label_smoothing=0.1) for x in (seen[name].of_v, seen[name].of_z))

    def ranked(name):
        return sum(
            rank_loss(x, labels, ~across, margin=0.9, radius=2.2) + rank_loss(x, labels, across, margin=1.0, radius=2.0)
            for x in (seen[name].v, seen[name].z)
        )

    whole, grey = seen["whole"], seen["grey"]
    posteriors = [seen[name].of_v.softmax(dim=1) for name in ("visible", "infrared")]
    expected = {
        "visible_identity": identity("visible"),
        "visible_rank": ranked("visible"),
        "infrared_identity": identity("infrared"),
        "infrared_rank": ranked("infrared"),
        "shared_identity": identity("whole") + identity("grey"),
        "shared_rank": ranked("whole") + ranked("grey"),
        "mutual": sinkhorn_distance(*posteriors),
        "self_distillation": sum(distillation_loss(seen[n].of_v, seen[n].of_z) for n in ("visible", "infrared")),
        "cross_distillation": distillation_loss(whole.of_v[:4], grey.of_z[4:])
        + distillation_loss(grey.of_v[4:], whole.of_z[:4]),
    }
    assert got == {name: pytest.approx(float(value), rel=1e-3, abs=1e-7) for name, value in expected.items()}
    assert [weights(step)[name] for name in expected] == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 8, 2, 2]


def test_pairs_of_two_modalities_by_hand():
    assert different_modality(4, torch.device("cpu")).int().tolist() == [
        [0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]
    ]  # fmt: skip


def test_distillation_moves_the_bottleneck_and_not_what_it_learns_from():
    model, settings = made("vsd")
    (step,) = vsd.updates(model, settings, Due())
    terms = values(step, batch(model))
    for name in ("self_distillation", "cross_distillation"):
        model.zero_grad()
        terms[name].backward(retain_graph=True)
        assert all(p.grad is None for p in model.classifiers.parameters())
        largest = max(float(p.grad.abs().max()) for p in model.bottlenecks.parameters() if p.grad is not None)
        assert largest > 1e-4, name


def test_half_of_the_bottlenecks_hidden_features_are_dropped_as_the_step_says():
    model, settings = made("vsd")
    draws = []

    def seen(x, share):
        draws.append(share)
        return x

    model.observations(model.maps_to_pool(clips(0), "visible"), 2, seen)
    assert draws == [0.5, 0.5, 0.5]  # one for each branch
    steps = [vsd.updates(model, settings, Due(step=step))[0] for step in (3, 3, 4)]
    found = [float(values(step, batch(model))["visible_identity"].detach()) for step in steps]
    assert found[0] == found[1] != found[2]


def test_one_update_moves_every_part():
    model, settings = made("vsd")
    before = parameters(model)
    updated(model, settings)
    assert {n for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])} == set()


@pytest.mark.parametrize("options", [(), (BRIGHTNESS,)])
def test_the_embedding_is_four_observations_and_does_not_depend_on_the_batch(options):
    model, _ = made("vsd", *options)
    assert model.embedding_width == 4 * model.channels
    assert alone_as_in_a_batch(model)


def test_options_without_sense_are_refused():
    with pytest.raises(SettingsError, match=r"model\.options z must be greater than or equal to 1; got 0"):
        made("vsd", "model.options={z: 0}")
    with pytest.raises(SettingsError, match=r"model\.options grey_copy must be a valid boolean; got 1"):
        made("vsd", "model.options={grey_copy: 1}")


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch():
    assert least_cosine(*made("vsd"), "visible") >= 0.9999


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits_dropout_included(tree, tmp_path):
    assert differing([*SHORT, "model.name=vsd"], tree, tmp_path, at=3) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    assert overfit("vsd", tmp_path_factory, tmp_path / "run", SMOOTH, BRIGHTNESS) >= 0.9
