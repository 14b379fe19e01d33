"""Galleries for these tests: entries with facts, a reader of their fp32 rows, and vectors of all kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from duskmatch.gallery.search.facts import Facts
from duskmatch.gallery.search.index import Index

Floats = npt.NDArray[np.float32]
SCALES = (1e-45, 1e-38, 1e-20, 1.0, 1e15, 1e38)  # subnormal to nearly the largest of fp32


@dataclass
class Entries:
    """Vectors (n d) with rows 3, 6, 9, ... and ids in another order; counts what is read of them."""

    vectors: Floats
    n_read: int = 0
    rows: npt.NDArray[np.int64] = field(init=False)
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = 3 * np.arange(1, len(self.vectors) + 1)
        self.ids = [f"{int(row) * 7919 % 10007:05}" for row in self.rows]

    def index(self, facts: Facts | None = None) -> Index:
        index = Index(self.vectors.shape[1])
        index.add(self.rows, self.vectors, facts or plain_facts(len(self.vectors)))
        return index

    def read(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, list[str]]:
        places = np.searchsorted(self.rows, rows)
        assert (self.rows[places] == rows).all()
        self.n_read += len(rows)
        return self.vectors[places], [self.ids[place] for place in places]


def plain_facts(n: int) -> Facts:
    unknown = np.full(n, np.nan)
    return Facts(np.zeros(n, np.int8), np.zeros(n, np.int64), unknown, unknown, np.full(n, -1))


def random_vectors(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


@st.composite
def vectors(draw: st.DrawFn, n: st.SearchStrategy[int], d: int) -> Floats:
    """(n d): few different numbers, so many ties, or normal ones, at any size; some rows zero, some the same."""
    n_rows = draw(n)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coarse: Any = (
        rng.integers(-1, 2, (n_rows, d)) if draw(st.booleans()) else rng.standard_normal((n_rows, d)).clip(-3, 3)
    )
    scales = rng.choice(draw(st.lists(st.sampled_from(SCALES), min_size=1, max_size=3)), (n_rows, 1))
    found = (coarse * scales).astype(np.float32)
    if n_rows:
        found[rng.random(n_rows) < 0.1] = 0
        same = rng.random(n_rows) < draw(st.sampled_from((0.0, 0.3, 1.0)))
        found[same] = found[0]
    return found
