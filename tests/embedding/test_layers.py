"""Layers of a RUN: the model's own methods on the clips that the embedding is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from duskmatch.cli import main
from duskmatch.config import SelfAttackSettings, load_settings
from duskmatch.data import ClipReader, Dataset
from duskmatch.embedding import load_embedder
from duskmatch.embedding.layers import LAYERS, layer_vectors, layers_of, load_whole, stem_statistics
from duskmatch.embedding.run import load_model
from duskmatch.errors import CheckpointError
from duskmatch.models import SelfAttackDefense
from duskmatch.models.building import build_model
from duskmatch.pixels import normalise


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_layers_searched_with_are_the_embedding(whole_run: Path, people: Dataset) -> None:
    layers = layer_vectors(load_whole(whole_run, device="cpu"), people.test)
    assert tuple(layers) == tuple(LAYERS)
    embedding = load_embedder(whole_run, device="cpu").embed(people.test)  # "both": j_d beside f_d
    joined = unit(np.hstack([unit(layers["sequence"].vectors), unit(layers["defense"].vectors)]))
    assert np.abs(joined - embedding.vectors).max() < 2e-5
    for found in layers.values():
        assert list(found.sources) == [tracklet.tracklet_id for tracklet in people.test]
        assert found.pids.tolist() == embedding.pids.tolist() and found.modalities == embedding.modalities


def test_each_layer_is_what_the_models_own_methods_say(whole_run: Path, people: Dataset) -> None:
    model, settings, _ = load_model(whole_run)
    tracklet = next(one for one in people.test if one.modality == "infrared")
    clip = torch.from_numpy(ClipReader.of(settings.data).read(tracklet).clip.frames)[None]
    with torch.no_grad():
        pixels = normalise(clip, **settings.data.normalisation)
        shallow = model.stem_infrared(pixels[0])
        n = settings.data.frames_per_clip
        expected = {
            "stem": np.concatenate([shallow.mean(dim=(0, 2, 3)), shallow.std(dim=(2, 3), correction=0).mean(dim=0)]),
            "attack": model.attack_embedding(shallow, n)[0],
            "defense": model.defense_embedding(model.shared_maps(shallow, 2), n, "self").embedding[0],
            "sequence": model.sequence_embedding(model.shared_maps(shallow, 2).maps, n)[0],
        }
    layers = layer_vectors(load_whole(whole_run, device="cpu"), [tracklet])
    for layer, vector in expected.items():
        assert layers[layer].vectors[0] == pytest.approx(np.asarray(vector), abs=1e-4)


def test_the_stems_statistics_by_hand() -> None:
    # Two frames of one channel: means 2 and 4, deviations 2 and 0.
    shallow = torch.tensor([[[[0.0, 4.0]]], [[[4.0, 4.0]]]])
    assert stem_statistics(shallow, 2).tolist() == [[3.0, 1.0]]


@pytest.mark.parametrize(("shared", "attack", "sequence"), [(True, False, "none"), (False, True, "temporal")])
def test_only_layers_that_the_network_has(shared: bool, attack: bool, sequence: str) -> None:
    options = {"attack": attack, "sequence": sequence, "attention_shared": shared}
    model = SelfAttackDefense(4, SelfAttackSettings(backbone="resnet18", width=0.125, **options)).eval()
    with torch.no_grad():
        found = layers_of(model, torch.randn(2, 2, 3, 96, 48), "infrared")
    assert list(found) == (["stem", "attack", "defense", "sequence"] if attack else ["stem", "defense"])


def test_each_modality_has_its_own_attack_where_attention_is_not_shared() -> None:
    model = SelfAttackDefense(4, SelfAttackSettings(backbone="resnet18", width=0.125, attention_shared=False)).eval()
    torch.nn.init.ones_(model.self_attention[1].block.norm.weight)
    clips = torch.randn(2, 2, 3, 96, 48)
    with torch.no_grad():
        visible, infrared = (layers_of(model, clips, modality)["attack"] for modality in ("visible", "infrared"))
    assert (visible - infrared).abs().max() > 1e-3  # the stems start alike


def test_untrained_is_the_random_start_of_the_runs_seed(whole_run: Path, people: Dataset) -> None:
    embedder = load_whole(whole_run, device="cpu", untrained=True)
    settings = load_model(whole_run)[1]
    start = build_model(settings, embedder.model.n_pids).state_dict()
    assert all(torch.equal(start[name], tensor) for name, tensor in embedder.model.state_dict().items())
    trained = layer_vectors(load_whole(whole_run, device="cpu"), people.test[:2])
    before = layer_vectors(embedder, people.test[:2])
    assert all(np.abs(trained[layer].vectors - before[layer].vectors).max() > 1e-3 for layer in LAYERS)
    assert settings.seed == load_settings("tiny").seed


def test_what_has_not_all_parts_is_refused(whole_run: Path, people: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        layer_vectors(load_embedder(whole_run, device="cpu"), people.test)
    assert str(caught.value) == (
        "layers need a network with all its parts; this embedder lacks the training-only ones; use load_whole(RUN)"
    )
    out = tmp_path / "out"
    words = ["--format", "torch", "--data", str(people.root), "--out", str(out), "-q", "--device", "cpu"]
    assert main(["export", str(whole_run), *words]) == 0
    with pytest.raises(CheckpointError) as caught:
        load_whole(out)
    assert str(caught.value) == f"{out} must be a RUN; it is an exported folder, which has no layers; name its RUN"
    with pytest.raises(CheckpointError):
        load_whole(tmp_path / "nowhere")
