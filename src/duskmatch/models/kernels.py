"""Loops that numba compiles, for training on the CPU: normalisation with ReLU6, gradient of a convolution's weights.

Rows are positions of maps in the channels-last layout; every inner loop runs over channels, which are contiguous.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]  # (n c)
Channels = npt.NDArray[np.float32]  # (c,)
Maps = npt.NDArray[np.float32]  # (n h w c)
BLOCK = 256  # rows summed in fp32 before they are added in fp64


def normalise_rows(
    x: Rows, weight: Channels, bias: Channels, epsilon: float, most: float,
    out: Rows, mean: Channels, inverse: Channels,
) -> None:  # fmt: skip
    """Batch normalisation of rows, clipped to 0 .. `most` if that is above 0; also mean and 1 / deviation."""
    n, c = x.shape
    part, total = np.zeros(c, np.float32), np.zeros(c, np.float64)
    for first in range(0, n, BLOCK):
        part[:] = 0
        for i in range(first, min(n, first + BLOCK)):
            row = x[i]
            for j in range(c):
                part[j] += row[j]
        for j in range(c):
            total[j] += part[j]
    for j in range(c):
        mean[j] = total[j] / n
        total[j] = 0
    for first in range(0, n, BLOCK):
        part[:] = 0
        for i in range(first, min(n, first + BLOCK)):
            row = x[i]
            for j in range(c):
                part[j] += (row[j] - mean[j]) * (row[j] - mean[j])
        for j in range(c):
            total[j] += part[j]
    scale, shift = np.empty(c, np.float32), np.empty(c, np.float32)
    for j in range(c):
        inverse[j] = 1 / np.sqrt(total[j] / n + epsilon)
        scale[j] = weight[j] * inverse[j]
        shift[j] = bias[j] - mean[j] * scale[j]
    zero, most32 = np.float32(0), np.float32(most)
    for i in range(n):
        row, made = x[i], out[i]
        if most > 0:
            for j in range(c):
                y = row[j] * scale[j] + shift[j]
                y = zero if y < zero else y  # in this form NaN stays NaN
                made[j] = most32 if y > most32 else y
        else:
            for j in range(c):
                made[j] = row[j] * scale[j] + shift[j]


def normalise_rows_backward(
    x: Rows, grad: Rows, weight: Channels, bias: Channels, most: float, mean: Channels, inverse: Channels,
    grad_x: Rows, grad_weight: Channels, grad_bias: Channels,
) -> None:  # fmt: skip
    """The gradients of `normalise_rows`; zero where the result was clipped."""
    n, c = x.shape
    zero, most32, held = np.float32(0), np.float32(most), most > 0
    scale, shift = np.empty(c, np.float32), np.empty(c, np.float32)
    for j in range(c):
        scale[j] = weight[j] * inverse[j]
        shift[j] = bias[j] - mean[j] * scale[j]
    part, part_x = np.zeros(c, np.float32), np.zeros(c, np.float32)
    total, total_x = np.zeros(c, np.float64), np.zeros(c, np.float64)
    for first in range(0, n, BLOCK):
        part[:] = 0
        part_x[:] = 0
        for i in range(first, min(n, first + BLOCK)):
            row, flow = x[i], grad[i]
            for j in range(c):
                y = row[j] * scale[j] + shift[j]
                g = zero if held & ((y <= zero) | (y >= most32)) else flow[j]
                part[j] += g
                part_x[j] += g * (row[j] - mean[j])
        for j in range(c):
            total[j] += part[j]
            total_x[j] += part_x[j]
    level, slope = np.empty(c, np.float32), np.empty(c, np.float32)
    for j in range(c):
        grad_bias[j] = total[j]
        grad_weight[j] = total_x[j] * inverse[j]
        level[j] = total[j] / n
        slope[j] = total_x[j] * inverse[j] * inverse[j] / n
    for i in range(n):
        row, flow, made = x[i], grad[i], grad_x[i]
        for j in range(c):
            y = row[j] * scale[j] + shift[j]
            g = zero if held & ((y <= zero) | (y >= most32)) else flow[j]
            made[j] = (g - level[j] - (row[j] - mean[j]) * slope[j]) * scale[j]


def depthwise_weight_gradient(
    x: Maps, grad: Maps, stride: int, top: int, left: int, out: npt.NDArray[np.float32]
) -> None:
    """The gradient of a depthwise convolution's weights, out (k k c); `top`, `left`: its padding."""
    n, h, w, c = x.shape
    _, h2, w2, _ = grad.shape
    k = out.shape[0]
    # one padded picture: it fits in the cache, and positions need no bounds check
    padded = np.zeros(((h2 - 1) * stride + k, (w2 - 1) * stride + k, c), np.float32)
    rows, columns = min(h, padded.shape[0] - top), min(w, padded.shape[1] - left)
    total = np.zeros((k, k, c), np.float32)
    for picture in range(n):
        for i in range(rows):
            for j in range(columns):
                place, seen = padded[i + top, j + left], x[picture, i, j]
                for q in range(c):
                    place[q] = seen[q]
        for i in range(h2):
            for dy in range(k):
                for j in range(w2):
                    flow = grad[picture, i, j]
                    for dx in range(k):
                        place, tap = padded[i * stride + dy, j * stride + dx], total[dy, dx]
                        for q in range(c):
                            tap[q] += place[q] * flow[q]
    out[:] = total
