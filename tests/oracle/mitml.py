"""MITML's frame features and its modality classifier as literal loops over clips, frames and features."""

import math

import torch
from torch import Tensor, nn


def lstm(layers: nn.LSTM, series: Tensor) -> list[float]:
    """The last output of one clip's series (t d), gate by gate."""
    for layer in range(layers.num_layers):
        w_in, w_own = getattr(layers, f"weight_ih_l{layer}"), getattr(layers, f"weight_hh_l{layer}")
        bias = getattr(layers, f"bias_ih_l{layer}") + getattr(layers, f"bias_hh_l{layer}")
        h = c = torch.zeros(w_own.shape[1])
        outputs = []
        for x in series:
            i, f, g, o = (w_in @ x + w_own @ h + bias).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        series = torch.stack(outputs)
    return series[-1].tolist()


def linear(layer: nn.Linear, row: list[float]) -> list[float]:
    shifts = [0.0] * len(layer.weight) if layer.bias is None else layer.bias.tolist()
    return [
        sum(w * x for w, x in zip(weights, row, strict=True)) + b
        for weights, b in zip(layer.weight.tolist(), shifts, strict=True)
    ]


def frame_features(appearance: Tensor, time: Tensor, model: nn.Module) -> list[list[float]]:
    """Of one clip (t d): x_h (1 + SE((W t + x_l) / 2)), each frame by its own guide."""
    last = lstm(model.memory, time)
    n_frames, out = len(time), []
    for i in range(n_frames):
        guide = model.guides[math.floor(i * len(model.guides) / n_frames)]
        mixed = [(a + b) / 2 for a, b in zip(linear(guide.told, last), time[i].tolist(), strict=True)]
        squeeze, _, widen, _ = guide.excite
        answers = linear(widen, [max(0.0, x) for x in linear(squeeze, mixed)])
        gates = [1 / (1 + math.exp(-x)) for x in answers]
        out.append([float(x) * (1 + g) for x, g in zip(appearance[i], gates, strict=True)])
    return out


def convolved(layer: nn.Conv1d, row: list[float]) -> list[float]:
    """The one place that three taps with steps of two make of a single place with padding on both sides."""
    out = []
    for kernel, shift in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        total = shift
        for taps, x in zip(kernel, row, strict=True):
            for tap, seen in zip(taps, (0.0, x, 0.0), strict=True):
                total += tap * seen
        out.append(total)
    return out


def modality_logits(clips: Tensor, model: nn.Module) -> list[list[float]]:
    """Of clips (n d): each convolution normalised over the clips, as in training, and cut at 0; then a linear map."""
    rows = clips.tolist()
    for layer, norm in zip(model.halving[0::3], model.halving[1::3], strict=True):
        rows = [convolved(layer, row) for row in rows]
        for channel in range(len(rows[0])):
            values = [row[channel] for row in rows]
            mean = sum(values) / len(values)
            deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + norm.eps)
            for row in rows:
                scaled = (row[channel] - mean) / deviation * float(norm.weight[channel])
                row[channel] = max(0.0, scaled + float(norm.bias[channel]))
    return [linear(model.last, row) for row in rows]
