"""Settings that were added later leave what was there before as it was: names, shapes and losses of the presets.

defaults.json holds what the presets gave before those settings existed. It was written, and is written again where a
preset itself is changed, by `python -m tests.training.test_defaults`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from duskmatch.config import Settings, load_settings
from duskmatch.models import SelfAttackDefense
from duskmatch.models.algorithm1 import Forward, sub_steps
from duskmatch.models.building import build_model
from tests.models.methods import values, weights

RECORD = Path(__file__).with_name("defaults.json")
SHAPES = {"tiny": ("tiny", []), "scratch": ("scratch", []), "paper-shaped": ("paper", ["model.width=0.125"])}
LABELS = torch.tensor([0, 0, 1, 1])


def names_of(model: SelfAttackDefense) -> str:
    lines = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in model.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def first_losses(model: SelfAttackDefense, settings: Settings) -> dict[str, list[float]]:
    """Each loss term of a first iteration, and its weight: random clips, open branches, classifiers with an opinion."""
    model.train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("block.norm.weight"):
                parameter.fill_(0.5)
            if "classifier" in name:
                parameter.mul_(50)
    visible, infrared = torch.randn(2, 4, 2, 3, 96, 48, generator=torch.Generator().manual_seed(1))
    forward = Forward(model, visible, infrared, LABELS)
    steps = sub_steps(model, settings.loss, settings.train, 1)
    with torch.no_grad():
        return {name: [float(t), weights(step)[name]] for step in steps for name, t in values(step, forward).items()}


def record(shape: str) -> dict[str, object]:
    preset, overrides = SHAPES[shape]
    settings = load_settings(preset, overrides=overrides)
    model = build_model(settings, 4)
    return {"names": names_of(model), "losses": first_losses(model, settings)}


@pytest.mark.parametrize("shape", SHAPES)
def test_defaults_leave_names_and_first_losses_as_they_were(shape: str) -> None:
    before, now = json.loads(RECORD.read_text())[shape], record(shape)
    assert now["names"] == before["names"]
    assert now["losses"].keys() == before["losses"].keys()
    for name, found in before["losses"].items():
        assert now["losses"][name] == pytest.approx(found, rel=5e-4), name


if __name__ == "__main__":
    torch.set_num_threads(1)
    RECORD.write_text(json.dumps({shape: record(shape) for shape in SHAPES}, indent=2) + "\n")
