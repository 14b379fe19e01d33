"""One iteration of training: the updates of a list of sub-steps, one after the other or as one sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from duskmatch.errors import TrainingError
from duskmatch.models import Forward, Network, SubStep
from duskmatch.models.network import STEMS
from duskmatch.training.health import StemGradients


@dataclass
class Outcome:
    """The loss terms, accuracies and gradient norms of an iteration, as plain numbers."""

    values: dict[str, float] = field(default_factory=dict)
    n_clipped: int = 0


class FirstForwardOnly:
    """Lets only the first forward pass of an iteration update a layer's running statistics.

    The sub-steps recompute the forward of shared layers, whose statistics would otherwise move two or three times as
    fast. Source: docs/method.md, row 18.
    """

    def __init__(self, model: nn.Module) -> None:
        self._seen: set[nn.Module] = set()
        for part in model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.register_forward_pre_hook(self._hook(part.momentum))

    def new_iteration(self) -> None:
        self._seen.clear()

    def _hook(self, momentum: float | None) -> Callable[[nn.Module, Any], None]:
        def before(part: nn.Module, _: Any) -> None:
            part.momentum = 0.0 if part in self._seen else momentum  # type: ignore[assignment]
            if part.training:
                self._seen.add(part)

        return before


@contextmanager
def only_training(parameters: dict[str, nn.Parameter], modules: Sequence[str]) -> Iterator[list[nn.Parameter]]:
    """Restricts training to these modules' parameters; every other parameter's gradient stays None."""
    chosen = []
    for name, parameter in parameters.items():
        wanted = name.split(".", 1)[0] in modules
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(parameter)
    try:
        yield chosen
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(True)


class Updater:
    """Applies sub-steps to a model. `reduce` averages a gradient over processes, `autocast` sets the precision."""

    def __init__(
        self,
        model: Network,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None,
        autocast: Callable[[], Any],
        reduce: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        self.autocast, self.reduce = autocast, reduce
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.stems = [p for name, p in self.parameters.items() if name.split(".", 1)[0] in STEMS]
        self.statistics = FirstForwardOnly(model)
        self.stem_gradients: StemGradients | None = None  # on iterations that are logged

    def iterate(
        self, steps: Sequence[SubStep], make: Callable[[], list[Forward]], *, joint: bool, norms: bool
    ) -> Outcome:
        """One iteration. `make` returns fresh forwards, one for each micro-batch; `norms`: gradients are measured."""
        self.statistics.new_iteration()
        self.stem_gradients = StemGradients(self.model.gradient_shares, self.model, self.stems) if norms else None
        outcome = Outcome()
        if joint:
            self._joint(steps, make, outcome, norms)
        else:
            for step in steps:
                with only_training(self.parameters, step.trains) as chosen:
                    self._backward([step], make(), outcome)
                    self._apply(step.name, chosen, outcome, norms)
        if self.stem_gradients is not None:
            outcome.values.update(self.stem_gradients.ratios(self.reduce))
        return outcome

    def _joint(
        self, steps: Sequence[SubStep], make: Callable[[], list[Forward]], outcome: Outcome, norms: bool
    ) -> None:
        """Eq. 17: one backward pass of the weighted sum.

        In stage 2 the defense terms must not train the stems, which other terms do: their forward starts from detached
        stems.
        """
        union = {module for step in steps for module in step.trains}
        with only_training(self.parameters, sorted(union)) as chosen:
            attached = [s for s in steps if set(STEMS) <= set(s.trains) or not set(STEMS) & union]
            self._backward(attached, make(), outcome)
            for step in (s for s in steps if s not in attached):
                forwards = make()
                for forward in forwards:
                    forward.detached = True
                self._backward([step], forwards, outcome)
            self._apply("joint", chosen, outcome, norms)

    def _backward(self, steps: Sequence[SubStep], forwards: list[Forward], outcome: Outcome) -> None:
        for forward in forwards:
            weighted = [term for step in steps for term in self._weighted(step, forward, len(forwards), outcome)]
            (torch.stack(weighted).sum() / len(forwards)).backward()  # type: ignore[no-untyped-call]

    def _weighted(self, step: SubStep, forward: Forward, share: int, outcome: Outcome) -> list[Tensor]:
        """The weighted terms of a sub-step; their values and its figures go into the outcome."""
        with self.autocast():
            outputs = step.outputs(forward)
            values = [term.loss(outputs) for term in step.terms]
            with torch.no_grad():
                figures = [figure.measure(outputs) for figure in step.figures]
        for figure, value in zip(step.figures, figures, strict=True):
            self._note(outcome, figure.name, value, share)
        weighted = []
        for term, value in zip(step.terms, values, strict=True):
            self._note(outcome, term.name, value, share)
            weighted.append(term.weight * value)
            if self.stem_gradients is not None:
                self.stem_gradients.add(term.name, weighted[-1] / share)
        if step.on_values is not None:
            step.on_values({t.name: t.weight * float(v.detach()) for t, v in zip(step.terms, values, strict=True)})
        return weighted

    def _note(self, outcome: Outcome, name: str, value: Tensor, share: int) -> None:
        number = float(value.detach())
        if number != number or number in (float("inf"), float("-inf")):
            raise TrainingError(f"{name} is {number}")  # the loop adds the step and the last good checkpoint
        outcome.values[name] = outcome.values.get(name, 0.0) + number / share

    def _apply(self, name: str, chosen: list[nn.Parameter], outcome: Outcome, norms: bool) -> None:
        moved = [p for p in chosen if p.grad is not None]
        if self.reduce is not None and moved:
            self._average(moved)
        if norms:
            outcome.values[f"{name}_stem_gradient"] = self._stem_norm()
        if self.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(moved, self.clip_norm)
            outcome.n_clipped += int(norm > self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _average(self, moved: list[nn.Parameter]) -> None:
        """One collective for all gradients of a sub-step."""
        assert self.reduce is not None
        flat = torch.cat([p.grad.flatten() for p in moved])  # type: ignore[union-attr]
        flat = self.reduce(flat)
        for parameter, piece in zip(moved, torch.split(flat, [p.numel() for p in moved]), strict=True):
            parameter.grad = piece.reshape(parameter.shape).clone(memory_format=torch.preserve_format)

    def _stem_norm(self) -> float:
        grads = [p.grad for p in self.stems if p.grad is not None]
        return float(torch.stack([g.float().norm() for g in grads]).norm()) if grads else 0.0
