"""Are these two the same person? Error rates over all pairs of query and gallery, and the curve of their trade-off.

| figure | is |
|---|---|
| FAR at a threshold | the share of pairs of two people whose similarity reaches it (false acceptance) |
| TAR at a threshold | the share of pairs of one person whose similarity reaches it (true acceptance) |
| TAR at a FAR | the TAR at the least threshold whose FAR is at most that |
| EER | the rate at which FAR equals 1 - TAR, linear between thresholds |

Source: ISO/IEC 19795-1. Pairs are those of the protocol: the camera rule removes pairs, unknown people are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.intervals import people_draws
from duskmatch.evaluation.levels import LEAST, similarity_of
from duskmatch.evaluation.operating_points import (
    Figure,
    Resamples,
    allowed,
    bears,
    interval_of,
    least_rate,
    per_cent,
    share_of,
    too_few,
)
from duskmatch.evaluation.pair_counts import PairCounts, People
from duskmatch.evaluation.separation import LEAST_RANGE, Separation, rice_bins
from duskmatch.records import Ints

FARS = (0.1, 0.01, 0.001)
CURVE_POINTS = 120
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verification:
    """The figures of all pairs; n_people: independent people, on the side with fewer.

    far, frr: points of the DET curve, false acceptance falling and false rejection rising.
    """

    n_people: int
    n_same: int
    n_others: int
    eer: Figure
    tar: Mapping[float, Figure]
    far: Doubles
    frr: Doubles


def verification(counts: PairCounts, people: People, *, seed: int = 0) -> Verification:
    """EER, TAR at each of FARS and the DET curve."""
    rates = _Rates(counts)
    n_people = people.n_independent
    draws = people_draws(len(people.pids), seed)
    resamples = Resamples(
        share_of(draws, _above(counts.others_people), counts.others_people.sum(axis=1), once=1),
        share_of(draws, _above(counts.same_people), counts.same_people.sum(axis=1)),
    )
    n_same_people = int(counts.same_people.any(axis=1).sum())
    far, frr = rates.curve(least_rate(n_people))
    return Verification(
        n_people=n_people,
        n_same=rates.n_same,
        n_others=rates.n_others,
        eer=_eer(rates, resamples, n_people),
        tar={rate: _tar(rates, resamples, rate, n_people, n_same_people) for rate in FARS},
        far=far,
        frr=frr,
    )


def separation_of(counts: PairCounts) -> Separation:
    """Histograms of the distance of both kinds of pairs, and their AUC."""
    same, others = counts.same[::-1], counts.others[::-1]  # by distance, which rises as similarity falls
    there = np.flatnonzero(same + others)
    distance = 1 - similarity_of(np.arange(len(same))[::-1])
    low, high = (distance[there[0]], distance[there[-1]]) if len(there) else (0.0, 2.0)
    edges = np.linspace(low, max(high, low + LEAST_RANGE), rice_bins(int(same.sum())) + 1)
    of_same, of_others = (np.histogram(distance, edges, weights=x)[0].astype(np.int64) for x in (same, others))
    farther = _reversed_sum(others)
    n_pairs = int(same.sum()) * int(others.sum())
    wins = int((same * (2 * farther - others)).sum())  # an equal distance is half a win
    return Separation(edges, of_same, of_others, wins / (2 * n_pairs) if n_pairs else None)


class _Rates:
    """How many pairs of each kind reach each level, and one level above all."""

    def __init__(self, counts: PairCounts) -> None:
        self.same, self.others = (np.append(_reversed_sum(x), 0) for x in (counts.same, counts.others))
        self.n_same, self.n_others = int(self.same[LEAST]), int(self.others[LEAST])

    def level_at(self, far: float) -> int:
        """The least level that no more than the share `far` of other pairs reaches."""
        return int(np.searchsorted(-self.others[LEAST:], -allowed(far, self.n_others))) + LEAST

    def tar(self, level: int) -> float:
        return float(self.same[level] / self.n_same)

    def equal_error(self) -> tuple[float, int]:
        """(EER, the level where false rejections overtake false acceptances)."""
        far, frr = self.others[LEAST:] / self.n_others, 1 - self.same[LEAST:] / self.n_same
        gap = far - frr
        after = int(np.argmax(gap <= 0))
        a, b = gap[after - 1], gap[after]  # gap begins at 1
        return float(far[after - 1] + a / (a - b) * (far[after] - far[after - 1])), after + LEAST

    def curve(self, least: float) -> tuple[Doubles, Doubles]:
        """(FAR, FRR) from a FAR of 1 down to the least that is measured."""
        if least >= 1 or not self.n_same or not self.n_others:
            return np.zeros(0), np.zeros(0)
        at = np.unique([self.level_at(far) for far in np.geomspace(least, 1, CURVE_POINTS)])
        return self.others[at] / self.n_others, 1 - self.same[at] / self.n_same


def _tar(rates: _Rates, resamples: Resamples, rate: float, n_people: int, n_same_people: int) -> Figure:
    if not bears(n_people, rate) or not rates.n_same:
        return Figure(None, why=_why_no_tar(rates, rate, n_people))
    level = rates.level_at(rate)
    value = rates.tar(level)
    interval = interval_of(value, resamples.found_at(rate), n_same_people)
    return Figure(value, interval, float(similarity_of(level)))


def _why_no_tar(rates: _Rates, rate: float, n_people: int) -> str:
    least, why = least_rate(n_people), too_few("FAR", rate, n_people)
    if not rates.n_same:
        return "there is no pair of one person"
    if least >= 1:
        return f"{why}, too few for any rate"
    value = rates.tar(rates.level_at(least))
    return f"{why}; at {per_cent(least)}, the least they bear, TAR is {per_cent(value)}, so here it is at most that"


def _eer(rates: _Rates, resamples: Resamples, n_people: int) -> Figure:
    least = least_rate(n_people)
    if not rates.n_same or not rates.n_others or least >= 1:
        return Figure(
            None, why=f"EER needs pairs of one person and of two, and more than 3 people; here are {n_people}"
        )
    value, level = rates.equal_error()
    if not bears(n_people, value):
        return Figure(None, why=f"EER is at most {per_cent(least)}, the least rate that {n_people:,} people bear")
    return Figure(value, interval_of(value, resamples.equal_error(), n_people), float(similarity_of(level)))


def _above(table: Ints) -> Ints:
    """(people thresholds) how many of a person's pairs reach each bin, from the first that holds pairs."""
    return np.asarray(table[:, :0:-1].cumsum(axis=1)[:, ::-1], np.int64)


def _reversed_sum(counts: Ints) -> Ints:
    return np.asarray(counts[::-1].cumsum()[::-1], np.int64)
