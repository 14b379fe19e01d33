"""A method from the settings: its network with the seed's random weights, and the updates of an iteration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from duskmatch.config import BackboneSettings, MethodChoice, ModelSettings, Settings, parse_section
from duskmatch.errors import SettingsError, by_likeness, nearest
from duskmatch.models import ALONE, MODELS, AllProcesses, Due, Method, Network, SubStep


def build_model(settings: Settings, n_pids: int) -> Network:
    """The network of these settings before training: a pure function of the seed."""
    method = find_method(settings.model.name)
    own = settings_of(method, settings.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = method.network(n_pids, own)
        if settings.model.compact_width is not None:
            model.compact(settings.model.compact_width)
        return model


def find_method(name: str) -> Method:
    if name not in MODELS:
        raise SettingsError(f"model.name must be one of {', '.join(MODELS)}; got {name}{nearest(name, MODELS)}")
    return MODELS[name]


def settings_of(method: Method, model: ModelSettings) -> BackboneSettings:
    """The settings of the method's network, from `model.` and `model.options`.

    A setting that the method does not have is refused unless it is at its default.
    """
    taken, shared = method.settings.model_fields, ModelSettings.model_fields
    for key in sorted(shared.keys() - taken.keys() - MethodChoice.model_fields.keys()):
        default = shared[key].default
        if getattr(model, key) != default:
            raise SettingsError(f"model.{key} is no setting of model.name {model.name}; leave it at {default}")
    own = sorted(taken.keys() - shared.keys())
    for key in model.options:
        if key not in own:
            has = f"has {', '.join(own)}" if own else "has none"
            raise SettingsError(f"model.options {key}: model.name {model.name} {has}{nearest(key, own)}")
    tree = {key: getattr(model, key) for key in taken.keys() & shared.keys()}
    return parse_section(method.settings, {**tree, **model.options}, "model.options ")


def due_updates(model: Network, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """The sub-steps of an iteration, their terms weighted by `loss.weights` if it has them."""
    steps = find_method(settings.model.name).updates(model, settings, due, processes)
    given = settings.loss.weights
    return [
        replace(step, terms=tuple(replace(term, weight=given.get(term.name, term.weight)) for term in step.terms))
        for step in steps
    ]


def check_weights(model: Network, settings: Settings) -> None:
    """Refuses a name in `loss.weights` that is no term of this run."""
    train = settings.train
    lengths = train.stage0_epochs, train.stage1_epochs, train.stage2_epochs
    ends = (Due(epoch=train.n_epochs - 1, stage=stage, accuracy=1.0) for stage, n in enumerate(lengths) if n)
    terms = {term.name for end in ends for step in due_updates(model, settings, end) for term in step.terms}
    for name in settings.loss.weights:
        if name not in terms:
            has = ", ".join(by_likeness(name, terms))
            raise SettingsError(f"loss.weights {name} must name a term of this run; it has {has}")


class NoRandomStart(TorchFunctionMode):
    """Skips random initialisation: on the meta device it draws nothing, but makes torch import its compiler (1 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
