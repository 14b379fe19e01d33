"""Bootstrap intervals of scores, over draws of people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from duskmatch.errors import EvaluationError
from duskmatch.records import Scores

LEVEL = 0.95
RESAMPLES = 2000
Floats = npt.NDArray[np.float64]


def bootstrap_interval(
    values: Float64[np.ndarray, " q"], pids: Int64[np.ndarray, " q"], *, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean over queries, people drawn with replacement.

    The tracklets of one person resemble each other, so people are the independent draws, not queries; the gallery
    is not resampled. With one person, or equal values for all people, the interval is a point and says nothing.
    """
    people, whose = np.unique(pids, return_inverse=True)
    sums = np.bincount(whose, weights=values)
    counts = np.bincount(whose).astype(np.float64)
    draws = people_draws(len(people), seed)
    return quantiles((draws @ sums) / (draws @ counts))


def paired_interval(
    values_a: Float64[np.ndarray, " q"],
    values_b: Float64[np.ndarray, " other"],
    pids: Int64[np.ndarray, " people"],
    *,
    seed: int = 0,
) -> tuple[float, float, float]:
    """(difference, low, high): the mean of a minus that of b over the same queries, and its 95 % interval.

    Row i of all three is one query. Both sides are resampled with the same people, so that variation which they share
    cancels.
    """
    if not len(values_a) == len(values_b) == len(pids) or not len(pids):
        raise EvaluationError(
            "a paired interval needs two values and a pid for each query, of one query or more; got "
            f"{len(values_a)} and {len(values_b)} values and {len(pids)} pids; score both sides on the same queries"
        )
    gap = values_a - values_b
    if not np.isfinite(gap).all():
        row = int(np.flatnonzero(~np.isfinite(gap))[0])
        raise EvaluationError(
            f"a paired interval needs finite values; row {row} has {values_a[row]} and {values_b[row]}; leave it out"
        )
    low, high = bootstrap_interval(gap, pids, seed=seed)
    return float(gap.mean()), low, high


def people_draws(n_people: int, seed: int = 0) -> Int64[np.ndarray, "r people"]:
    """Counts of each person in each resample of n people; for equal n and seed the same, which pairs two samples."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.multinomial(n_people, np.full(n_people, 1 / n_people), size=RESAMPLES)


def quantiles(resampled: Floats) -> tuple[float, float]:
    """The middle 95 % of a figure's resamples."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def rank1_interval(scores: Scores, *, seed: int = 0) -> tuple[float, float]:
    """Rank-1's 95 % interval."""
    return bootstrap_interval((scores.first_hit == 1).astype(np.float64), scores.query_pids, seed=seed)


def map_interval(scores: Scores, *, seed: int = 0) -> tuple[float, float]:
    """mAP's 95 % interval."""
    return bootstrap_interval(scores.average_precision, scores.query_pids, seed=seed)
