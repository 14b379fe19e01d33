"""The projection of compact vectors, summed number by number, in all dimensions at once instead of along a few axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def about_the_mean(vectors: np.ndarray, groups: Sequence[object]) -> list[np.ndarray]:
    """Each vector minus the mean of its group."""
    found = []
    for vector, group in zip(vectors, groups, strict=True):
        same = [other.astype(np.float64) for other, g in zip(vectors, groups, strict=True) if g == group]
        found.append(vector.astype(np.float64) - sum(same) / len(same))
    return found


def covariance(rows: list[np.ndarray]) -> np.ndarray:
    return sum(np.outer(row, row) for row in rows) / len(rows)


def learned(
    vectors: np.ndarray, pids: Sequence[int], modalities: Sequence[str], width: int, power: float, ridge: float
) -> np.ndarray:
    """W, its rows up to their sign; within the span of the vectors where they are fewer than their numbers."""
    rows = about_the_mean(vectors, modalities)
    _, lengths, span = np.linalg.svd(np.stack(rows), full_matrices=False)
    span = span[lengths > 1e-5 * lengths[0]]
    inside = [span @ row for row in rows]
    within = covariance([span @ row for row in about_the_mean(np.stack(rows), pids)])
    values, axes = np.linalg.eigh(within)
    whitening = sum(
        (max(value, 0) + ridge * np.trace(within) / len(within)) ** (-power / 2) * np.outer(axis, axis)
        for value, axis in zip(values, axes.T, strict=True)
    )
    values, axes = np.linalg.eigh(whitening @ covariance(inside) @ whitening)
    order = np.argsort(-values)[:width]
    return axes.T[order] @ whitening @ span


def projected(vector: np.ndarray, mean: np.ndarray, weight: np.ndarray) -> list[float]:
    numbers = [sum(w * (x - m) for w, x, m in zip(row, vector, mean, strict=True)) for row in weight]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]
