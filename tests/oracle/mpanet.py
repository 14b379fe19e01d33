"""MPANet's terms as literal loops over pictures, places, clips and people."""

import math
from itertools import combinations

from torch import Tensor


def centre_cluster(embeddings: Tensor, labels: Tensor, margin: float) -> float:
    rows, who = embeddings.tolist(), labels.tolist()
    centres = {}
    for pid in set(who):
        own = [row for row, label in zip(rows, who, strict=True) if label == pid]
        centres[pid] = [sum(column) / len(own) for column in zip(*own, strict=True)]
    near = sum(math.dist(row, centres[pid]) for row, pid in zip(rows, who, strict=True)) / len(rows)
    pairs = list(combinations(centres.values(), 2))
    return near + sum(max(0.0, margin - math.dist(a, b)) for a, b in pairs) / len(pairs)


def separation(masks: Tensor) -> float:
    total, n_pairs = 0.0, 0
    for picture in masks.tolist():
        flat = [[value for row in mask for value in row] for mask in picture]
        for a, b in combinations(flat, 2):
            total += sum(x * y for x, y in zip(a, b, strict=True))
            n_pairs += 1
    return total / n_pairs


def descriptor(maps: Tensor, masks: Tensor) -> list[float]:
    """Of one picture: for each pattern the mean of mask times map, then the plain means."""
    n_channels, h, w = maps.shape
    found = []
    for mask in [*masks.tolist(), [[1.0] * w] * h]:
        for channel in maps.tolist():
            found.append(sum(mask[y][x] * channel[y][x] for y in range(h) for x in range(w)) / (h * w))
    assert len(found) == (len(masks) + 1) * n_channels
    return found


def alleviated(maps: Tensor, down: tuple[Tensor, Tensor], up: tuple[Tensor, Tensor]) -> list[list[list[float]]]:
    """m x + (1 - m) IN(x) of one picture; `down`, `up`: weights and biases of the gate's two maps."""
    channels, (h, w) = maps.tolist(), maps.shape[1:]
    flat = [[value for row in channel for value in row] for channel in channels]
    means = [sum(values) / len(values) for values in flat]
    hidden = [
        max(0.0, sum(a * b for a, b in zip(row, means, strict=True)) + bias)
        for row, bias in zip(down[0].flatten(1).tolist(), down[1].tolist(), strict=True)
    ]
    out = []
    for c, (row, bias) in enumerate(zip(up[0].flatten(1).tolist(), up[1].tolist(), strict=True)):
        m = 1 / (1 + math.exp(-sum(a * b for a, b in zip(row, hidden, strict=True)) - bias))
        variance = sum((v - means[c]) ** 2 for v in flat[c]) / len(flat[c])
        plain = [(v - means[c]) / math.sqrt(variance + 1e-5) for v in flat[c]]
        mixed = [m * v + (1 - m) * p for v, p in zip(flat[c], plain, strict=True)]
        out.append([mixed[y * w : (y + 1) * w] for y in range(h)])
    return out


def divergence(teacher: Tensor, student: Tensor) -> float:
    """Mean over rows of KL(p_teacher || p_student), from logits."""
    total = 0.0
    for a, b in zip(teacher.tolist(), student.tolist(), strict=True):
        p, q = ([math.exp(v) / sum(map(math.exp, row)) for v in row] for row in (a, b))
        total += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return total / len(teacher)
