"""Where a model looks: activation and Grad-CAM against closed forms, and a model that is left as it was."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from duskmatch.config import SelfAttackSettings, load_settings
from duskmatch.embedding import Embedder, load_embedder
from duskmatch.embedding.highlights import RunningSpread, record_highlights
from duskmatch.embedding.saliency import activation, grad_cam, saliency_maps, stretched
from duskmatch.errors import SettingsError
from duskmatch.models import SelfAttackDefense
from duskmatch.models.parts import part_pool
from duskmatch.pixels import normalise
from duskmatch.records import Clip

PARTS = {"attack": False, "defense": False, "sequence": "none"}


def embedder(frames=2, **options) -> Embedder:
    """A network before training whose attention branches are open, so that each part of the path counts."""
    torch.manual_seed(0)
    model = SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, **options))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("block.norm.weight"):
                tensor.fill_(0.5)
    model.eval()
    return Embedder(model, load_settings("tiny", overrides=[f"data.frames_per_clip={frames}"]), device="cpu")


def clip_of(tracklet, seed=0, frames=2, size=(96, 48)) -> Clip:
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, 3, *size), dtype=np.uint8), tracklet)


def unit(width, seed=1):
    vector = np.random.default_rng(seed).standard_normal(width).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def tracklet(people):
    return people.test[0]


class TinyLinear(nn.Module):
    """Maps are the pixels mixed by a matrix; the vector is their mean times another matrix."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.mix = nn.Parameter(torch.randn(4, 3, generator=generator))
        self.out = nn.Parameter(torch.randn(5, 4, generator=generator))

    def maps_to_pool(self, clips, modality):
        return [torch.einsum("dc,tchw->tdhw", self.mix, clips.flatten(0, 1))]

    def embed_maps(self, maps, n_frames, modality):
        return (self.out @ maps[0].mean(dim=(0, 2, 3)))[None]


def test_grad_cam_of_a_tiny_linear_model_is_its_closed_form(tracklet):
    model, target, clip = TinyLinear(), unit(5), clip_of(tracklet, size=(4, 2))
    looks = saliency_maps(SimpleNamespace(model=model, settings=load_settings("tiny")), clip, target)
    maps = model.maps_to_pool(normalise(torch.from_numpy(clip.frames)[None]), "visible")[0].detach().numpy()
    weights = model.out.detach().numpy().T @ target  # d sim / d map, times the number of places: one for each channel
    expected = np.maximum(np.einsum("d,tdhw->thw", weights, maps), 0)
    assert looks.grad_cam == pytest.approx(expected / expected.max(), abs=1e-5)
    assert looks.sim == pytest.approx(float(target @ model.out.detach().numpy() @ maps.mean(axis=(0, 2, 3))), abs=1e-5)
    lengths = np.sqrt((maps**2).sum(axis=1))
    assert looks.activation == pytest.approx((lengths - lengths.min()) / np.ptp(lengths), abs=1e-5)


def textbook(maps, gradients, groups):
    """Grad-CAM with a channel's weight averaged over each group of rows, place by place."""
    out = np.zeros((maps.shape[0], *maps.shape[2:]))
    for t in range(maps.shape[0]):
        for rows in groups:
            for c in range(maps.shape[1]):
                out[t, rows] += gradients[t, c, rows].mean() * maps[t, c, rows]
    return np.maximum(out, 0)


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        (PARTS, [slice(0, 6)]),
        ({"sequence": "none"}, [slice(0, 6)]),
        ({}, [slice(k, k + 1) for k in range(6)]),
        ({"n_parts": 3}, [slice(2 * k, 2 * k + 2) for k in range(3)]),
    ],
    ids=["baseline", "with cross attention", "six parts", "three parts"],
)
def test_weights_are_averaged_over_what_is_pooled_together(options, groups, tracklet):
    made = embedder(**options)
    clip, target = clip_of(tracklet), unit(made.model.embedding_width)
    pixels = normalise(torch.from_numpy(clip.frames)[None])
    maps = [m.detach().requires_grad_() for m in made.model.maps_to_pool(pixels, "infrared")]
    (gradient,) = torch.autograd.grad(made.model.embed_maps(maps, 2, "infrared")[0] @ torch.from_numpy(target), maps)
    expected = textbook(maps[0].detach().numpy(), gradient.numpy(), groups)
    assert expected.max() > 0
    assert saliency_maps(made, clip, target).grad_cam == pytest.approx(expected / expected.max(), abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"pooling": "gem", "temporal_mixing": True}], ids=["plain", "gem"])
@pytest.mark.parametrize("embedding", ["sequence", "defense", "both", "attack"])
def test_the_way_is_that_of_embed_and_the_similarity_is_the_embedders(embedding, options, people):
    made = embedder(embedding=embedding, **options)
    vectors = made.embed(people.test).vectors
    for row in (0, len(people.test) - 1):  # both modalities
        clip = made.reader.read(people.test[row]).clip
        for other in (row, 3):
            looks = saliency_maps(made, clip, vectors[other])
            assert looks.sim == pytest.approx(float(vectors[row] @ vectors[other]), abs=1e-5)
            assert looks.activation.shape == looks.grad_cam.shape == (2, 6, 3)


def test_a_trained_run_with_its_own_normalisation_gives_the_embedders_similarity(whole_run, people):
    made = load_embedder(whole_run, device="cpu")
    vectors = made.embed(people.test).vectors
    looks = saliency_maps(made, made.reader.read(people.test[0]).clip, vectors[-1])
    assert looks.sim == pytest.approx(float(vectors[0] @ vectors[-1]), abs=1e-5)


def test_the_maps_have_the_frames_aspect_and_run_from_0_to_1(tracklet):
    clip = clip_of(tracklet, size=(192, 96))
    looks = saliency_maps(embedder(), clip, unit(6 * 64))
    for found in (looks.activation, looks.grad_cam):
        t, h, w = found.shape
        assert t == 2 and h / w == 192 / 96
        assert found.min() >= 0 and found.max() == 1
    assert looks.activation.min() == 0


def test_the_model_is_left_as_it_was(tracklet):
    made = embedder()
    made.model.defense_neck.bias.requires_grad_(False)
    made.model.train()
    before = {name: p.requires_grad for name, p in made.model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    saliency_maps(made, clip_of(tracklet), unit(6 * 64))
    assert made.model.training
    assert all(p.grad is None for p in made.model.parameters())
    assert {name: p.requires_grad for name, p in made.model.named_parameters()} == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.model.state_dict().items())
    assert torch.is_grad_enabled() and torch.backends.cudnn.enabled


def test_it_works_where_gradients_are_off(tracklet):
    made = embedder()
    with torch.no_grad():
        quiet = saliency_maps(made, clip_of(tracklet), unit(6 * 64))
    assert quiet.grad_cam == pytest.approx(saliency_maps(made, clip_of(tracklet), unit(6 * 64)).grad_cam)


def test_two_maps_count_together():
    maps = [torch.full((1, 1, 2, 1), 3.0), torch.full((1, 1, 2, 1), 4.0)]
    assert activation(maps).tolist() == [[[5.0], [5.0]]]
    gradients = [torch.tensor([1.0, -1.0]).view(1, 1, 2, 1), torch.tensor([0.5, 0.5]).view(1, 1, 2, 1)]
    assert grad_cam(maps, gradients).tolist() == [[[5.0], [0.0]]]
    assert stretched(torch.zeros(1, 2, 1)).tolist() == [[[0.0], [0.0]]]


def test_an_exported_folder_has_nothing_to_look_into(tracklet):
    with pytest.raises(SettingsError, match=r"^an exported folder holds no network .*; name the RUN that it was"):
        saliency_maps(SimpleNamespace(model=None), clip_of(tracklet), unit(4))


def test_a_model_whose_way_has_no_seam_is_refused_by_name(tracklet):
    blind = SimpleNamespace(model=nn.Linear(2, 2), settings=load_settings("tiny"))
    with pytest.raises(SettingsError, match=r"^model self_attack lacks maps_to_pool and embed_maps; "):
        saliency_maps(blind, clip_of(tracklet), unit(4))


def test_highlight_weights_are_those_of_equation_12(people):
    made = embedder()
    plain = made.embed(people.test).vectors
    noted = record_highlights(made)
    assert np.array_equal(made.embed(people.test).vectors, plain) and made.facts()["engine"] == "torch"
    weights = noted.weights()
    for modality in ("visible", "infrared"):
        own = [t for t in people.test if t.modality == modality]
        assert weights[modality].shape == (len(own), 6)
        for row, tracklet in enumerate(own[:2]):
            pixels = normalise(torch.from_numpy(made.reader.read(tracklet).clip.frames)[None])
            with torch.no_grad():
                parts = part_pool(made.model.maps_to_pool(pixels, modality)[0], 6, 2)
                guidance = made.model.guidance
                a = guidance.highlight(parts, guidance.spatial(guidance.motion(parts)))  # (1 t k d)
            assert weights[modality][row] == pytest.approx(a.mean(dim=(0, 1, 3)).numpy(), abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [PARTS, {"sequence": "temporal"}, {"sequence": "pooled_mean"}],
    ids=["baseline", "temporal", "pooled"],
)
def test_a_model_without_highlight_weights_has_none(options):
    made = embedder(**options)
    engine = made.engine
    assert record_highlights(made) is None and made.engine is engine


def test_weights_that_the_embedding_does_not_pass_are_not_there(people):
    made = embedder(embedding="defense")
    noted = record_highlights(made)
    made.embed(people.test[:2])
    assert noted.weights() is None and noted.spreads() is None


def test_a_fixed_choice_of_features_is_seen_where_means_over_them_hide_it(people):
    made = embedder()
    last = made.model.guidance.highlight_maps[2]
    quarter = last.out_features // 4
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-20.0, 0.0, 20.0, 20.0]).repeat_interleave(quarter))
    noted = record_highlights(made)
    made.embed(people.test)
    for modality, spread in noted.spreads().items():
        assert (spread.near_0, spread.near_1) == (0.25, 0.5)
        assert spread.between_clips == 0 and spread.n_clips == len(noted.weights()[modality])
        assert noted.weights()[modality] == pytest.approx(0.625, abs=1e-6)


def test_the_spread_of_a_is_that_of_all_its_values_at_once():
    rng = np.random.default_rng(0)
    a = np.clip(rng.normal(0.5, 0.5, (7, 3, 2, 5)), 0, 1).astype(np.float32)  # (b t k d)
    running = RunningSpread()
    for batch in (a[:4], a[4:6], a[6:]):
        running.add(torch.from_numpy(batch))
    found = running.found()
    assert found.near_0 == np.mean(a < 0.01) > 0 and found.near_1 == np.mean(a > 0.99) > 0
    assert found.between_clips == pytest.approx(a.astype(np.float64).mean(axis=1).std(axis=0).mean(), rel=1e-6)
    assert found.n_clips == 7
    kept = [value for value in vars(running).values() if isinstance(value, torch.Tensor)]
    assert [tuple(tensor.shape) for tensor in kept] == [(2, 5)] * 3  # never all of A


def test_small_differences_of_large_weights_are_not_lost():
    running = RunningSpread()
    for step in (0.0, 1e-5, 2e-5):
        running.add(torch.full((1, 1, 1, 1), 0.75, dtype=torch.float64) + step)
    assert running.found().between_clips == pytest.approx(1e-5 * np.sqrt(2 / 3), rel=1e-9)
