"""LbA's alignment of one map (d h w) with another, as literal loops over places."""

import math

import torch
from torch import Tensor


def places(maps: Tensor) -> list[list[float]]:
    return maps.flatten(1).T.tolist()


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def matching(own: Tensor, target: Tensor) -> list[list[float]]:
    rows = []
    for a in places(own):
        shares = [math.exp(50 * cosine(a, b)) for b in places(target)]
        rows.append([share / sum(shares) for share in shares])
    return rows


def stretched(values: list[float]) -> list[float]:
    return [(value - min(values)) / (max(values) - min(values)) for value in values]


def mask(maps: Tensor) -> list[float]:
    return stretched([math.hypot(*place) for place in places(maps)])


def reconstructed(own: Tensor, target: Tensor) -> Tensor:
    """M w + (1 - M) f, as (d h w)."""
    rebuilt = []
    for m, f, p in zip(mask(own), places(own), matching(own, target), strict=True):
        w = [sum(share * g[c] for share, g in zip(p, places(target), strict=True)) for c in range(len(f))]
        rebuilt.append([m * a + (1 - m) * b for a, b in zip(w, f, strict=True)])
    return torch.tensor(rebuilt).T.reshape(own.shape)


def coattention(own: Tensor, target: Tensor) -> list[float]:
    seen = mask(target)
    both = []
    for m, p in zip(mask(own), matching(own, target), strict=True):
        both.append(m * sum(share * other for share, other in zip(p, seen, strict=True)))
    return stretched(both)


def dense_triplet(maps: Tensor, same: list[int], other: list[int], margin: float) -> float:
    """Over the maps (n d h w) of a batch, map i with its partners same[i] and other[i]."""
    total, n = 0.0, 0
    for i, own in enumerate(maps):
        positive, negative = reconstructed(own, maps[same[i]]), reconstructed(own, maps[other[i]])
        attention = coattention(own, maps[same[i]])
        for a, f, r, s in zip(attention, places(own), places(positive), places(negative), strict=True):
            total += a * max(0.0, math.dist(f, r) - math.dist(f, s) + margin)
            n += 1
    return total / n
