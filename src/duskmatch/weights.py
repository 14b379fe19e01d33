"""Weights in safetensors files with a JSON header: read, filled into a network, written. No pickle is loaded."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from duskmatch.errors import CheckpointError
from duskmatch.json_text import strict_json

HEADER_KEY = "duskmatch"


@dataclass(frozen=True)
class Weights:
    """Tensors by name and the JSON header that came with them."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]


def read_weights(path: Path) -> Weights:
    """The tensors and header of a safetensors file; a damaged or foreign file is refused by name."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; train first, or name a folder that `duskmatch train` wrote")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if not os.access(path, os.R_OK):  # safetensors calls it missing
            raise CheckpointError(f"{path} cannot be read: no permission; change its owner or mode") from error
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error
    try:
        header = strict_json(metadata.get(HEADER_KEY, "{}"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header must be a JSON object; got {type(header).__name__}")
    return Weights(tensors, header)


def fill_model(model: torch.nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Loads weights by name; anything missing, left over, of another shape or not finite is refused."""
    wanted = model.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        thing = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which this network lacks"
        raise CheckpointError(
            f"{source}: {thing}; it was made for other settings or by another duskmatch; train again or use the one "
            "that wrote it"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{source}: {name} must be {tuple(wanted[name].shape)}; got {tuple(tensor.shape)}; "
                "it was made for other settings"
            )
        if tensor.dtype != wanted[name].dtype:
            raise CheckpointError(f"{source}: {name} must be {wanted[name].dtype}; got {tensor.dtype}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{source}: {name} holds NaN or infinity; take an earlier checkpoint or train again")
    model.load_state_dict(tensors, assign=next(iter(wanted.values())).is_meta)


def model_bytes(model: torch.nn.Module, header: dict[str, Any]) -> bytes:
    """A safetensors file of the model's parameters and buffers with the JSON header."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={HEADER_KEY: json.dumps(header)})
