"""Segments, literally: fill the list up, cut it into equal pieces."""

from __future__ import annotations


def literal_segments(n: int, n_frames: int) -> list[list[int]]:
    """docs/datasets.md, "Segments", word for word."""
    frames = list(range(n))
    while len(frames) % n_frames:
        frames.append(n - 1)
    length = len(frames) // n_frames
    return [frames[i * length : (i + 1) * length] for i in range(n_frames)]
