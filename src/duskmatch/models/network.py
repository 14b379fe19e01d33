"""What every network promises: vectors of clips, each for itself, and answers to what the program asks of its parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import LossSettings, Settings
from duskmatch.losses import in_fp32
from duskmatch.models.gauges import Gauge
from duskmatch.records import MODALITIES, Modality

STEMS = ("stem_visible", "stem_infrared")


class Due(NamedTuple):
    """Where training stands when an iteration begins."""

    step: int = 0  # from 0
    epoch: int = 0
    stage: int = 1  # of Algorithm 1; 0 before it
    steps_per_epoch: int = 1
    accuracy: float = 0.0  # running training accuracy: `Watched.accuracy`
    begins_stage1: bool = False  # the first iteration after a stage 0


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
    def shallow(
        self, visible: Float[Tensor, "b t 3 h w"], infrared: Float[Tensor, "b t 3 h w"]
    ) -> Float[Tensor, "n c h4 w4"]:
        """A training batch through the modalities' stems, visible frames first: n = 2 b t."""

    @abstractmethod
    def shared_maps(self, shallow: Float[Tensor, "n c h4 w4"], n_frames: int) -> object:
        """Then through the stages that both share."""

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
