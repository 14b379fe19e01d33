"""Operating points: what is found at a given rate of false alarms, its interval, and when it is refused.

A rate is refused below 3 divided by the number of independent people: what never happened to n people may still happen
to 3 of n (the rule of three, 95 %). Intervals are bootstrap intervals over people, the threshold chosen anew each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.calibration import UNSEEN
from duskmatch.evaluation.intervals import quantiles
from duskmatch.records import Ints

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A share with its interval and the similarity of the threshold; or None, and why it is refused."""

    value: float | None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    why: str | None = None


def least_rate(n_people: int) -> float:
    """The least rate that so many independent people bear; above 1 if they bear none."""
    return UNSEEN / n_people if n_people else math.inf


def bears(n_people: int, rate: float) -> bool:
    """True if so many independent people are enough for the rate."""
    return n_people * rate >= UNSEEN * (1 - 1e-9)


def allowed(rate: float, n: int) -> int:
    """How many of n may be false alarms at a rate."""
    return math.floor(rate * n + 1e-9)


def per_cent(share: float) -> str:
    """0.03 as 3 %, 0.70258 as 70.3 %."""
    return f"{100 * share:.3g} %"


def too_few(what: str, rate: float, n_people: int) -> str:
    """The sentence on a rate that is refused, up to what can be said instead."""
    return f"{what} {per_cent(rate)} needs {math.ceil(UNSEEN / rate - 1e-9):,} people, here are {n_people:,}"


@dataclass(frozen=True, slots=True)
class Resamples:
    """Draws of people: the false alarm rate and the share found (draws thresholds), both falling along thresholds."""

    false: Doubles
    found: Doubles

    def found_at(self, rate: float) -> Doubles:
        """(draws,) the share found where the false alarm rate falls to `rate`."""
        return self._where(self.false - rate, self.found)

    def equal_error(self) -> Doubles:
        """(draws,) the rate where as many are falsely accepted as are falsely rejected."""
        return self._where(self.false - (1 - self.found), self.false)

    def _where(self, excess: Doubles, figure: Doubles) -> Doubles:
        """`figure` where `excess`, which falls, becomes 0; linear between thresholds."""
        rows = np.arange(len(excess))
        after = np.clip((excess > 0).sum(axis=1), 1, excess.shape[1] - 1)
        a, b = excess[rows, after - 1], excess[rows, after]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(a > b, np.clip(a / (a - b), 0, 1), 1.0)
        low, high = figure[rows, after - 1], figure[rows, after]
        return np.asarray(low + share * (high - low), np.float64)


def share_of(draws: Ints, above: Ints, total: Ints, once: int = 0) -> Doubles:
    """(draws thresholds) the share at or above each threshold, of counts by person; never rising, 0 in the end.

    above (people thresholds), total (people). once: 1 if each pair is counted for both of its people: of a pair drawn
    m and n times the weight is then m + n - 1, which is m n to first order.
    """
    weights = draws.astype(np.float64)
    found = weights @ above - once * above.sum(axis=0) / 2
    of = weights @ total - once * total.sum() / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(found / of[:, None], 0, 1)
    share[of <= 0] = np.nan
    last = np.where(of > 0, 0.0, np.nan)[:, None]
    return np.minimum.accumulate(np.concatenate([share, last], axis=1), axis=1)


def interval_of(value: float, resampled: Doubles, n_people: int) -> tuple[float, float]:
    """The middle 95 % of a share's resamples; of a share of 0 or 1, the end that so many people cannot rule out."""
    there = resampled[np.isfinite(resampled)]
    low, high = quantiles(there) if len(there) else (0.0, 1.0)
    unseen = min(1.0, least_rate(n_people))
    low = 1 - unseen if value == 1 else low
    high = unseen if value == 0 else high
    return max(0.0, min(low, value)), min(1.0, max(high, value))
