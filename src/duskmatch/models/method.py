"""What a method is to the rest of the program: a network that embeds clips, and the updates that train it.

The loop, checkpoints, embedding, export and pictures know a network by `Network` alone. An iteration is a list of
`SubStep`s; each computes its terms from a `Forward`, the batch on its way through the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from duskmatch.config import LossSettings, Settings
from duskmatch.losses import cross_entropy, defense_triplet_loss, in_fp32
from duskmatch.models.gauges import Gauge
from duskmatch.records import MODALITIES, Modality

STEMS = ("stem_visible", "stem_infrared")


class Due(NamedTuple):
    """Where training stands when an iteration begins."""

    step: int = 0  # from 0
    epoch: int = 0
    stage: int = 1  # of Algorithm 1; 0 before it
    steps_per_epoch: int = 1
    accuracy: float = 0.0  # running share of training clips told right: `Watched.accuracy`
    begins_stage1: bool = False  # the first iteration after a stage 0


START = Due()


class Watched(NamedTuple):
    """The names under which a method logs what all runs are watched by."""

    accuracy: str = "identity_accuracy"
    identity: str = "identity"
    triplet: str = "triplet"


class Network(nn.Module, ABC):
    """A method's network. A subclass gives what is abstract here, and whatever of the rest is not so for it.

    logged: the columns of log.csv that are the method's own. neck_depth: how many normalisations of vectors stand one
    behind the other, so that each can be estimated on what the one before it gives. test_time_extras: what is done at
    test besides one forward of the clip, in words; it stands beside every score. gradient_shares: column of log.csv ->
    two terms; it holds the norm of the stems' gradient by the first over that by the second, both with their weights.
    """

    logged: tuple[str, ...] = ("identity", "triplet", "identity_accuracy")
    watched = Watched()
    neck_depth = 1
    test_time_extras: tuple[str, ...] = ()
    gradient_shares: Mapping[str, tuple[str, str]] = MappingProxyType({})
    embedding = "pooled"  # which of the network's vectors is searched with
    centre_visible: Tensor
    centre_infrared: Tensor

    def __init__(self, n_pids: int) -> None:
        super().__init__()
        self.n_pids = n_pids

    @property
    @abstractmethod
    def channels(self) -> int:
        """d, the width of one frame's last maps."""

    @property
    def embedding_width(self) -> int:
        """How many numbers `embed` gives."""
        return self.channels

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        """What the embedding does without, by the first letters of parameters' names."""
        return ("classifier",)

    @abstractmethod
    def backbone_pieces(self) -> list[nn.Module]:
        """What loaded weights fill, each under torchvision's names."""

    def slow_pieces(self) -> list[nn.Module]:
        """What `train.rates` calls "backbone": a tenth of the rate is usual for what loaded weights fill."""
        return self.backbone_pieces()

    def begin(self, due: Due) -> None:
        """What changes by itself once an iteration, before its updates: buffers that follow weights."""

    def cautions(self, settings: Settings) -> list[str]:
        """What is worth saying before training begins."""
        return []

    def gauges(self) -> dict[nn.Module, Gauge]:
        """What is measured of which part at its forward, on the iterations that are logged."""
        return {}

    def modalities_summed(self, loss: LossSettings) -> int:
        """How many means over clips the identity loss is the sum of: at chance it is that many times log M."""
        return 1

    @abstractmethod
    def maps_to_pool(
        self, clips: Float[Tensor, "b t 3 h w"], modality: Modality
    ) -> list[Float[Tensor, "bt d h16 w16"]]:
        """The last maps before anything is averaged."""

    @abstractmethod
    def vectors(
        self, maps: list[Float[Tensor, "bt d h16 w16"]], n_frames: int, modality: Modality
    ) -> list[Float[Tensor, "b _"]]:
        """From the maps of `maps_to_pool` to the vectors whose lengths become 1, to stand side by side."""

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        """Parts by their names in `health.CHECKS`, and the modules whose output is what a part gives.

        Each gives rows in order of clips, one or several for each. They must lie in `head`.
        """
        return {}

    def head_inputs(
        self, maps: list[Float[Tensor, "bt d h16 w16"]], n_frames: int, modality: Modality
    ) -> list[Float[Tensor, "b ..."]]:
        """The first part of `vectors`, up to where `knock_outs` begin: small enough to keep of every clip."""
        return self.vectors(maps, n_frames, modality)

    def head(self, inputs: list[Float[Tensor, "b ..."]]) -> list[Float[Tensor, "b _"]]:
        """The rest of `vectors`; nothing where a network has no `knock_outs`."""
        return inputs

    def embed(self, clips: Float[Tensor, "b t 3 h w"], modality: Modality) -> Float[Tensor, "b d"]:
        """The unit vector to search with, each clip for itself: nothing depends on which others share the batch."""
        return self.embed_maps(self.maps_to_pool(clips, modality), clips.shape[1], modality)

    def forward(self, clips: Float[Tensor, "b t 3 h w"], modality: Modality) -> Float[Tensor, "b d"]:
        return self.embed(clips, modality)

    def embed_maps(
        self, maps: list[Float[Tensor, "bt d h16 w16"]], n_frames: int, modality: Modality
    ) -> Float[Tensor, "b d_all"]:
        """The second half of `embed`: from the maps of `maps_to_pool` to the vector."""
        return self.centred(self.vectors(maps, n_frames, modality), modality)

    def register_centres(self) -> None:
        """Each modality's mean embedding of training people, taken off at test; zero until the end of training.

        Differs: in no paper. A shift that a whole modality shares is no likeness between its people.
        """
        for modality in MODALITIES:
            self.register_buffer(f"centre_{modality}", torch.zeros(self.embedding_width))

    def centred(self, vectors: list[Tensor], modality: Modality) -> Float[Tensor, "b d_all"]:
        """Unit vectors side by side, less the modality's centre, of length 1 again."""
        unit = torch.cat([nn.functional.normalize(v.float(), dim=1) for v in vectors], dim=1)
        centre = self.centre_visible if modality == "visible" else self.centre_infrared
        return nn.functional.normalize(nn.functional.normalize(unit, dim=1) - centre, dim=1)

    def neck_inputs(
        self, visible: Float[Tensor, "b t 3 h w"], infrared: Float[Tensor, "b t 3 h w"]
    ) -> dict[nn.BatchNorm1d, Float[Tensor, "n _"]]:
        """What enters each normalisation of vectors at test, both modalities: its statistics are estimated on that."""
        necks = [part for part in self.modules() if isinstance(part, nn.BatchNorm1d)]
        with inputs_of(necks) as found:
            self.embed(visible, "visible")
            self.embed(infrared, "infrared")
        return {neck: torch.cat(rows) for neck, rows in found.items() if rows}


@contextmanager
def inputs_of(parts: list[nn.BatchNorm1d]) -> Iterator[dict[nn.BatchNorm1d, list[Tensor]]]:
    """What enters these modules while the block runs."""
    found: dict[nn.BatchNorm1d, list[Tensor]] = {part: [] for part in parts}

    def keep(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[part].append(inputs[0].detach())  # type: ignore[index]

    handles = [part.register_forward_pre_hook(keep) for part in parts]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@dataclass(eq=False)
class Forward:
    """What one batch becomes on its way through the network, each piece computed once and only when asked for.

    visible, infrared: clips as they enter the network, row i of both the same person; raw: the same clips as uint8,
    `enter` makes the one of the other, for methods that look at a changed picture as well. `seed` and `due.step` are
    all that a random choice may depend on (`rng`, `generator`), so that a resumed run makes the same.
    """

    model: Any  # the method's own Network
    loss: LossSettings
    visible: Float[Tensor, "b t 3 h w"]
    infrared: Float[Tensor, "b t 3 h w"]
    labels: Int64[Tensor, " b"]
    pairing: Literal["cross", "self", "skip"] = "cross"
    gather: Callable[[Tensor], Tensor] | None = None
    raw: tuple[UInt8[Tensor, "b t 3 h w"], UInt8[Tensor, "b t 3 h w"]] | None = None
    enter: Callable[[Tensor], Tensor] | None = None
    due: Due = START
    seed: int = 0
    mean_of: Callable[[float], float] = float  # of a number over all processes
    detached: bool = False  # True: nothing flows back into the stems
    noted: dict[str, Tensor] = field(default_factory=dict)  # figures for the log besides the terms
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        return self.visible.shape[1]

    @cached_property
    def shallow(self) -> Tensor:
        """Both modalities through their stems, visible frames first."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            return self.model.shallow(self.visible, self.infrared)  # type: ignore[no-any-return]

    @cached_property
    def maps(self) -> Any:
        """The last maps of the shared stages, `model.defense_maps` or what a method has in its place."""
        return self.model.shared_maps(self.shallow, self.n_frames)

    @property
    def both_labels(self) -> Int64[Tensor, " n"]:
        """Of all clips, visible ones first."""
        return self.labels.repeat(2)

    @cached_property
    def rng(self) -> np.random.Generator:
        """Random choices of this iteration: a pure function of (seed, step)."""
        return np.random.Generator(np.random.Philox(key=[self.seed % 2**63, self.due.step], counter=[0, 0, 0, 1]))

    @cached_property
    def generator(self) -> torch.Generator:
        """The same for torch."""
        return torch.Generator(self.visible.device).manual_seed(int(self.rng.integers(2**63)))

    @in_fp32
    def dropout(self, x: Tensor, share: float) -> Tensor:
        """Dropout whose choice a resumed run makes again."""
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= share
        return x * kept / (1 - share)

    @in_fp32
    def note_accuracy(
        self, name: str, logits: Float[Tensor, "n n_pids"], labels: Int64[Tensor, " n"] | None = None
    ) -> None:
        """How many clips are told right, of both modalities or with these labels."""
        right = (logits.argmax(1) == (self.both_labels if labels is None else labels)).float().mean()
        self.noted[f"{name}_accuracy"] = right.detach()

    @in_fp32
    def halves(self, name: str, logits: Float[Tensor, "n n_pids"]) -> tuple[Tensor, Tensor]:
        """The logits of both modalities; how many are right is noted on the way."""
        self.note_accuracy(name, logits)
        visible, infrared = logits.chunk(2)
        return visible, infrared

    @in_fp32
    def identity(
        self, name: str, logits: Float[Tensor, "n n_pids"], labels: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over all clips, of both modalities or with these labels; the accuracy is noted."""
        self.note_accuracy(name, logits, labels)
        return self.cross_entropy(logits, labels)

    @in_fp32
    def cross_entropy(
        self, logits: Float[Tensor, "n n_pids"], labels: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        """The mean over all clips, smoothed by `loss.label_smoothing`."""
        labels = self.both_labels if labels is None else labels
        return cross_entropy(logits, labels, smoothing=self.loss.label_smoothing)

    @in_fp32
    def of_all_processes(
        self, vectors: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, "m d"], Int64[Tensor, " m"]]:
        """All processes' rows where `gather` brings them, else these."""
        return (vectors, labels) if self.gather is None else (self.gather(vectors), self.gather(labels))

    @in_fp32
    def triplet(self, anchors: Float[Tensor, "n d"], form: str | None = None) -> Float[Tensor, ""]:
        """Over this batch, or over all processes' where `gather` brings their rows."""
        anchors, labels = self.of_all_processes(anchors, self.both_labels)
        return defense_triplet_loss(anchors, labels, margin=self.loss.margin, form=form or self.loss.triplet)


@dataclass(frozen=True)
class SubStep:
    """One update: the top-level modules it trains, its loss terms, and each term's weight."""

    name: str
    trains: tuple[str, ...]
    terms: Callable[[Any], dict[str, Tensor]]
    weights: dict[str, float]


Updates = Callable[[Any, Settings, Due], list[SubStep]]


@dataclass(frozen=True)
class Method:
    """One line of MODELS."""

    network: Callable[..., Network]
    updates: Updates


def every_part(model: nn.Module, *, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The top-level names of all parameters, without those of `but`: what a method trains by one update."""
    names = dict.fromkeys(name.split(".", 1)[0] for name, _ in model.named_parameters())
    return tuple(name for name in names if name not in but)


def neck(channels: int) -> nn.BatchNorm1d:
    """Batch normalisation of a vector; its shift stays zero, as in the field's BNNeck (Luo et al. 2019)."""
    norm = nn.BatchNorm1d(channels)
    norm.bias.requires_grad_(False)
    return norm


class FullPrecisionLinear(nn.Linear):
    """A linear map in fp32, also under autocast, which would round its logits to steps of a hundredth of their size.

    Losses compare logits that are nearly alike, and accuracies count which is largest; it costs next to nothing.
    """

    @in_fp32
    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n out"]:
        return super().forward(x)


def classifier(channels: int, n_pids: int) -> nn.Linear:
    """Identity classifier without bias, weights drawn with standard deviation 0.001 (Luo et al. 2019)."""
    linear = FullPrecisionLinear(channels, n_pids, bias=False)
    nn.init.normal_(linear.weight, std=0.001)
    return linear
