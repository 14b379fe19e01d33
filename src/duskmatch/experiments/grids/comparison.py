"""Paired differences between rows on the same people: intervals, smallest detectable difference, verdict.

Two sources of variation are estimated separately: the tested people (bootstrap, with the same draws for both rows, both
directions and all seeds), and the training seed (the spread of the differences over seeds, with Student's t). A
difference smaller than the detectable one gets no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.document import Part
from duskmatch.evaluation.intervals import people_draws
from duskmatch.experiments.document import Doubles
from duskmatch.experiments.grids.cells import People
from duskmatch.records import DIRECTIONS, Direction

Metric = Literal["rank1", "mAP"]
Verdict = Literal["higher", "lower", "higher, one seed", "lower, one seed", "no verdict"]
COMPARED: tuple[Metric, ...] = ("rank1", "mAP")
UPPER, POWER = 0.975, 0.8  # quantile of a two-sided 95 % interval; probability of detecting a true difference
ROUNDING = 1e-12  # smaller differences are rounding


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one row, seed and direction that a comparison needs."""

    rank1: float
    mAP: float
    people: People


Seeds = Mapping[int, Mapping[Direction, Scored]]  # a row's scores by seed


class Comparison(Part):
    """One row minus another, mean over the seeds that both have, in fractions of 1.

    low, high: 95 % interval over people and seeds (over people only with one seed); detectable: the least true
    difference that such a test finds four times in five; degrees: of freedom of Student's t, null if the normal
    distribution is used. With fewer than two people only the difference is known.
    """

    row: str
    against: str
    direction: Direction | Literal["both"]
    figure: Metric
    seeds: list[int]
    difference: float
    low: float | None
    high: float | None
    people_deviation: float | None
    seed_deviation: float | None
    detectable: float | None
    degrees: float | None = None
    verdict: Verdict


def compare(
    row: Seeds,
    against: Seeds,
    direction: Direction | Literal["both"],
    figure: Metric,
    *,
    names: tuple[str, str],
) -> Comparison | None:
    """The paired difference over the seeds that both rows have; None if they share none."""
    seeds = sorted(set(row) & set(against))
    if not seeds:
        return None
    directions = list(DIRECTIONS) if direction == "both" else [direction]
    for seed in seeds:
        same_people(row[seed], against[seed], names)
    pairs = [[(row[s][d], against[s][d]) for d in directions] for s in seeds]
    per_seed = [np.mean([getattr(a, figure) - getattr(b, figure) for a, b in pair]) for pair in pairs]
    difference = float(np.mean(per_seed))
    between = float(np.std(per_seed, ddof=1)) if len(seeds) > 1 else None
    people = people_deviation([both for pair in pairs for both in pair], figure)
    reach = detectable = degrees = None
    if people is not None:
        deviation, degrees = two_sources(people, between or 0.0, len(seeds))
        reach, further = (float(stats.t.ppf(share, degrees)) * deviation for share in (UPPER, POWER))
        detectable = reach + further
    return Comparison(
        row=names[0],
        against=names[1],
        direction=direction,
        figure=figure,
        seeds=seeds,
        difference=difference,
        low=None if reach is None else difference - reach,
        high=None if reach is None else difference + reach,
        people_deviation=people,
        seed_deviation=between,
        detectable=detectable,
        degrees=degrees if degrees is not None and math.isfinite(degrees) else None,
        verdict=verdict_of(difference, detectable, len(seeds)),
    )


def two_sources(people: float, between: float, n_seeds: int) -> tuple[float, float]:
    """(deviation, degrees of freedom) of a mean over seeds.

    people: standard deviation over draws of people; between: that of the values of the n_seeds seeds.
    Source: Welch and Satterthwaite, with infinite degrees of freedom for people and n_seeds - 1 for seeds.
    """
    seeds = between * between / n_seeds
    variance = people * people + seeds
    ratio = variance / seeds if seeds else math.inf
    return math.sqrt(variance), ratio * ratio * (n_seeds - 1) if n_seeds > 1 else math.inf


def verdict_of(difference: float, detectable: float | None, n_seeds: int) -> Verdict:
    """Higher or lower if the difference could have been detected; with one seed the verdict says so."""
    if detectable is None or abs(difference) < max(detectable, ROUNDING):
        return "no verdict"
    if n_seeds == 1:
        return "higher, one seed" if difference > 0 else "lower, one seed"
    return "higher" if difference > 0 else "lower"


def people_deviation(pairs: Sequence[tuple[Scored, Scored]], figure: Metric) -> float | None:
    """Standard deviation of the mean difference of all pairs over draws of people; None with fewer than two people.

    Each draw of people is the same for all pairs; a person who is missing in a direction does not count there.
    """
    if min(len(one.people.pids) for one, _ in pairs) < 2:
        return None
    pids = np.unique(np.concatenate([one.people.pids for one, _ in pairs]))
    draws = people_draws(len(pids)).astype(np.float64)
    values = [
        resampled(one.people, figure, pids, draws) - resampled(other.people, figure, pids, draws)
        for one, other in pairs
    ]
    mean = np.mean(values, axis=0)
    return float(mean[np.isfinite(mean)].std(ddof=1))


def resampled(people: People, figure: Metric, pids: npt.NDArray[np.int64], draws: Doubles) -> Doubles:
    """(r,) the figure in each of the draws (r, pids); NaN if none of its people was drawn."""
    places = np.searchsorted(pids, people.pids)
    sums, counts = np.zeros(len(pids)), np.zeros(len(pids))
    sums[places] = people.hits if figure == "rank1" else people.precision
    counts[places] = people.n
    with np.errstate(invalid="ignore"):
        values: Doubles = (draws @ sums) / (draws @ counts)
    return values


def same_people(one: Mapping[Direction, Scored], other: Mapping[Direction, Scored], names: tuple[str, str]) -> None:
    """Refuses cells that were scored on different people, which cannot be paired."""
    for direction in DIRECTIONS:
        a, b = one[direction].people, other[direction].people
        if a.pids != b.pids or a.n != b.n:
            raise EvaluationError(
                f"rows {names[0]} and {names[1]} must be scored on the same people to be compared; {direction} has "
                f"{len(a.pids)} and {len(b.pids)} people with {sum(a.n)} and {sum(b.n)} queries"
            )
