"""The interface of every network: one vector per clip, and questions about its parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import LossSettings, Settings
from duskmatch.errors import SettingsError
from duskmatch.losses import in_fp32
from duskmatch.models.backbone import initialise
from duskmatch.models.compaction import Compaction
from duskmatch.models.encoder import Encoder
from duskmatch.models.gauges import Gauge
from duskmatch.records import MODALITIES, Modality

STEMS = ("stem_visible", "stem_infrared")

Clips = Float[Tensor, "b t 3 h w"]  # of one modality, normalised
Shallow = Float[Tensor, "n c h4 w4"]  # frames after their stem; in a training batch n = 2 b t, visible ones first
LastMaps = list[Float[Tensor, "bt d h16 w16"]]
HeadInputs = list[Float[Tensor, "b ..."]]
Vectors = list[Float[Tensor, "b _"]]


class Due(NamedTuple):
    """The position of an iteration in the training schedule."""

    step: int = 0  # from 0
    epoch: int = 0
    stage: int = 1  # of Algorithm 1; 0 before it
    steps_per_epoch: int = 1
    accuracy: float = 0.0  # running mean of `Watched.accuracy` on training clips
    begins_stage1: bool = False  # the first iteration after a stage 0


class Watched(NamedTuple):
    """A method's columns of log.csv for the figures by which every run is monitored."""

    accuracy: str = "identity_accuracy"
    identity: str = "identity"
    triplet: str = "triplet"


class Network(nn.Module, ABC):
    """A method's network. A subclass defines what is abstract here and overrides the rest where it differs.

    logged: the method's own columns of log.csv. neck_depth: the number of normalisations of vectors in sequence, each
    of which is estimated on the output of the one before. test_time_extras: steps at test beside one forward of the
    clip, in words, for every score. gradient_shares: column of log.csv -> two terms; the column holds the norm of the
    stems' gradient by the first over that by the second, both weighted.
    """

    logged: tuple[str, ...] = ("identity", "triplet", "identity_accuracy")
    watched = Watched()
    neck_depth = 1
    test_time_extras: tuple[str, ...] = ()
    gradient_shares: Mapping[str, tuple[str, str]] = MappingProxyType({})
    embedding = "pooled"  # the name of the vector that is the embedding
    stem_visible: nn.Module
    stem_infrared: nn.Module
    encoder: Encoder
    centre_visible: Tensor
    centre_infrared: Tensor

    def __init__(self, n_pids: int) -> None:
        super().__init__()
        self.n_pids = n_pids
        self.compaction: Compaction | None = None

    @property
    def channels(self) -> int:
        """d, the width of one frame's last maps."""
        return self.encoder.channels

    @property
    def embedding_width(self) -> int:
        """The length of the embedding that is trained."""
        return self.channels

    @property
    def final_width(self) -> int:
        """The length of `embed`'s vectors."""
        return self.embedding_width if self.compaction is None else self.compaction.width

    @property
    def embedding_name(self) -> str:
        """The name of the vector that is searched with, and its width where it was compacted."""
        return self.embedding if self.compaction is None else f"{self.embedding}, compacted to {self.compaction.width}"

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        """The parameters that the embedding does not use, by the beginning of their names."""
        return ("classifier",)

    @abstractmethod
    def backbone_pieces(self) -> list[nn.Module]:
        """The modules that loaded weights fill, each under torchvision's names."""

    def slow_pieces(self) -> list[nn.Module]:
        """The modules that `train.rates` calls "backbone"; loaded weights usually train at a tenth of the rate."""
        return self.backbone_pieces()

    def begin(self, due: Due) -> None:
        """Called before the updates of an iteration, for buffers that follow weights."""

    def cautions(self, settings: Settings) -> list[str]:
        """Warnings to show before training begins."""
        return []

    def gauges(self) -> dict[nn.Module, Gauge]:
        """The gauge of each part, read in its forward pass in logged iterations."""
        return {}

    def modalities_summed(self, loss: LossSettings) -> int:
        """The number of means that the identity loss sums up: at chance it is this number times log M."""
        return 1

    def stem_of(self, modality: Modality) -> nn.Module:
        """The stem of a modality."""
        return self.stem_visible if modality == "visible" else self.stem_infrared

    def shallow(self, visible: Clips, infrared: Clips) -> Shallow:
        """F_c of a training batch: the outputs of both stems, visible frames first.

        Source: paper, Eq. 1.
        """
        return torch.cat([self.stem_visible(visible.flatten(0, 1)), self.stem_infrared(infrared.flatten(0, 1))])

    @abstractmethod
    def shared_maps(self, shallow: Shallow, n_frames: int) -> object:
        """The last maps of the stages that both modalities share."""

    def maps_to_pool(self, clips: Clips, modality: Modality) -> LastMaps:
        """The last maps before pooling."""
        return [self.shared_maps(self.stem_of(modality)(clips.flatten(0, 1)), clips.shape[1])]  # type: ignore[list-item]

    @abstractmethod
    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        """The vectors of the maps of `maps_to_pool`; the embedding concatenates them, each scaled to length 1."""

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        """Parts by their names in `health.CHECKS`, and the modules whose output is the part's.

        Each module returns rows in order of clips, one or several per clip, and must be called in `head`.
        """
        return {}

    def head_inputs(self, maps: LastMaps, n_frames: int) -> HeadInputs:
        """The first part of `vectors`, up to the `knock_outs`, with results small enough to keep for every clip."""
        return self.vectors(maps, n_frames)

    def head(self, inputs: HeadInputs) -> Vectors:
        """The rest of `vectors`; the identity if a network has no `knock_outs`."""
        return inputs

    def embed(self, clips: Clips, modality: Modality) -> Float[Tensor, "b d"]:
        """The unit vector of each clip, which does not depend on other clips of the batch."""
        return self.embed_maps(self.maps_to_pool(clips, modality), clips.shape[1], modality)

    def forward(self, clips: Clips, modality: Modality) -> Float[Tensor, "b d"]:
        return self.embed(clips, modality)

    def embed_maps(self, maps: LastMaps, n_frames: int, modality: Modality) -> Float[Tensor, "b d_all"]:
        """The second half of `embed`: from the maps of `maps_to_pool` to the vector."""
        return self.finished(self.vectors(maps, n_frames), modality)

    def finished(self, vectors: Vectors, modality: Modality) -> Float[Tensor, "b d_all"]:
        """The embedding from its `vectors`: centred, and compacted in a compacted network."""
        whole = self.centred(vectors, modality)
        return whole if self.compaction is None else self.compaction(whole, modality)

    def compact(self, width: int) -> None:
        """Adds the last layer of a compacted network, with random weights."""
        if not 1 <= width < self.embedding_width:
            raise SettingsError(
                f"model.compact_width must be from 1 to {self.embedding_width - 1}, below the embedding's width; "
                f"got {width}"
            )
        self.compaction = Compaction(self.embedding_width, width)

    def initialise(self) -> None:
        """Initialises `backbone_pieces` at random and both centres to zero; called once the other parts exist.

        A centre is the mean embedding of training people, set at the end of training and subtracted at test.
        Differs: in no paper. A shift shared by a whole modality says nothing about people.
        """
        for modality in MODALITIES:
            self.register_buffer(f"centre_{modality}", torch.zeros(self.embedding_width))
        for piece in self.backbone_pieces():
            initialise(piece)

    def centred(self, vectors: list[Tensor], modality: Modality) -> Float[Tensor, "b d_all"]:
        """Unit vectors concatenated, minus the modality's centre, scaled to length 1 again."""
        unit = torch.cat([nn.functional.normalize(v.float(), dim=1) for v in vectors], dim=1)
        centre = self.centre_visible if modality == "visible" else self.centre_infrared
        return nn.functional.normalize(nn.functional.normalize(unit, dim=1) - centre, dim=1)

    def neck_inputs(self, visible: Clips, infrared: Clips) -> dict[nn.BatchNorm1d, Float[Tensor, "n _"]]:
        """The inputs of each normalisation of vectors at test, both modalities, for estimating its statistics."""
        necks = [part for part in self.modules() if isinstance(part, nn.BatchNorm1d)]
        with inputs_of(necks) as found:
            self.embed(visible, "visible")
            self.embed(infrared, "infrared")
        return {neck: torch.cat(rows) for neck, rows in found.items() if rows}


@contextmanager
def inputs_of(parts: list[nn.BatchNorm1d]) -> Iterator[dict[nn.BatchNorm1d, list[Tensor]]]:
    """Collects the inputs of these modules while the block runs."""
    found: dict[nn.BatchNorm1d, list[Tensor]] = {part: [] for part in parts}

    def keep(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[part].append(inputs[0].detach())  # type: ignore[index]

    with ExitStack() as hooks:
        for part in parts:
            hooks.callback(part.register_forward_pre_hook(keep).remove)
        yield found


def every_part(model: nn.Module, *, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The top-level names of all parameters except `but`, for a method that trains everything in one update."""
    names = dict.fromkeys(name.split(".", 1)[0] for name, _ in model.named_parameters())
    return tuple(name for name in names if name not in but)


def neck(channels: int) -> nn.BatchNorm1d:
    """Batch normalisation of a vector; its bias stays zero, as in BNNeck (Luo et al. 2019)."""
    norm = nn.BatchNorm1d(channels)
    norm.bias.requires_grad_(False)
    return norm


class FullPrecisionLinear(nn.Linear):
    """A linear map in fp32, also under autocast, which would round logits to steps of a hundredth of their size.

    Losses and accuracies compare logits that are nearly equal; the cost is negligible.
    """

    @in_fp32
    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n out"]:
        return super().forward(x)


def classifier(channels: int, n_pids: int) -> nn.Linear:
    """Identity classifier without bias, weights drawn with standard deviation 0.001 (Luo et al. 2019)."""
    linear = FullPrecisionLinear(channels, n_pids, bias=False)
    nn.init.normal_(linear.weight, std=0.001)
    return linear
