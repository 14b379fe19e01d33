"""Labelled people for these tests: each has a vector of its own, seen with noise by day and by night."""

from __future__ import annotations

import numpy as np

from duskmatch.records import Embeddings
from tests.gallery.making import WIDTH

MODEL = "m"


def labelled(
    n_people: int,
    *,
    each: int = 2,
    noise: float = 0.6,
    seed: int = 0,
    first_pid: int = 0,
    modalities: str = "vi",
    **facts: object,
) -> Embeddings:
    """`each` tracklets of every person in each modality, every one by a camera of its own."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n_people, WIDTH))
    words = [{"v": "visible", "i": "infrared"}[letter] for letter in modalities for _ in range(each)]
    seen = own[:, None] + noise * rng.normal(size=(n_people, len(words), WIDTH))
    vectors = (seen / np.linalg.norm(seen, axis=2, keepdims=True)).reshape(-1, WIDTH)
    pids = first_pid + np.repeat(np.arange(n_people), len(words))
    cameras = np.tile(np.arange(len(words)), n_people)
    given: dict[str, object] = {"meta": {"model": MODEL}, **facts}
    return Embeddings(vectors, pids, cameras, words * n_people, **given)  # type: ignore[arg-type]
