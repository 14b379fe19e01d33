"""A narrow EfficientNet-Lite0 that begins from a file: networks of other parts then begin with the same backbone."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from duskmatch.config import load_settings
from duskmatch.models.building import build_model

NARROW = ["model.backbone=efficientnet_lite0", "model.width=0.25"]


def narrow_start(folder: Path) -> list[str]:
    """Overrides for that network and its weights, which are written into the folder."""
    model = build_model(load_settings("tiny", overrides=NARROW), 4)
    tensors = model.stem_visible.state_dict() | model.defense_encoder.state_dict()
    path = folder / "narrow.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return [*NARROW, f"model.weights={path}"]
