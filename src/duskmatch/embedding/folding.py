"""The network at test: without training-only parts, and with batch normalisations folded into the convolutions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from duskmatch.embedding.cost import unused_at_test
from duskmatch.models import Network

# Names in one parent module: a convolution and the normalisation that follows it.
PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"), ("out", "norm"), ("conv", "norm"))


def at_test(model: Network) -> Network:
    """Removes training-only parts and folds normalisations, in place; the model is left in evaluation mode.

    Its vectors stay the same up to the last bits of fp32.
    """
    for name in {name.split(".")[0] for name, _ in model.named_parameters() if unused_at_test(model, name)}:
        delattr(model, name)
    model.eval()
    for parent in model.modules():
        for convolution, norm in PAIRS:
            fold(parent, convolution, norm)
    return model


@torch.no_grad()
def fold(parent: nn.Module, convolution: str, norm: str) -> None:
    """Folds the normalisation into the convolution, if the parent has both."""
    before, after = getattr(parent, convolution, None), getattr(parent, norm, None)
    if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
        setattr(parent, convolution, fuse_conv_bn_eval(before, after))
        setattr(parent, norm, nn.Identity())
