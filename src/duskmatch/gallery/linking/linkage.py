"""Average linkage with constraints: groups of entries that are one person, from log-likelihood ratios of their pairs.

The likelihood ratio of two groups is the mean of the log-likelihood ratios of all their pairs (average linkage, UPGMA).
The two permitted groups with the highest mean are linked first, of equal ones those of the lowest numbers, and so on.
Two groups of which any pair is barred are never linked. Single linkage, the highest pair, would chain strangers.

Source: Sokal and Michener, 1958 (average linkage); Müllner, "Modern hierarchical, agglomerative clustering
algorithms", 2011, generic algorithm (nearest neighbours kept). Ratios are multiples of STEP, so that sums are exact and
no order of adding changes a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from duskmatch.errors import GalleryError
from duskmatch.records import Ints

STEP = 2.0**-16  # sums of up to 2^53 / 2^16 / |ratio| pairs are exact, about 10^9 of 100
# In log-odds, 0 for even odds. The mean over pairs understates what several pairs show together, so the best one is
# below 0. Chosen on calibration people alone, precision weighing twice as much as recall: see docs/linking.md.
MARGIN = -1.5
LARGEST = 1e6  # of a margin


class Merge(NamedTuple):
    """Two groups that were linked: `kept` goes on with the members of both. log_ratio: the mean of their pairs."""

    kept: int
    gone: int
    log_ratio: float


@dataclass(frozen=True, slots=True)
class Grouping:
    """The person of each group, numbered from 0 by the lowest group in it, and the merges that led there.

    log_prior_odds: of two of these people being one, ln(1 / people) unless a prior was given. highest: the mean log
    ratio of the nearest two groups before anything was linked, -inf where no two may be linked.
    """

    person: Int64[np.ndarray, " g"]
    merges: tuple[Merge, ...]
    log_prior_odds: float
    highest: float

    @property
    def n_people(self) -> int:
        return len(self.person) - len(self.merges)


def rounded(log_ratio: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Log-likelihood ratios as multiples of STEP."""
    return np.asarray(np.round(log_ratio / STEP) * STEP)


def link(
    total: Float64[np.ndarray, "g g"], sizes: Ints, *, margin: float = MARGIN, prior: float | None = None
) -> Grouping:
    """Links groups as long as the log-odds of each link reach `margin`.

    total[i, j]: the sum over the pairs of groups i and j, -inf where they are barred; it is used up. sizes: members.
    prior: the probability that two people are the same one, before they were compared; None: 1 / (people + 1), with the
    number of people that this linking ends with.
    """
    check(margin, prior)
    fixed = None if prior is None else logit(prior)
    groups = _Groups(total, sizes)
    highest = float(groups.best.max(initial=-np.inf))
    found = [*groups.merges(margin if fixed is None else margin - fixed)]
    n = accepted([merge.log_ratio for merge in found], len(sizes), margin, fixed)
    odds = -math.log(max(1, len(sizes) - n)) if fixed is None else fixed
    return Grouping(people_of(len(sizes), found[:n]), tuple(found[:n]), odds, highest)


def accepted(log_ratios: Sequence[float], n_groups: int, margin: float, log_prior_odds: float | None) -> int:
    """How many of the merges, the highest first, are links: the most of which each reaches the margin.

    The prior odds are those of the number of people which that many links leave, 1 / people, unless they are given.
    """
    for n in range(len(log_ratios), 0, -1):
        odds = -math.log(n_groups - n) if log_prior_odds is None else log_prior_odds
        if log_ratios[n - 1] + odds >= margin:
            return n
    return 0


def merges(total: Float64[np.ndarray, "g g"], sizes: Ints, least: float) -> Iterator[Merge]:
    """The merges in their order, down to a mean of `least`; `total` is used up.

    Time of order g^2 for usual data, g^3 at worst.
    """
    return _Groups(total, sizes).merges(least)


class _Groups:
    """Groups, and of each the nearest one of a higher number: the highest mean, of equal ones the lowest number."""

    def __init__(self, total: Float64[np.ndarray, "g g"], sizes: Ints) -> None:
        np.fill_diagonal(total, -np.inf)
        self.total, self.size = total, np.array(sizes, np.float64)
        self.best = np.full(len(sizes), -np.inf)
        self.nearest = np.full(len(sizes), -1)
        for i in range(len(sizes)):
            self._look(i)

    def merges(self, least: float) -> Iterator[Merge]:
        """Joins the nearest two, again and again, down to a mean of `least`."""
        while (found := self.nearest_two()) is not None and found.log_ratio >= least:
            yield found
            self.join(found.kept, found.gone)

    def nearest_two(self) -> Merge | None:
        """The permitted pair with the highest mean; None if no pair is permitted."""
        if not len(self.best) or self.best[a := int(self.best.argmax())] == -np.inf:
            return None
        return Merge(a, int(self.nearest[a]), float(self.best[a]))

    def join(self, a: int, b: int) -> None:
        """Puts the members of b into a; nothing is near b any more."""
        self.total[a] += self.total[b]
        self.total[a, a] = -np.inf
        self.total[:, a] = self.total[a]
        self.total[b] = self.total[:, b] = -np.inf
        self.size[a] += self.size[b]
        stale = np.flatnonzero((self.nearest == a) | (self.nearest == b))
        self._offer(a)
        for i in {a, b, *stale.tolist()}:
            self._look(i)

    def _look(self, i: int) -> None:
        means = self.total[i, i + 1 :] / (self.size[i] * self.size[i + 1 :])
        j = int(means.argmax()) if len(means) else 0
        known = len(means) > 0 and means[j] > -np.inf
        self.best[i], self.nearest[i] = (means[j], i + 1 + j) if known else (-np.inf, -1)

    def _offer(self, a: int) -> None:
        """Tells the groups of lower numbers of a changed group, in case it is now nearer than their nearest."""
        best, nearest = self.best[:a], self.nearest[:a]
        means = self.total[:a, a] / (self.size[:a] * self.size[a])
        nearer = (means > best) | ((means == best) & (a < nearest) & (means > -np.inf))
        best[nearer], nearest[nearer] = means[nearer], a


def people_of(n: int, found: Sequence[Merge]) -> Ints:
    """The person of each of n groups after these merges, numbered from 0 in the order of their lowest groups."""
    into = np.arange(n)
    for merge in found:
        into[merge.gone] = merge.kept
    for i in range(n):  # kept is below gone, and so known already
        into[i] = into[into[i]]
    return np.unique(into, return_inverse=True)[1].astype(np.int64)


def check(margin: float, prior: float | None) -> None:
    """Refuses a margin and a prior that are none."""
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not -LARGEST <= margin <= LARGEST:
        raise GalleryError(f"margin must be a finite number of log-odds; got {margin!r}")
    if prior is not None and (isinstance(prior, bool) or not isinstance(prior, int | float) or not 0 < prior < 1):
        raise GalleryError(f"prior must be a probability above 0 and below 1; got {prior!r}")


def logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)
