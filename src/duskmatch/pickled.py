"""Tensors out of a .pth: the only module that opens a pickle, with torch's safe loader, which executes nothing.

Two callers: `duskmatch convert`, and `model.weights imagenet`, whose file is compared with a pinned SHA-256 first.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duskmatch.errors import CheckpointError

# Where training programs put the tensors inside their file, and what they put before each name.
WRAPPERS = ("state_dict", "model_state_dict", "net", "model", "network")
PREFIXES = ("module.", "model.", "backbone.", "base.")


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth by their plain names; nothing in the file is executed."""
    if not path.is_file():
        raise CheckpointError(f"{path} is {'no file' if path.exists() else 'missing'}; name a .pth file")
    try:
        with warnings.catch_warnings(action="ignore"):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own text advises to load the file unsafely: it is not passed on
        asked = re.search(r"GLOBAL (\S+)", str(error))
        thing = f"asks for {asked[1]}" if asked else "holds more than tensors or is damaged"
        raise CheckpointError(
            f"{path} {thing} and was not opened; save its plain state_dict and convert that"
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"{path} cannot be read: no permission; change its owner or mode") from error
    except Exception as error:  # damaged bytes make the loader raise almost anything
        raise CheckpointError(f"{path} is damaged or not a torch file; copy it again") from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold tensors by name; got {type(content).__name__}")
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors by name; is it the right file?")
    found: dict[str, Tensor] = {}
    long_names: dict[str, str] = {}
    for name, tensor in tensors.items():
        short = plain_name(name)
        if short in found:
            raise CheckpointError(
                f"{path}: {long_names[short]} and {name} would both be {short}; it holds two networks; "
                "save the state_dict of one and convert that"
            )
        if tensor.layout != torch.strided:
            raise CheckpointError(f"{path}: {name} must be a plain tensor; got {tensor.layout}; save it dense")
        if tensor.is_quantized or tensor.is_meta:
            kind = "a quantised" if tensor.is_quantized else "an empty"
            raise CheckpointError(
                f"{path}: {name} must hold plain numbers; it is {kind} tensor; save the network from before that step"
            )
        found[short], long_names[short] = tensor, name
    return {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}


def plain_name(name: str) -> str:
    """The name without what wrappers put before it."""
    shortened = True
    while shortened:
        shortened = False
        for prefix in PREFIXES:
            if name.startswith(prefix):
                name, shortened = name[len(prefix) :], True
    return name
