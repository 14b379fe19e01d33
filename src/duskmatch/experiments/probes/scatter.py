"""How much of what varies in a layer varies between people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.intervals import people_draws, quantiles
from duskmatch.records import Ints

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Of each person: number of vectors (p), their sum (p d), sum of squares (p), about the mean of all."""

    counts: Numbers
    sums: Numbers
    squares: Numbers

    def share(self, draws: npt.NDArray[np.integer]) -> Numbers:
        """Trace of the scatter between people over the trace of all, people as often as `draws` (r people) says."""
        common = np.square(draws @ self.sums).sum(axis=1) / (draws @ self.counts)
        between = draws @ (np.square(self.sums).sum(axis=1) / self.counts) - common
        total = draws @ self.squares - common
        shares = between / np.where(total > 0, total, 1.0)
        return np.asarray(np.clip(shares, 0, 1), np.float64)  # rounding may pass either end

    @property
    def value(self) -> float:
        """Everybody once."""
        return float(self.share(np.ones((1, len(self.counts)), np.int64))[0])

    def interval(self, *, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval, people drawn with replacement."""
        return quantiles(self.share(people_draws(len(self.counts), seed)))

    @property
    def chance(self) -> float:
        """What the share is on average where vectors know nothing of people: (p - 1) / (n - 1)."""
        return (len(self.counts) - 1) / max(float(self.counts.sum()) - 1, 1)


def scatter(vectors: npt.NDArray[np.floating], pids: Ints) -> Scatter:
    """The vectors' scatter by person."""
    _, whose = np.unique(pids, return_inverse=True)
    about = vectors.astype(np.float64)
    about -= about.mean(axis=0)
    sums = np.zeros((whose.max() + 1, vectors.shape[1]))
    np.add.at(sums, whose, about)
    squares = np.zeros(len(sums))
    np.add.at(squares, whose, np.square(about).sum(axis=1))
    return Scatter(np.bincount(whose).astype(np.float64), sums, squares)
