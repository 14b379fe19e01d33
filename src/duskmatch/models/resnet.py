"""ResNet in two pieces: the stem (E^V, E^I: one for each modality) and the four stages (E_att, E_def).

Parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, ...), so that its checkpoints, and timm's
of the same networks, load by name.

Source: He et al., "Deep Residual Learning for Image Recognition", tables 1 and figure 5; the paper, section III-B:
the "Conv Layer" is the first layer of ResNet-50 and E_att "the last four layers", so a layer is a stage.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.errors import SettingsError
from duskmatch.models.encoder import Encoder


class Stem(nn.Module):
    """Shallow features F_c, a quarter of the picture's height and width.

    Source: paper, Eq. 1.
    Differs: it includes max pooling, as in the group's other code; without it self-attention would have four times as
    many positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c h4 w4"]:
        return self.maxpool(self.relu(self.bn1(self.conv1(frames))))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18, -34)."""

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
    """1x1, 3x3 (with the stride), 1x1 convolutions and a shortcut (ResNet-26, -50)."""

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

# Name -> block and blocks per stage. resnet26 is the bottleneck network with two blocks per stage: small, yet with the
# wide output that Eq. 3 needs (at least twice the number of people).
ARCHITECTURES: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet26": (Bottleneck, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


class Stages(Encoder):
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
        self.set_stages(stages, tuple(n_in // 2**i for i in (3, 2, 1, 0)))


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
