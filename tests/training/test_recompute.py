"""Activations made again in the backward pass give the same updates as activations that were kept."""

import torch
from safetensors.torch import load_file

from duskmatch.config import load_settings
from duskmatch.models.resnet import Stages
from duskmatch.training import train
from tests.training.conftest import FAST


def test_recomputed_activations_train_the_same_weights(dataset, tmp_path):
    for name, value in (("kept", "false"), ("again", "true")):
        settings = load_settings("tiny", overrides=[*FAST, f"train.recompute_activations={value}"])
        train(settings, dataset, tmp_path / name)
    kept, again = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "again"))
    counts = [k for k in kept if k.endswith("num_batches_tracked")]  # a second forward counts, and moves nothing
    assert counts and all(torch.equal(kept[k], again[k]) for k in kept if k not in counts)


def test_a_stage_that_recomputes_keeps_less_for_the_backward_pass():
    torch.manual_seed(0)
    stages, pictures = Stages("resnet18", 0.125, 1), torch.randn(4, 8, 24, 12)
    kept = []
    for recompute in (False, True):
        stages.recompute, saved = recompute, []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t) or t, lambda t: t):
            out = stages(pictures)
        kept.append(sum(t.numel() for t in saved))
        out.sum().backward()
    assert kept[1] < kept[0] / 4
