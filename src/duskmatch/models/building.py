"""A network from its settings: which method's, with which of the settings, begun by the seed."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from duskmatch.config import ModelSettings, Settings, nearest
from duskmatch.errors import SettingsError
from duskmatch.models import MODELS, Method, Network


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
