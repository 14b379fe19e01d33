"""What is measured of learned parts, as literal loops over clips, frames, parts and features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def deviation(clips: np.ndarray) -> float:
    """(b t k d) -> the standard deviation over clips of the mean over frames, root mean square over parts, features."""
    b, t, k, d = clips.shape
    squares = 0.0
    for part in range(k):
        for feature in range(d):
            means = [sum(float(clips[clip, frame, part, feature]) for frame in range(t)) / t for clip in range(b)]
            middle = sum(means) / b
            squares += sum((mean - middle) ** 2 for mean in means) / b
    return math.sqrt(squares / (k * d))


def share(values: np.ndarray, inside: Callable[[float], bool]) -> float:
    return sum(inside(float(value)) for value in values.flatten()) / values.size


def norm(gradients: Sequence[Tensor]) -> float:
    """Of all numbers of all gradients, one by one."""
    return math.sqrt(sum(float(x) ** 2 for gradient in gradients for x in gradient.flatten()))


def motion_of(parts: np.ndarray, lstm: nn.LSTM) -> np.ndarray:
    """(t k d) of one clip -> what LSTM_mot gives for each part, one after the other."""
    columns = []
    for part in range(parts.shape[1]):
        series = torch.tensor(parts[:, part])[None]  # (1 t d)
        columns.append(lstm(series)[0][0].numpy())  # (t d)
    return np.stack(columns, axis=1)


def spatial_of(motion: np.ndarray, lstm: nn.LSTM) -> np.ndarray:
    """(t k d) of one clip -> LSTM_spa's last output over the parts of the last frame."""
    return lstm(torch.tensor(motion[-1])[None])[0][0, -1].numpy()  # type: ignore[no-any-return]


def highlight_of(parts: np.ndarray, spatial: np.ndarray, maps: nn.Module) -> np.ndarray:
    found = np.empty_like(parts)
    for frame in range(parts.shape[0]):
        for part in range(parts.shape[1]):
            joined = torch.tensor(np.concatenate([parts[frame, part], spatial]))
            found[frame, part] = maps(joined).numpy()
    return found


def mean_over_clips(clips: Sequence[np.ndarray]) -> np.ndarray:
    return sum(clip.astype(np.float64) for clip in clips) / len(clips)  # type: ignore[return-value]


def joined(parts: np.ndarray, highlight: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Eqs. 13 to 15 of one clip: (k*d)."""
    return (parts * highlight + motion).mean(axis=0).flatten()
