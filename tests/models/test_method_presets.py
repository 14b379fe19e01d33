"""Presets of the compared methods: their own papers' figures, and the same budget for all."""

import pytest
import torch

from duskmatch.config import load_settings
from duskmatch.models.building import NoRandomStart, build_model

# Source: their public code: size, people and clips of each, optimiser and rate, weight decay, epochs, drops.
OWN = {
    "mpanet": ((384, 128), (16, 4), ("adam", 3.5e-4, 5e-4), 140, (80, 120), 0),
    "vsd": ((256, 128), (16, 4), ("adam", 2.6e-4, 5e-4), 600, (210,), 10),
    "mitml": ((288, 144), (8, 2), ("sgd", 0.1, 5e-4), 200, (35, 80), 10),
}


@pytest.mark.parametrize("name", OWN)
def test_own_presets_have_their_papers_figures(name):
    s = load_settings(f"{name}-own")
    size, batch, optimiser, epochs, drops, warm_up = OWN[name]
    assert (s.data.height, s.data.width) == size and s.data.frames_per_clip == 6
    assert (s.train.pids_per_batch, s.train.tracklets_per_pid) == batch
    assert (s.train.optimizer, s.train.lr, s.train.weight_decay) == optimiser
    assert (s.train.stage1_epochs + s.train.stage2_epochs, s.train.warmup_epochs) == (epochs, warm_up)
    assert (s.train.decay, s.train.decay_epochs, s.train.decay_factor) == ("steps", drops, 0.1)
    assert (s.model.name, s.model.backbone, s.model.width, s.model.last_stride) == (name, "resnet50", 1.0, 1)


@pytest.mark.parametrize("name", OWN)
def test_small_presets_share_data_augmentation_rates_and_length(name):
    small, own = load_settings("small"), load_settings(f"{name}-small")
    train = own.train.model_copy(update={"stage0_frames": small.train.stage0_frames})  # MITML reads motion throughout
    assert (own.data, own.augment, train) == (small.data, small.augment, small.train)
    assert (own.model.backbone, own.model.width) == (small.model.backbone, small.model.width)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("kind", "n_pids"), [("own", 500), ("small", 512)])
def test_their_networks_can_be_built(name, kind, n_pids):
    widths = {"mpanet": 7, "vsd": 4, "mitml": 1}
    with torch.device("meta"), NoRandomStart():
        model = build_model(load_settings(f"{name}-{kind}"), n_pids)
    assert model.channels == {"own": 2048, "small": 320}[kind]
    assert model.embedding_width == widths[name] * model.channels  # 14336 and 8192, as in their papers
