"""A RUN folder, read: settings, weights and what they were trained on. Nothing pickled is ever loaded.

RUN/VERSION            of this layout
RUN/settings.yaml      every setting
RUN/model.safetensors  weights; a JSON header says what they are
RUN/state/             checkpoints: weights, optimiser and schedule together
RUN/log.csv, curves.png, scores.json, report.html
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from duskmatch.config import ModelSettings, Settings, nearest, parse_settings
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.models import MODELS, Method, Network

LAYOUT_VERSION = "1"
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
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error
    try:
        header = json.loads(metadata.get(HEADER_KEY, "{}"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header must be a JSON object; got {type(header).__name__}")
    return Weights(tensors, header)


def read_run(run: Path) -> tuple[Settings, Weights]:
    """A trained RUN's settings and weights, each checked against the layout."""
    if not run.is_dir():
        raise CheckpointError(f"{run} is no RUN folder; name the folder given to `duskmatch train --out`")
    check_version(run)
    weights = read_weights(run / "model.safetensors")
    try:
        settings = parse_settings(weights.header["settings"])
        if int(weights.header["n_pids"]) < 1:
            raise ValueError(f"n_pids must be at least 1; got {weights.header['n_pids']}")
    except KeyError as error:
        raise CheckpointError(
            f"{run / 'model.safetensors'}: its header lacks {error}; not made by duskmatch"
        ) from error
    except (TypeError, ValueError, OverflowError, SettingsError) as error:
        raise CheckpointError(f"{run / 'model.safetensors'}: its header does not hold settings: {error}") from error
    return settings, weights


def check_version(run: Path) -> None:
    """Refuses a RUN of another layout."""
    path = run / "VERSION"
    version = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
    if version != LAYOUT_VERSION:
        raise CheckpointError(
            f"{path}: this duskmatch reads RUN layout {LAYOUT_VERSION}; got {version or 'no such file'}; train again "
            "or use the duskmatch that wrote it"
        )


def build_model(settings: Settings, n_pids: int) -> Network:
    """The network of these settings before training: a pure function of the seed."""
    method = find_method(settings.model.name)
    arguments = arguments_of(method, settings.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return method.network(n_pids, **arguments)


def find_method(name: str) -> Method:
    if name not in MODELS:
        raise SettingsError(f"model.name must be one of {', '.join(MODELS)}; got {name}{nearest(name, MODELS)}")
    return MODELS[name]


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def arguments_of(method: Method, model: ModelSettings) -> dict[str, Any]:
    """The settings that the method's network takes, and `model.options`; one that it does not take stays as it is.

    A setting that says something else than its default and means nothing to the method is refused.
    """
    parameters = inspect.signature(method.network).parameters
    taken = set(parameters) - {"n_pids"}
    shared = set(ModelSettings.model_fields) - {"name", "weights", "options"}
    for key in sorted(shared - taken):
        default = ModelSettings.model_fields[key].default
        if getattr(model, key) != default:
            raise SettingsError(f"model.{key} is no setting of model.name {model.name}; leave it at {default}")
    own = taken - shared
    for key, value in model.options.items():
        if key not in own:
            has = f"has {', '.join(sorted(own))}" if own else "has none"
            raise SettingsError(f"model.options {key}: model.name {model.name} {has}{nearest(key, own)}")
        kind = type(parameters[key].default)
        if type(value) is not kind and (kind, type(value)) != (float, int):
            raise SettingsError(f"model.options {key} must be {KINDS[kind]}; got {value!r}")
    return {key: getattr(model, key) for key in shared & taken} | dict(model.options)


class NoRandomStart(TorchFunctionMode):
    """Leaves random starts out: on the meta device they draw nothing, yet make torch import its compiler (1 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_model(run: Path) -> tuple[Network, Settings, dict[str, Any]]:
    """A trained RUN's network in evaluation mode, its settings and its header.

    The network is laid out without memory first, so that a header that asks for a huge one is refused by its shapes.
    """
    settings, weights = read_run(run)
    try:
        with torch.device("meta"), NoRandomStart():
            model = build_model(settings, int(weights.header["n_pids"]))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # sizes beyond what a tensor can have
        raise CheckpointError(f"{run / 'model.safetensors'}: its header asks for a network that cannot be") from error
    fill_model(model, weights.tensors, run / "model.safetensors")
    return model.eval(), settings, weights.header


def fill_model(model: torch.nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Loads weights by name; anything missing, left over, of another shape or not finite is refused."""
    wanted = model.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        thing = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which this network has not"
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
