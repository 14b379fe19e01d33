"""CAJL: channel augmented joint learning; each visible clip is used twice, once as one of its channels.

| CAJL | here |
|---|---|
| visible, channel-exchanged visible, infrared | `three_parts` |
| random channel exchange, channel-adaptive grey | `channels.one_channel` |
| channel-level random erasing | `channels.erased` |
| non-local blocks of its body (AGW) | `non_local2`, `non_local3`, on `attention.DotProduct` |
| enhanced squared difference | `losses.triplet` |

Source: Ye et al. 2021, "Channel Augmented Joint Learning for Visible-Infrared Recognition"; its body is AGW's, Ye et
al. 2022, "Deep Learning for Person Re-identification: A Survey and Outlook"; public code
mangye16/Cross-Modal-Re-ID-baseline.
Differs: clips instead of pictures, with one draw per clip.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import PooledSettings, Positive, Settings, Share
from duskmatch.losses import in_fp32, squared_difference_loss
from duskmatch.models.attention import DotProduct
from duskmatch.models.channels import erased, one_channel
from duskmatch.models.common_losses import CommonLosses, Outputs
from duskmatch.models.frames import IDENTITY_ACCURACY, FrameNetwork
from duskmatch.models.method import ALONE, AllProcesses, Draws, Forward, Pixels, SubStep, Term
from duskmatch.models.network import Clips, Due, LastMaps, Shallow, Vectors, every_part
from duskmatch.records import Modality

N_BLOCKS = (2, 3)  # non-local blocks, after the last blocks of stages 2 and 3; at most one after each


class CAJLSettings(PooledSettings):
    """flip: average the embedding with the mirrored clip's, which every score reports; erase: share of the clips with a
    blanked rectangle; exchange_grey: brightness is a fourth channel to exchange with; normalised, gamma: arguments of
    `squared_difference_loss`.
    """

    flip: bool = False
    erase: Share = 0.5
    exchange_grey: bool = False
    normalised: bool = True
    gamma: Positive = 1.0


class ChannelAugmentedJointLearning(FrameNetwork):
    """Two stems, shared stages with non-local blocks, one neck."""

    logged = ("identity", "squared_difference", "identity_accuracy", "non_local2_ratio", "non_local3_ratio")

    def __init__(self, n_pids: int, settings: CAJLSettings) -> None:
        super().__init__(n_pids, settings)
        self.settings = settings
        stages = (self.encoder.layer2, self.encoder.layer3)
        n2, n3 = (min(n, len(stage)) for n, stage in zip(N_BLOCKS, stages, strict=True))
        _, d2, d3, _ = self.encoder.stage_channels
        # not inside the stages, which keep the names of published weights
        self.non_local2 = nn.ModuleList(DotProduct(d2, inner=1) for _ in range(n2))
        self.non_local3 = nn.ModuleList(DotProduct(d3, inner=1) for _ in range(n3))
        self.test_time_extras = ("mean with the mirrored clip",) if settings.flip else ()

    def shared_maps(self, shallow: Shallow, n_frames: int) -> Float[Tensor, "n d h w"]:
        """The last maps of the shared stages, with non-local blocks over each frame.

        Source: AGW's body; one inner channel, as published with CAJL.
        """
        encoder = self.encoder
        maps = encoder.run(encoder.layer1, shallow)
        maps = encoder.run(partial(attending, encoder.layer2, self.non_local2), maps)
        maps = encoder.run(partial(attending, encoder.layer3, self.non_local3), maps)
        return encoder.stage4(maps)

    def maps_to_pool(self, clips: Clips, modality: Modality) -> LastMaps:
        maps = super().maps_to_pool(clips, modality)
        if self.settings.flip:
            (mirrored,) = super().maps_to_pool(clips.flip(-1), modality)
            maps.append(mirrored.flip(-1))  # mirrored back, so that positions of both maps agree
        return maps

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return [self.neck(torch.stack([self.pooled(m, n_frames) for m in maps]).mean(dim=0))]


def attending(stage: nn.Sequential, blocks: nn.ModuleList, maps: Float[Tensor, "n _ h w"]) -> Tensor:
    """The output of a stage with a non-local block after each of its last blocks."""
    first = len(stage) - len(blocks)
    for i, block in enumerate(stage):
        maps = block(maps)
        if i >= first:
            maps = blocks[i - first](maps, maps, maps)
    return maps


def three_parts(
    pixels: Pixels, settings: CAJLSettings, rng: np.random.Generator
) -> tuple[Float[Tensor, "b2 t 3 h w"], Clips]:
    """Visible clips followed by their channel-exchanged copies, and infrared clips, each part erased by its own draw.

    Source: CAJL's public code; docs/methods.md, "three parts".
    """
    exchanged = one_channel(pixels.visible, rng, grey=settings.exchange_grey)
    parts = (torch.cat([pixels.visible, exchanged]), one_channel(pixels.infrared, rng, grey=True))
    both, alone = (pixels.normalise(erased(part, settings.erase, rng)) for part in parts)
    return both, alone


def outputs(model: ChannelAugmentedJointLearning, settings: Settings, due: Due, forward: Forward[Tensor]) -> Outputs:
    """The outputs for all three parts of a batch."""
    assert forward.pixels is not None, "channels are exchanged in pixels"
    n_frames = forward.n_frames
    visible, infrared = three_parts(forward.pixels, model.settings, Draws(settings.seed, due.step).rng)
    shallow = [model.stem_visible(visible.flatten(0, 1)), model.stem_infrared(infrared.flatten(0, 1))]
    pooled = model.pooled(model.shared_maps(torch.cat(shallow), n_frames), n_frames)  # (3b d)
    embedding = model.neck(pooled)
    return Outputs(pooled, embedding, model.classifier(embedding), forward.labels.repeat(3))


def updates(
    model: ChannelAugmentedJointLearning, settings: Settings, due: Due, processes: AllProcesses = ALONE
) -> list[SubStep]:
    """One update of all parameters."""
    losses, own = CommonLosses(settings.loss, processes), model.settings

    @in_fp32
    def squared_difference(vectors: Tensor, labels: Tensor) -> Tensor:
        of_all = processes.gather(vectors), processes.gather(labels)
        return squared_difference_loss(*of_all, gamma=own.gamma, normalised=own.normalised)

    terms = (
        Term("identity", 1.0, losses.identity),
        Term[Outputs](
            "squared_difference",
            settings.loss.triplet_weight,
            lambda out: squared_difference(losses.compared(out), out.labels),
        ),
    )
    return [SubStep("main", every_part(model), partial(outputs, model, settings, due), terms, (IDENTITY_ACCURACY,))]
