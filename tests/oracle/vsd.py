"""VSD's terms as literal loops."""

import math

from torch import Tensor


def rank(embeddings: Tensor, labels: Tensor, compared: Tensor, radius: float, margin: float) -> float:
    unit = [[v / math.hypot(*row) for v in row] for row in embeddings.tolist()]
    total = 0.0
    for i, anchor in enumerate(unit):
        positives, negatives, weights = [], [], []
        for j, other in enumerate(unit):
            if j == i or not bool(compared[i, j]):
                continue
            dist = math.dist(anchor, other)
            if labels[i] == labels[j] and dist > radius - margin:
                positives.append(dist - (radius - margin))
            if labels[i] != labels[j] and dist < radius:
                negatives.append(radius - dist)
                weights.append(math.exp(radius - dist))
        total += sum(positives) / len(positives) if positives else 0.0
        total += sum(n * w for n, w in zip(negatives, weights, strict=True)) / sum(weights) if weights else 0.0
    return total / len(unit)


def sinkhorn(a: Tensor, b: Tensor, epsilon: float, n_iterations: int) -> float:
    """Cuturi's scaling of rows and columns in turn, without logarithms."""
    cost = [[sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) for q in b.tolist()] for p in a.tolist()]
    n, m = len(cost), len(cost[0])
    kernel = [[math.exp(-c / epsilon) for c in row] for row in cost]
    v = [1.0] * m
    for _ in range(n_iterations):
        u = [(1 / n) / sum(kernel[i][j] * v[j] for j in range(m)) for i in range(n)]
        v = [(1 / m) / sum(kernel[i][j] * u[i] for i in range(n)) for j in range(m)]
    return sum(u[i] * kernel[i][j] * v[j] * cost[i][j] for i in range(n) for j in range(m))


def channel_attention(maps: Tensor, gamma: float) -> list[list[float]]:
    """Of one picture (c h w), flat over places: the softmax of (largest energy - energy) mixes the channels."""
    channels = maps.flatten(1).tolist()
    out = []
    for own in channels:
        energies = [sum(a * b for a, b in zip(own, other, strict=True)) for other in channels]
        shares = [math.exp(max(energies) - energy) for energy in energies]
        mixed = [
            sum(share * other[p] for share, other in zip(shares, channels, strict=True)) / sum(shares)
            for p in range(len(own))
        ]
        out.append([x + gamma * y for x, y in zip(own, mixed, strict=True)])
    return out
