"""A method's network in the size of the preset `tiny`, a batch for it, and one update."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch

from duskmatch.config import Settings, load_settings
from duskmatch.models import Due, Forward, Network, SubStep
from duskmatch.models.building import build_model, due_updates
from duskmatch.training.updates import Outcome, Updater

LABELS = torch.tensor([0, 0, 1, 2])


def made(name: str, *overrides: str) -> tuple[Network, Settings]:
    """In training, for five people."""
    settings = load_settings("tiny", overrides=[f"model.name={name}", "data.frames_per_clip=2", *overrides])
    return build_model(settings, 5).train(), settings


def clips(seed: int, n_frames: int = 2) -> torch.Tensor:
    return torch.randn(4, n_frames, 3, 64, 32, generator=torch.Generator().manual_seed(seed))


def batch(model: Network, n_frames: int = 2) -> Forward:
    return Forward(model, clips(0, n_frames), clips(1, n_frames), LABELS)


def values(step: SubStep, forward: Forward) -> dict[str, torch.Tensor]:
    """The terms of a sub-step by their names."""
    seen = step.outputs(forward)
    return {term.name: term.loss(seen) for term in step.terms}


def figures(step: SubStep, forward: Forward) -> dict[str, torch.Tensor]:
    seen = step.outputs(forward)
    return {figure.name: figure.measure(seen).detach() for figure in step.figures}


def weights(step: SubStep) -> dict[str, float]:
    return {term.name: term.weight for term in step.terms}


def reweighted(step: SubStep, **given: float) -> SubStep:
    return replace(step, terms=tuple(replace(t, weight=given.get(t.name, t.weight)) for t in step.terms))


def updated(model: Network, settings: Settings, *, due: Due = Due(), joint: bool = False) -> Outcome:  # noqa: B008
    """After one update by plain descent, without memory or decay."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    updater = Updater(model, optimizer, clip_norm=None, autocast=nullcontext, reduce=None)
    model.begin(due)
    steps = due_updates(model, settings, due)
    return updater.iterate(steps, lambda: [batch(model)], joint=joint, norms=False)


def moved(model: Network, before: dict[str, torch.Tensor]) -> set[str]:
    """Top-level names of the parameters that are no longer what they were."""
    return {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def parameters(model: Network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def alone_as_in_a_batch(model: Network) -> bool:
    """Whether a clip's vector is the same whatever shares its batch."""
    model.eval()
    with torch.no_grad():
        together = model.embed(clips(2), "visible")
        alone = torch.cat([model.embed(clip[None], "visible") for clip in clips(2)])
    return torch.allclose(together, alone, atol=1e-5)
