"""ResNet in two pieces: the stem (E^V, E^I: one for each modality) and the four stages (E_att, E_def).

Parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, ...), so that its checkpoints, and timm's
of the same networks, load by name.

Source: He et al., "Deep Residual Learning for Image Recognition", tables 1 and figure 5; the paper, section III-B:
the "Conv Layer" is the first layer of ResNet-50 and E_att "the last four layers", so a layer is a stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from duskmatch.errors import CheckpointError, SettingsError


class Stem(nn.Module):
    """Shallow features F_c, a quarter of the picture's height and width.

    Source: paper, Eq. 1.
    Differs: max pooling belongs to it, as in the group's other code; without it self-attention would have four
    times as many positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c h4 w4"]:
        return self.maxpool(self.relu(self.bn1(self.conv1(frames))))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a short cut (ResNet-18, -34)."""

    expansion = 1

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(n_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions and a short cut (ResNet-26, -50)."""

    expansion = 4

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(n_in, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


Block = type[BasicBlock] | type[Bottleneck]

# Name -> block and blocks per stage. resnet26 is the bottleneck network with two blocks a stage: small, yet wide at
# its end, which Eq. 3 needs (embedding at least twice as wide as there are people).
ARCHITECTURES: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet26": (Bottleneck, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


class Stages(nn.Module):
    """The four stages after a stem: (n c h4 w4) -> (n d h16 w16) with last stride 1, (n d h32 w32) with 2."""

    def __init__(self, name: str, width: float, last_stride: int) -> None:
        super().__init__()
        block, depths = architecture(name)
        base = stem_channels(width)
        n_in, stages = base, []
        for stage, (depth, stride) in enumerate(zip(depths, (1, 2, 2, last_stride), strict=True)):
            blocks: list[nn.Module] = []
            for i in range(depth):
                blocks.append(block(n_in, base * 2**stage, stride if i == 0 else 1))
                n_in = base * 2**stage * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels3, self.channels = n_in // 2, n_in

        self.recompute = False  # True: a stage's activations are made again in the backward pass and not kept for it

    def to_stage3(self, shallow: Float[Tensor, "n c h4 w4"]) -> Float[Tensor, "n d3 h16 w16"]:
        """E_def3: the first three stages."""
        return self.run(self.layer3, self.run(self.layer2, self.run(self.layer1, shallow)))

    def stage4(self, maps3: Float[Tensor, "n d3 h16 w16"]) -> Float[Tensor, "n d h w"]:
        """ConLa_4: the last stage."""
        return self.run(self.layer4, maps3)

    def run(self, stage: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """One stage; its activations are kept or made again, as `recompute` says."""
        if self.recompute and torch.is_grad_enabled():  # nothing random in a stage: no state of a generator to keep
            return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]
        return stage(x)

    def forward(self, shallow: Float[Tensor, "n c h4 w4"]) -> Float[Tensor, "n d h w"]:
        return self.stage4(self.to_stage3(shallow))


def architecture(name: str) -> tuple[Block, tuple[int, int, int, int]]:
    if name not in ARCHITECTURES:
        raise SettingsError(f"model.backbone must be one of {', '.join(ARCHITECTURES)}; got {name}")
    return ARCHITECTURES[name]


def stem_channels(width: float) -> int:
    """64 times the width factor, a multiple of 8."""
    return max(8, round(64 * width / 8) * 8)


def shortcut(n_in: int, n_out: int, stride: int) -> nn.Sequential | None:
    if n_in == n_out and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))


def initialise(module: nn.Module) -> None:
    """He initialisation for convolutions, 1 and 0 for batch normalisation."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def load_backbone(pieces: list[nn.Module], weights: Mapping[str, Tensor], source: str) -> None:
    """Fills stems and stages by torchvision's names; the classifier `fc` of the file is not used.

    Every parameter of every piece must be in the file with its shape: a half-loaded network is refused.
    """
    for piece in pieces:
        wanted = {k: v for k, v in piece.state_dict().items() if not k.endswith("num_batches_tracked")}
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
