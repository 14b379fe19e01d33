"""A method: a network that embeds clips, and the updates that train it.

The loop, checkpoints, embedding, export and pictures use only the interface `Network`. An iteration is a list of
`SubStep`s; each computes its outputs from a `Forward`, the forward pass of the batch, and sums up its `Term`s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from duskmatch.config import BackboneSettings, Settings
from duskmatch.losses import in_fp32
from duskmatch.models.network import Due, Network

Maps = TypeVar("Maps")
Outputs = TypeVar("Outputs")
Outputs_contra = TypeVar("Outputs_contra", contravariant=True)


def alone(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class AllProcesses:
    """Collectives for losses: `gather` returns the rows of all processes, `mean_of` a number's mean over processes."""

    gather: Callable[[Tensor], Tensor] = alone
    mean_of: Callable[[float], float] = float


ALONE = AllProcesses()


class Pixels(NamedTuple):
    """The clips of a batch as uint8, row i of both the same person, and the network's normalisation."""

    visible: UInt8[Tensor, "b t 3 h w"]
    infrared: UInt8[Tensor, "b t 3 h w"]
    normalise: Callable[[Tensor], Tensor]


@dataclass(eq=False)
class Forward(Generic[Maps]):
    """The forward pass of one batch; each piece is computed once, on first use.

    visible, infrared: normalised clips, row i of both the same person.
    """

    network: Network
    visible: Float[Tensor, "b t 3 h w"]
    infrared: Float[Tensor, "b t 3 h w"]
    labels: Int64[Tensor, " b"]
    pixels: Pixels | None = None
    detached: bool = False  # True: no gradient flows back into the stems

    @property
    def n_frames(self) -> int:
        return self.visible.shape[1]

    @property
    def both_labels(self) -> Int64[Tensor, " n"]:
        """The labels of all clips, visible ones first."""
        return self.labels.repeat(2)

    @cached_property
    def shallow(self) -> Tensor:
        """The stems' outputs for both modalities, visible frames first."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            return self.network.shallow(self.visible, self.infrared)

    @cached_property
    def maps(self) -> Maps:
        """The last maps of the shared stages."""
        return self.network.shared_maps(self.shallow, self.n_frames)  # type: ignore[return-value]


class Draws:
    """Random choices of a forward: a pure function of (seed, step), the same for each forward of an iteration."""

    def __init__(self, seed: int, step: int) -> None:
        self.rng = np.random.Generator(np.random.Philox(key=[seed % 2**63, step], counter=[0, 0, 0, 1]))
        self.generator: torch.Generator | None = None

    @in_fp32
    def dropout(self, x: Tensor, share: float) -> Tensor:
        """Dropout; its generator is seeded from `rng` at the first call."""
        if self.generator is None:
            self.generator = torch.Generator(x.device).manual_seed(int(self.rng.integers(2**63)))
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= share
        return x * kept / (1 - share)


@dataclass(frozen=True)
class Term(Generic[Outputs_contra]):
    """One summand of a loss: its name in log.csv, its weight in the sum, and its function of the outputs."""

    name: str
    weight: float
    loss: Callable[[Outputs_contra], Tensor]


@dataclass(frozen=True)
class Figure(Generic[Outputs_contra]):
    """A number for log.csv that is not part of the loss."""

    name: str
    measure: Callable[[Outputs_contra], Tensor]


@dataclass(frozen=True)
class SubStep(Generic[Maps, Outputs]):
    """One update: the top-level modules it trains, the outputs it computes of a batch, and the terms of its loss.

    on_values: called with the weighted value of each term.
    """

    name: str
    trains: tuple[str, ...]
    outputs: Callable[[Forward[Maps]], Outputs]
    terms: tuple[Term[Outputs], ...]
    figures: tuple[Figure[Outputs], ...] = ()
    on_values: Callable[[Mapping[str, float]], None] | None = None


@dataclass(frozen=True)
class Method:
    """One line of MODELS: a network, its settings, and its updates."""

    network: Callable[[int, Any], Network]
    settings: type[BackboneSettings]
    updates: Callable[[Any, Settings, Due, AllProcesses], list[SubStep[Any, Any]]]
