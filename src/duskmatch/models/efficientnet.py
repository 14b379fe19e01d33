"""EfficientNet-Lite0 in two pieces, stem and four stages, like ResNet.

| piece | blocks | channels | height |
|---|---|---|---|
| `LiteStem` (E^V, E^I) | the first convolution, 0 to 2 | 24 | a quarter |
| `layer1` | 3, 4 | 40 | an eighth |
| `layer2` | 5 to 10 | 80, then 112 | a sixteenth |
| `layer3`, the last of E_def3 | 11 to 14 | 192 | a sixteenth with last stride 1, else half of it |
| `layer4` (ConLa_4) | 15, and a 1x1 convolution if there is a head | 320, or the head's | the same |

A head of 1,280 is that of the published network. `published_names` has each tensor's name in the published file.

Source: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1; its Lite form has
no squeeze and excitation, and ReLU6 instead of swish. TensorFlow's padding ("same": more below and to the
right) and its batch normalisation's epsilon, 0.001, belong to the published weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from duskmatch.models.encoder import Encoder
from duskmatch.models.fast_layers import Norm, convolved

EPSILON = 1e-3
HEAD = 1280  # the width of the published head
EXPANSION = 6
# channels, blocks, kernel, stride of the first block; the first row has no expansion
ROWS = ((16, 1, 3, 1), (24, 2, 3, 2), (40, 2, 5, 2), (80, 3, 3, 2), (112, 3, 5, 1), (192, 4, 5, 2), (320, 1, 3, 1))
N_STEM_ROWS = 2
STAGES = ((2,), (3, 4), (5,), (6,))  # rows of each


class ConvNorm(nn.Module):
    """A convolution with TensorFlow's padding, batch normalisation, and ReLU6 unless `linear`."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        # with stride 1 "same" is symmetric, and the convolution pads by itself
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = Norm(n_out, epsilon=EPSILON, clips=not linear)
        self.linear = linear

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        stride, kernel = self.conv.stride[0], self.conv.kernel_size[0]
        if stride > 1:
            (left, right), (top, bottom) = (same_padding(n, kernel, stride) for n in (x.shape[-1], x.shape[-2]))
            x = F.pad(x, (left, right, top, bottom))
        x = self.norm(convolved(self.conv, x))
        # a replacement of the normalisation, folded or of several processes, does not clip
        return x if self.linear or isinstance(self.norm, Norm) else F.relu6(x, inplace=True)


class InvertedBottleneck(nn.Module):
    """1x1 convolution to six times the width, one for each channel (with the stride), 1x1 back; a short cut."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = n_in * expansion
        self.expand = ConvNorm(n_in, wide) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, n_out, linear=True)
        self.short_cut = stride == 1 and n_in == n_out

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        out = self.project(self.depthwise(self.expand(x)))
        return out + x if self.short_cut else out  # type: ignore[no-any-return]


class LiteStem(nn.Module):
    """Shallow features F_c, a quarter of the picture's height and width.

    Source: paper, Eq. 1. Differs: three blocks beyond the first convolution, whose maps would have four times as many
    positions.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.first = ConvNorm(3, scaled(32, width), 3, stride=2)
        self.blocks = nn.Sequential(*blocks_of(range(N_STEM_ROWS), width))
        self.channels = scaled(ROWS[N_STEM_ROWS - 1][0], width)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c h4 w4"]:
        return self.blocks(self.first(frames))  # type: ignore[no-any-return]


class LiteStages(Encoder):
    """The four stages after the stem."""

    def __init__(self, width: float = 1.0, last_stride: int = 1, head_width: int | None = None) -> None:
        super().__init__()
        stages = [nn.Sequential(*blocks_of(rows, width, last_stride)) for rows in STAGES]
        channels = [scaled(ROWS[rows[-1]][0], width) for rows in STAGES]
        if head_width is not None:
            stages[3].append(ConvNorm(channels[3], head_width))
            channels[3] = head_width
            if head_width != scaled(HEAD, width):
                self.fresh = ("layer4.1.",)
        self.set_stages(stages, tuple(channels))


def blocks_of(rows: range | tuple[int, ...], width: float, last_stride: int = 2) -> list[nn.Module]:
    """The blocks of these rows; `last_stride` is the stride of row 5, the last with a stride."""
    blocks: list[nn.Module] = []
    for row in rows:
        channels, depth, kernel, stride = ROWS[row]
        n_in = scaled(ROWS[row - 1][0] if row else 32, width)
        n_out = scaled(channels, width)
        first = last_stride if row == 5 else stride
        for i in range(depth):
            blocks.append(InvertedBottleneck(n_in, n_out, kernel, first if i == 0 else 1, EXPANSION if row else 1))
            n_in = n_out
    return blocks


def scaled(channels: int, width: float) -> int:
    """The number of channels times the width factor, rounded to a multiple of 8."""
    return max(8, round(channels * width / 8) * 8)


def same_padding(n: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding before and after n positions, for ceil(n / stride) outputs; an odd one goes after."""
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


def published_names() -> dict[str, str]:
    """This program's name -> the published one, for every tensor of stem, stages and published head."""
    names = {"first": ("_conv_stem", "_bn0"), "layer4.1": ("_conv_head", "_bn1")}
    number = 0
    for piece, rows in (("blocks", tuple(range(N_STEM_ROWS))), *((f"layer{i + 1}", r) for i, r in enumerate(STAGES))):
        for i in range(sum(ROWS[row][1] for row in rows)):
            block = f"_blocks.{number}."
            parts = (("expand", 0), ("depthwise", 1), ("project", 2))
            for part, norm in parts if number else parts[1:]:  # the first block expands nothing
                names[f"{piece}.{i}.{part}"] = (f"{block}_{part}_conv", f"{block}_bn{norm}")
            number += 1
    found = {}
    for own, (conv, normalisation) in names.items():
        found[f"{own}.conv.weight"] = f"{conv}.weight"
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            found[f"{own}.norm.{tensor}"] = f"{normalisation}.{tensor}"
    return found


def renamed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published tensors under this program's names, without the classifier's."""
    return {own: weights[name] for own, name in published_names().items()}
