"""The dot products that decide the order, and the first k entries by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64

Longs = npt.NDArray[np.int64]


def dots(vectors: Float32[np.ndarray, "m d"], query: Float32[np.ndarray, " d"]) -> Float64[np.ndarray, " m"]:
    """fp64 dots, the same to the bit on every machine and however many rows are asked for together.

    The product of two fp32 numbers is exact in fp64. They are summed by halves: the second half is added to the first
    until one is left; where their number is odd, the middle one waits. BLAS would sum in an order of its own, so equal
    vectors could differ in the last bits and would be no ties.
    """
    sums = vectors * query.astype(np.float64)
    width = sums.shape[1]
    while width > 1:
        half = (width + 1) // 2
        sums[:, : width - half] += sums[:, half:width]
        width = half
    found: npt.NDArray[np.float64] = sums[:, 0] + 0.0  # -0 becomes 0
    return found


class First:
    """The first k entries seen so far: the largest similarities, equal ones by id."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.rows = np.empty(0, np.int64)
        self.similarity = np.empty(0)
        self.ids: list[str] = []

    @property
    def least(self) -> float:
        """The similarity that an entry must reach to be among the first k."""
        return float(self.similarity[-1]) if len(self.rows) == self.k else -np.inf

    def add(self, rows: Longs, similarity: Float64[np.ndarray, " m"], ids: Sequence[str]) -> None:
        similarity, rows = np.concatenate([self.similarity, similarity]), np.concatenate([self.rows, rows])
        ids = [*self.ids, *ids]
        enough = len(rows) - self.k
        least = np.partition(similarity, enough)[enough] if enough > 0 else -np.inf
        keys = {int(i): (-similarity[i], ids[i]) for i in np.flatnonzero(similarity >= least)}
        order = sorted(keys, key=keys.__getitem__)[: self.k]
        self.rows, self.similarity, self.ids = rows[order], similarity[order], [ids[i] for i in order]
