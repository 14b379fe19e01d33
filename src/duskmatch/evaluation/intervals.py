"""How far a score could have come out otherwise with other people: bootstrap intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from duskmatch.records import Scores

LEVEL = 0.95
RESAMPLES = 2000


def bootstrap_interval(
    values: Float64[np.ndarray, " q"], pids: Int64[np.ndarray, " q"], *, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean over queries, people drawn with replacement.

    The tracklets of one person resemble each other, so people are the independent draws, not queries; the gallery
    stays as it is. With one person, or all people alike, the interval is a point: it says nothing then.
    """
    people, whose = np.unique(pids, return_inverse=True)
    sums = np.bincount(whose, weights=values)
    counts = np.bincount(whose).astype(np.float64)
    draws = people_draws(len(people), seed=seed)
    means: npt.NDArray[np.float64] = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def people_draws(n_people: int, *, seed: int = 0) -> Int64[np.ndarray, "r people"]:
    """How often each person is drawn in each resampling; equal numbers of people get equal draws, which pairs them."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.multinomial(n_people, np.full(n_people, 1 / n_people), size=RESAMPLES)


def rank1_interval(scores: Scores, *, seed: int = 0) -> tuple[float, float]:
    """Rank-1's 95 % interval."""
    return bootstrap_interval((scores.first_hit == 1).astype(np.float64), scores.query_pids, seed=seed)


def map_interval(scores: Scores, *, seed: int = 0) -> tuple[float, float]:
    """mAP's 95 % interval."""
    return bootstrap_interval(scores.average_precision, scores.query_pids, seed=seed)
