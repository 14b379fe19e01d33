"""CAJL's enhanced squared difference as literal loops over anchors and pairs."""

import math

from torch import Tensor


def squared_difference(embeddings: Tensor, labels: Tensor, gamma: float, *, normalised: bool) -> float:
    points = [row.tolist() for row in embeddings]
    if normalised:
        points = [[x / math.hypot(*row) for x in row] for row in points]
    total = 0.0
    for a, anchor in enumerate(points):
        positives = [math.dist(anchor, p) for i, p in enumerate(points) if i != a and labels[i] == labels[a]]
        negatives = [math.dist(anchor, p) for i, p in enumerate(points) if labels[i] != labels[a]]
        far = [math.exp(d) for d in positives]
        near = [math.exp(-d) for d in negatives]
        d_p = sum(w * d for w, d in zip(far, positives, strict=True)) / sum(far)
        d_n = sum(w * d for w, d in zip(near, negatives, strict=True)) / sum(near)
        s = min(gamma * (d_p - d_n) ** 2, 88.0)
        total += math.log(1 + math.exp(-s if d_n >= d_p else s))
    return total / len(points)
