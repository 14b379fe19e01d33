"""Entries and batches for the gallery's tests: each vector and each text can be told from every other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from duskmatch.gallery.store.entries import Entry
from duskmatch.gallery.store.writing import Batch
from duskmatch.records import Floats, Modality

WIDTH = 16


def unit(n: int, width: int = WIDTH, seed: int = 0) -> Floats:
    """n vectors of length 1."""
    drawn = np.random.default_rng(seed).normal(size=(n, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def entry(name: str, **facts: object) -> Entry:
    given: dict[str, object] = {"camera": 1, "modality": "visible", "tracklet": name, "note": f"note of {name}"}
    return Entry(name, **{**given, **facts})  # type: ignore[arg-type]


def batch(names: Sequence[str], seed: int = 0, model: str = "m", **facts: object) -> Batch:
    """Entries of these names with vectors drawn from `seed`."""
    return Batch([entry(name, **facts) for name in names], unit(len(names), seed=seed), model)


def names(n: int, prefix: str = "entry") -> list[str]:
    return [f"{prefix}-{i:04d}" for i in range(n)]


def modality(row: int) -> Modality:
    return "visible" if row % 2 else "infrared"


def all_bytes(folder: Path) -> bytes:
    """Everything in a gallery's files; to be read where this process has no connection to it (fcntl locks)."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
