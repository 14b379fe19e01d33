"""Is this person in the gallery at all, and who is it? Searches of people who are there, and of people who are not.

Each query is searched twice: once as it is, and once with its own person taken out of the gallery. So every person in
turn is somebody whom the gallery does not know, all other people stay, and nothing is drawn at random: the figures are
the exact means over all choices of one unknown person.

| figure | is, at a threshold |
|---|---|
| FPIR | the share of searches without the own person whose nearest entry reaches it (a false alarm) |
| FNIR | the share of searches with the own person in which none of its entries reaches it (a miss) |
| detection and identification at rank 1 | the share whose nearest entry is the own person's, and reaches it |

All three hold for this size of gallery only: with more people in it, one of them is more likely to look alike.
Source: ISO/IEC 19795-1; Phillips, Grother and Micheals, 2011, "Evaluation methods in face recognition". Queries without
a match after the camera rule are searches without the own person only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from duskmatch.evaluation.pair_counts import Nearest
from duskmatch.records import Ints

FPIRS = (0.1, 0.01)
THRESHOLDS = 256  # of the resamples
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Searches:
    """The searches of queries of known people: their nearest entries; `first`: the nearest is the own person's."""

    nearest: Nearest
    first: Mask
    gallery_people: int
    gallery_entries: int


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The figures at each of FPIRS, for a gallery of so many known people and their entries.

    n_people: people who were left out in turn; n_searches: searches without the own person.
    """

    n_people: int
    n_searches: int
    gallery_people: int
    gallery_entries: int
    fnir: Mapping[float, Figure]
    rank1: Mapping[float, Figure]


def open_set(trials: Sequence[Searches], *, seed: int = 0) -> OpenSet:
    """The figures of all trials' searches together; the gallery's size is the first trial's."""
    nearest = trials[0].nearest
    for trial in trials[1:]:
        nearest = nearest + trial.nearest
    searches = _Searches(nearest, np.concatenate([trial.first for trial in trials]), seed)
    found = {rate: searches.at(rate) for rate in FPIRS}
    return OpenSet(
        n_people=searches.n_people,
        n_searches=len(nearest.pids),
        gallery_people=trials[0].gallery_people,
        gallery_entries=trials[0].gallery_entries,
        fnir={rate: fnir for rate, (fnir, _) in found.items()},
        rank1={rate: rank1 for rate, (_, rank1) in found.items()},
    )


class _Searches:
    def __init__(self, nearest: Nearest, first: Mask, seed: int) -> None:
        self.own, self.other, self.first = nearest.own, nearest.other, first
        self.there = nearest.own >= LEAST
        people, self.whose = np.unique(nearest.pids, return_inverse=True)
        self.n_people = len(people)
        self.n_found_people = len(np.unique(self.whose[self.there]))
        self.falling = np.sort(nearest.other)[::-1]
        cuts = np.unique(self.falling[np.linspace(0, len(self.falling) - 1, THRESHOLDS).astype(np.int64)])
        draws = people_draws(self.n_people, seed)
        everyone = np.ones(len(first), np.bool_)
        alarms = share_of(draws, *self._by_person(nearest.other, cuts, everyone, everyone))
        self.not_missed, self.identified = (
            Resamples(alarms, share_of(draws, *self._by_person(nearest.own, cuts, self.there, some)))
            for some in (self.there, self.there & first)
        )

    def _by_person(self, level: Ints, cuts: Ints, of: Mask, some: Mask) -> tuple[Ints, Ints]:
        """(people thresholds) how many of a person's `some` searches reach each cut; (people) how many are in `of`."""
        n, shape = len(cuts), (self.n_people, len(cuts) + 1)
        place = np.searchsorted(cuts, level[some], side="right")  # reaches the first so many cuts
        reached = np.bincount(place + (n + 1) * self.whose[some], minlength=shape[0] * shape[1]).reshape(shape)
        return reached[:, :0:-1].cumsum(axis=1)[:, ::-1], np.bincount(self.whose[of], minlength=self.n_people)

    def level_at(self, fpir: float) -> int:
        """The least level that no more than the share `fpir` of searches without the own person reaches."""
        n = allowed(fpir, len(self.falling))
        return int(self.falling[n]) + 1 if n < len(self.falling) else LEAST

    def shares(self, level: int) -> tuple[float, float]:
        """(FNIR, detection and identification at rank 1) at a threshold."""
        reached = self.there & (self.own >= level)
        n = self.there.sum()
        return float(1 - reached.sum() / n), float((reached & self.first).sum() / n)

    def at(self, fpir: float) -> tuple[Figure, Figure]:
        if not self.there.any():
            return (Figure(None, why="no query's person is in the gallery"),) * 2
        if not bears(self.n_people, fpir):
            return self._refused(fpir)
        level = self.level_at(fpir)
        fnir, rank1 = self.shares(level)
        threshold = float(similarity_of(level))
        missed, identified = 1 - self.not_missed.found_at(fpir), self.identified.found_at(fpir)
        return (
            Figure(fnir, interval_of(fnir, missed, self.n_found_people), threshold),
            Figure(rank1, interval_of(rank1, identified, self.n_found_people), threshold),
        )

    def _refused(self, fpir: float) -> tuple[Figure, Figure]:
        least, why = least_rate(self.n_people), too_few("FPIR", fpir, self.n_people)
        if least >= 1:
            return (Figure(None, why=f"{why}, too few for any rate"),) * 2
        fnir, rank1 = self.shares(self.level_at(least))
        least_words = f"{why}; at {per_cent(least)}, the least they bear,"
        return (
            Figure(None, why=f"{least_words} FNIR is {per_cent(fnir)}, so here it is at least that"),
            Figure(None, why=f"{least_words} rank 1 is {per_cent(rank1)}, so here it is at most that"),
        )
