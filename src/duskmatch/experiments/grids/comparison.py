"""Is one row better than another? Differences on the same people, their intervals, and what could have been seen.

Two sources of chance, kept apart: which people are tested (bootstrap, the same draws for both rows), and which seed the
training had (the spread of the differences seed by seed). A difference below the smallest that could have been detected
gets no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.intervals import people_draws
from duskmatch.experiments.grids.cells import CellResult, People
from duskmatch.records import DIRECTIONS, Direction

Figure = Literal["rank1", "mAP"]
COMPARED: tuple[Figure, ...] = ("rank1", "mAP")
LEVEL_Z, POWER_Z = 1.959964, 0.841621  # two-sided 5 %, and 80 % power
Doubles = npt.NDArray[np.float64]


class Difference(BaseModel):
    """A row less the one it stands against, mean over the seeds that both have, in fractions of 1.

    interval: 95 %, people and seeds together (people alone where there is one seed); detectable: the least true
    difference that such a test finds four times in five.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: str
    against: str
    direction: Direction | Literal["both"]
    figure: Figure
    seeds: list[int]
    difference: float
    low: float
    high: float
    people_deviation: float
    seed_deviation: float | None
    detectable: float
    verdict: Literal["higher", "lower", "no verdict"]


def compare(
    row: Mapping[int, CellResult],
    against: Mapping[int, CellResult],
    direction: Direction | Literal["both"],
    figure: Figure,
) -> Difference | None:
    """The paired difference over the seeds that both rows have; None where they share none."""
    seeds = sorted(set(row) & set(against))
    if not seeds:
        return None
    directions = list(DIRECTIONS) if direction == "both" else [direction]
    per_seed, draws = [], []
    for seed in seeds:
        own, other = (
            np.mean([resampled(cell.people[d], figure) for d in directions], axis=0)
            for cell in (row[seed], against[seed])
        )
        same_people(row[seed], against[seed])
        per_seed.append(_value(row[seed], directions, figure) - _value(against[seed], directions, figure))
        draws.append(own - other)
    difference = float(np.mean(per_seed))
    people = float(np.mean(draws, axis=0).std(ddof=1))
    between = float(np.std(per_seed, ddof=1)) if len(seeds) > 1 else None
    deviation = float(np.hypot(people, (between or 0.0) / len(seeds) ** 0.5))
    detectable = (LEVEL_Z + POWER_Z) * deviation
    first = next(iter(row.values())).row, next(iter(against.values())).row
    return Difference(
        row=first[0],
        against=first[1],
        direction=direction,
        figure=figure,
        seeds=seeds,
        difference=difference,
        low=difference - LEVEL_Z * deviation,
        high=difference + LEVEL_Z * deviation,
        people_deviation=people,
        seed_deviation=between,
        detectable=detectable,
        verdict="no verdict" if abs(difference) < detectable else "higher" if difference > 0 else "lower",
    )


def resampled(people: People, figure: Figure) -> Doubles:
    """(r,) the figure with people drawn with replacement; equal draws for equal numbers of people."""
    sums = np.asarray(people.hits if figure == "rank1" else people.precision, np.float64)
    counts = np.asarray(people.n, np.float64)
    draws = people_draws(len(counts))
    values: Doubles = (draws @ sums) / (draws @ counts)
    return values


def same_people(one: CellResult, other: CellResult) -> None:
    """Refuses cells that were scored on other people, who cannot be paired."""
    for direction in DIRECTIONS:
        a, b = one.people[direction], other.people[direction]
        if a.pids != b.pids or a.n != b.n:
            raise EvaluationError(
                f"rows {one.row} and {other.row} must be scored on the same people to be compared; {direction} has "
                f"{len(a.pids)} and {len(b.pids)} people with {sum(a.n)} and {sum(b.n)} queries"
            )


def _value(cell: CellResult, directions: Sequence[Direction], figure: Figure) -> float:
    return float(np.mean([getattr(cell.directions[d], figure) for d in directions]))
