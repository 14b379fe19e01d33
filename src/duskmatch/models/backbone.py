"""Backbones by name: the stem (E^V, E^I: one for each modality) and the four stages (E_att, E_def), and loaded weights.

| name | stem | E_def3 | ConLa_4 | d |
|---|---|---|---|---|
| resnet18, 34 | conv1, bn1, relu, maxpool | layer1-3 | layer4 | 512 times the width |
| resnet26, 50 | the same | layer1-3 | layer4 | 2,048 times the width |
| efficientnet_lite0 | conv_stem, bn0, blocks 0-2 | blocks 3-14 | block 15, a head if it has one | 320, or the head's |
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from duskmatch.config import BackboneSettings
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.models import efficientnet, resnet
from duskmatch.models.encoder import Encoder

LITE0 = "efficientnet_lite0"


def make_stem(settings: BackboneSettings) -> resnet.Stem | efficientnet.LiteStem:
    """The shallow part, (n 3 h w) -> (n c h4 w4), with c as its `channels`."""
    if settings.backbone == LITE0:
        return efficientnet.LiteStem(settings.width)
    return resnet.Stem(resnet.stem_channels(settings.width))


def make_stages(settings: BackboneSettings) -> Encoder:
    """The four stages."""
    name, width, last_stride = settings.backbone, settings.width, settings.last_stride
    if name == LITE0:
        return efficientnet.LiteStages(width, last_stride, settings.head_width)
    if settings.head_width is not None:
        raise SettingsError(f"model.head_width needs model.backbone {LITE0}; got {name}; leave it at null")
    return resnet.Stages(name, width, last_stride)


def initialise(module: nn.Module) -> None:
    """He initialisation for convolutions, 1 and 0 for batch normalisation."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def load_backbone(pieces: list[nn.Module], weights: Mapping[str, Tensor], source: str) -> None:
    """Fills stems and stages by name (torchvision's names for a ResNet); the file's classifier is not used.

    Every parameter of every piece must be in the file with its shape, except an encoder's `fresh` ones: a network is
    never half loaded.
    """
    for piece in pieces:
        fresh: tuple[str, ...] = getattr(piece, "fresh", ())
        wanted = {
            k: v
            for k, v in piece.state_dict().items()
            if not k.endswith("num_batches_tracked") and not k.startswith(fresh)
        }
        missing = [k for k in wanted if k not in weights]
        if missing:
            raise CheckpointError(f"{source}: lacks {missing[0]} (and {len(missing) - 1} more); is it this backbone?")
        for key, tensor in wanted.items():
            if weights[key].shape != tensor.shape:
                raise CheckpointError(
                    f"{source}: {key} must be {tuple(tensor.shape)}; got {tuple(weights[key].shape)}; "
                    "set model.backbone and model.width to the file's network"
                )
        with torch.no_grad():
            for key, tensor in wanted.items():
                tensor.copy_(weights[key])
