"""MITML's frame features as a literal loop over clips, frames and features."""

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


def frame_features(appearance: Tensor, time: Tensor, model: nn.Module) -> list[list[float]]:
    """Of one clip (t d): x_h (1 + SE((W t + x_l) / 2)), each frame by its own guide."""
    last = lstm(model.memory, time)
    n_frames, out = len(time), []
    for i in range(n_frames):
        guide = model.guides[math.floor(i * len(model.guides) / n_frames)]
        told = [
            sum(w * x for w, x in zip(row, last, strict=True)) + b
            for row, b in zip(guide.told.weight.tolist(), guide.told.bias.tolist(), strict=True)
        ]
        mixed = [(a + b) / 2 for a, b in zip(told, time[i].tolist(), strict=True)]
        first, _, second, _ = guide.excite
        hidden = [
            max(0.0, sum(w * x for w, x in zip(row, mixed, strict=True)) + b)
            for row, b in zip(first.weight.tolist(), first.bias.tolist(), strict=True)
        ]
        for d, (row, b) in enumerate(zip(second.weight.tolist(), second.bias.tolist(), strict=True)):
            g = 1 / (1 + math.exp(-sum(w * x for w, x in zip(row, hidden, strict=True)) - b))
            if d == 0:
                out.append([])
            out[-1].append(float(appearance[i, d]) * (1 + g))
    return out
