"""False alarms: how often a person who is not in a gallery would still get a hit, measured on labelled people.

Galleries are drawn from the labelled people without replacement, and every draw is counted: where a query finds K of M
other people at or above a threshold, a gallery of N of them holds none of these with chance C(M - K, N) / C(M, N).
The mean of 1 minus that over the queries, people weighed alike, is the false positive identification rate (FPIR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from duskmatch.records import MODALITIES, Embeddings, Ints, Modality

LEVELS = 200  # thresholds, from half of all people found down to none
BLOCK_ROWS = 512  # queries compared together
GRID_ROWS = 2000  # queries whose similarities place the thresholds
MOST_TURNS = 8  # choices of one entry of each person
EXACT_UP_TO, STEP = 64, 1.03  # numbers of people found: above the first, rounded up to steps of 3 %
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """At each of t thresholds the people that a stranger's query finds, if each person brings `n_entries` entries.

    found, share: for each threshold the different numbers of people found and the share of queries that find so many,
    threshold after threshold; those of threshold i begin at starts[i].
    """

    n_entries: int
    starts: Int64[np.ndarray, " t"]
    found: Int64[np.ndarray, " n"]
    share: Float64[np.ndarray, " n"]

    def match_rate(self, n_people: int) -> Float64[np.ndarray, " t"]:
        """The share of people that a query finds: FMR of one query and one person."""
        return self._mean(self.found / n_people)

    def alarm_rate(self, n_drawn: int, n_people: int) -> Float64[np.ndarray, " t"]:
        """The chance that a gallery of `n_drawn` of the `n_people` holds at least one of those found."""
        return self._mean(1 - none_drawn(self.found, n_people, n_drawn))

    def _mean(self, values: Doubles) -> Doubles:
        return np.asarray(np.add.reduceat(self.share * values, self.starts))


def none_drawn(n_found: Ints, n_people: Ints | int, n_drawn: int) -> Doubles:
    """The hypergeometric chance that `n_drawn` of `n_people`, drawn without replacement, holds none of `n_found`."""
    from scipy.special import gammaln

    rest = n_people - n_found
    left = np.maximum(rest - n_drawn, 0)
    logs = gammaln(rest + 1) - gammaln(left + 1) - gammaln(n_people + 1) + gammaln(n_people - n_drawn + 1)
    return np.asarray(np.where(rest < n_drawn, 0.0, np.exp(np.minimum(logs, 0.0))))


class Limit(NamedTuple):
    """The least similarity of a hit; the false-alarm rate it is chosen for; whether that was extrapolated."""

    similarity: float
    rate: float
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Strangers:
    """False alarms of one modality's queries among another's (or the same one's) entries.

    n_queries: people who were asked about; n_people: the other people of whom galleries were drawn. one: each person
    brings one entry; several: each brings all that were labelled.
    """

    query: Modality
    entries: Modality
    n_queries: int
    n_people: int
    threshold: Float64[np.ndarray, " t"]
    one: Counts
    several: Counts

    def limit(self, sizes: Ints, rate: float) -> Limit:
        """The least threshold at which a stranger gets a hit with at most chance `rate`.

        sizes: the number of entries of each person in the gallery. They raise no more false alarms than as many people
        with one entry each, nor than people with `several.n_entries` each, on whom they are spread: one person's
        entries resemble each other, so they are found together. Both are measured, and the smaller one counts.
        """
        bounds = [self._bound(counts, drawn) for counts, drawn in self.drawn(sizes)]
        measured = [bound for bound, extrapolated in bounds if not extrapolated]
        bound = np.minimum.reduce(measured or [bound for bound, _ in bounds])
        place = int(np.argmax(bound <= rate)) if (bound <= rate).any() else len(bound) - 1
        return Limit(float(self.threshold[place]), float(bound[place]), not measured)

    def drawn(self, sizes: Ints) -> list[tuple[Counts, int]]:
        """The number of people of a drawn gallery, for each kind of counts."""
        return [(counts, int(np.ceil(sizes / counts.n_entries).sum())) for counts in (self.one, self.several)]

    def extrapolated(self, sizes: Ints) -> bool:
        """True if the labelled people are too few to draw such a gallery from."""
        return all(drawn > self.n_people for _, drawn in self.drawn(sizes))

    def least_rate(self, sizes: Ints) -> float:
        """The rule of three: no rate below 3 / (independent non-matching people, or pairs) can be told from zero."""
        least = min(1.0, 3 / self.n_queries)
        if not self.extrapolated(sizes):
            return least
        drawn = min(drawn for _, drawn in self.drawn(sizes))
        return max(least, 1 - (1 - min(1.0, 3 / self.n_pairs)) ** drawn)

    @property
    def n_pairs(self) -> int:
        return max(1, self.n_queries * self.n_people // 2)

    def _bound(self, counts: Counts, drawn: int) -> tuple[Doubles, bool]:
        """The expected rate of one more person (of one more pair, extrapolated) as the last of those counted."""
        most = min(drawn, self.n_people)
        bound = _with_one_more(counts.alarm_rate(most, self.n_people), self.n_queries)
        if drawn <= self.n_people:
            return bound, False
        one_pair = _with_one_more(counts.match_rate(self.n_people), self.n_pairs)
        return np.maximum(bound, 1 - (1 - one_pair) ** drawn), True


def _with_one_more(rate: Doubles, n: int) -> Doubles:
    """The mean if the next one raises an alarm.

    A threshold that keeps this below a rate keeps the chance of a new one, exchangeable with those counted, below it.
    Source: Vovk et al., Algorithmic Learning in a Random World, 2005 (conformal prediction).
    """
    return (n * rate + 1) / (n + 1)


class _Side(NamedTuple):
    """One modality's labelled tracklets, person by person: whose each is, and where each person's begin."""

    vectors: Doubles
    whose: Ints  # of each row, the place in `pids`
    pids: Ints
    starts: Ints


def measure(labelled: Embeddings) -> list[Strangers]:
    """The false alarms of each modality of query and entries of which there are two people or more."""
    sides = {modality: _side(labelled, modality) for modality in MODALITIES}
    pairs = [(a, b) for a in MODALITIES for b in MODALITIES]
    return [_measured(a, b, sides[a], sides[b]) for a, b in pairs if _enough(sides[a], sides[b])]


def _enough(queries: _Side, entries: _Side) -> bool:
    return len(queries.pids) > 1 and len(entries.pids) > 1


def _side(labelled: Embeddings, modality: Modality) -> _Side:
    rows = np.flatnonzero((np.array(labelled.modalities) == modality) & (labelled.pids >= 0))
    rows = rows[np.argsort(labelled.pids[rows], kind="stable")]
    pids, starts, whose = np.unique(labelled.pids[rows], return_index=True, return_inverse=True)
    return _Side(labelled.vectors[rows].astype(np.float64), whose, pids, starts)


def _measured(query: Modality, entry: Modality, queries: _Side, entries: _Side) -> Strangers:
    n_each = np.diff([*entries.starts, len(entries.whose)])
    turns = _turns(entries, n_each)
    n_people = len(entries.pids) - 1
    threshold = _thresholds(queries, entries)
    weight = 1 / np.bincount(queries.whose)[queries.whose] / len(queries.pids)
    tallies = np.zeros((2, len(threshold), n_people + 1))
    for rows, sims in _blocks(queries, entries, BLOCK_ROWS):
        best = np.maximum.reduceat(sims, entries.starts, axis=1)
        _count(tallies[1], best, threshold, weight[rows])
        for turn in turns:
            _count(tallies[0], sims[:, turn], threshold, weight[rows] / len(turns))
    several = max(1, int(np.quantile(n_each, 0.25)))
    one, all_of_them = (_counts(tally, n) for tally, n in zip(tallies, (1, several), strict=True))
    return Strangers(query, entry, len(queries.pids), n_people, threshold, one, all_of_them)


def _turns(entries: _Side, n_each: Ints) -> list[Ints]:
    """Choices of one entry of each person: all entries of a person have their turn, beginning at a random one."""
    first = np.random.Generator(np.random.Philox(0)).integers(n_each)
    return [entries.starts + (first + turn) % n_each for turn in range(min(MOST_TURNS, int(n_each.max())))]


def _blocks(queries: _Side, entries: _Side, n_rows: int) -> Iterator[tuple[slice, Doubles]]:
    """Similarities of some queries with all entries; -inf with those of their own person."""
    for start in range(0, len(queries.whose), n_rows):
        rows = slice(start, start + n_rows)
        sims = queries.vectors[rows] @ entries.vectors.T
        own = queries.pids[queries.whose[rows], None] == entries.pids[entries.whose]
        sims[own] = -np.inf
        yield rows, sims


def _thresholds(queries: _Side, entries: _Side) -> Doubles:
    """Similarities that half of all people down to none reach, the steps between their numbers alike."""
    step = max(1, len(queries.whose) // GRID_ROWS)
    some = queries._replace(vectors=queries.vectors[::step], whose=queries.whose[::step])
    best = np.concatenate(
        [np.maximum.reduceat(sims, entries.starts, axis=1) for _, sims in _blocks(some, entries, BLOCK_ROWS)]
    )
    values = np.sort(best[np.isfinite(best)])[::-1]
    places = np.unique(np.geomspace(1, max(1, len(values) // 2), LEVELS).astype(int)) - 1
    highest = max(float(sims.max()) for _, sims in _blocks(queries, entries, BLOCK_ROWS)) if step > 1 else values[0]
    return np.unique([*values[places], np.nextafter(highest, np.inf)])


def _count(tally: Doubles, sims: Doubles, threshold: Doubles, weight: Doubles) -> None:
    """Adds each query's weight to the number of people (q people) it finds at each threshold."""
    n_levels, n_found = tally.shape
    level = np.searchsorted(threshold, sims, side="right")  # of the first `level` thresholds, this one is reached
    each = np.arange(len(sims))[:, None] * (n_levels + 1) + level
    reached = np.bincount(each.ravel(), minlength=len(sims) * (n_levels + 1)).reshape(len(sims), -1)
    found = np.cumsum(reached[:, :0:-1], axis=1)[:, ::-1]  # (q t): people at or above
    places = np.arange(n_levels) * n_found + np.minimum(found, n_found - 1)
    np.add.at(tally.reshape(-1), places, np.broadcast_to(weight[:, None], places.shape))


def _counts(tally: Doubles, n_entries: int) -> Counts:
    """The tally (t, people + 1) without zeros; large numbers of people are rounded up."""
    numbers = _numbers(tally.shape[1] - 1)
    groups = np.add.reduceat(tally, np.concatenate([[0], numbers[:-1] + 1]), axis=1)  # (t numbers)
    level, place = np.nonzero(groups)
    share = (groups / groups.sum(axis=1, keepdims=True))[level, place].round(9)
    return Counts(n_entries, np.searchsorted(level, np.arange(len(groups))), numbers[place], share)


def _numbers(most: int) -> Ints:
    """The numbers of people found that are told apart: every one up to EXACT_UP_TO, then in steps, the most last."""
    exact = np.arange(min(EXACT_UP_TO, most) + 1)
    n_steps = max(0, int(np.ceil(np.log(most / EXACT_UP_TO) / np.log(STEP)))) if most else 0
    steps = np.floor(EXACT_UP_TO * STEP ** np.arange(1, n_steps))
    return np.unique(np.concatenate([exact, steps[steps < most], [most]]).astype(np.int64))
