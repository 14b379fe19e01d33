"""Balanced accuracy of probes, and share of variance between people, with bootstrap intervals over people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.intervals import people_draws, quantiles
from duskmatch.experiments.document import Difference, Doubles
from duskmatch.records import Ints

Draws = npt.NDArray[np.integer]  # (r people): how often each person is drawn


@dataclass(frozen=True, slots=True)
class OverPeople:
    """A figure of a sample of people, with its bootstrap interval; `drawn` returns the figure of each resample (r,).

    chance: the expected figure of vectors without information, if it follows from the sample's size.
    """

    n_people: int
    drawn: Callable[[Draws], Doubles]
    chance: float | None = None

    @property
    def value(self) -> float:
        """The figure of the sample itself."""
        return float(self.drawn(np.ones((1, self.n_people), np.int64))[0])

    def interval(self, *, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval, with people drawn with replacement; probes are not trained again."""
        return quantiles(self.drawn(people_draws(self.n_people, seed)))

    def minus(self, other: OverPeople, *, seed: int = 0) -> Difference:
        """This figure minus another of the same people, who are resampled alike for both."""
        draws = people_draws(self.n_people, seed)
        low, high = quantiles(self.drawn(draws) - other.drawn(draws))
        return Difference(value=self.value - other.value, low=low, high=high)


class Predicted(NamedTuple):
    """The predictions in one stratum: each row's label, predicted label and pid."""

    labels: Ints
    predicted: Ints
    pids: Ints


def recalls(strata: Sequence[Predicted]) -> OverPeople:
    """Balanced accuracy: the mean over strata of the mean recall of their classes.

    `right` and `asked` are counts of correct and of all predictions (people cells); a cell is one class of one stratum.
    Classes without anyone in a resample do not count there.
    """
    people = np.unique(np.concatenate([one.pids for one in strata]))
    cells = [(place, label) for place, one in enumerate(strata) for label in np.unique(one.labels)]
    right, asked = np.zeros((len(people), len(cells))), np.zeros((len(people), len(cells)))
    for cell, (place, label) in enumerate(cells):
        one = strata[place]
        own = one.labels == label
        rows = np.searchsorted(people, one.pids[own])
        np.add.at(asked[:, cell], rows, 1)
        np.add.at(right[:, cell], rows, one.predicted[own] == label)
    of_stratum = np.zeros((len(cells), len(strata)))
    of_stratum[np.arange(len(cells)), [place for place, _ in cells]] = 1

    def drawn(draws: Draws) -> Doubles:
        n_right, n_asked = draws @ right, draws @ asked
        there = (n_asked > 0).astype(np.float64)
        recall = np.where(n_asked > 0, n_right / np.maximum(n_asked, 1), 0.0)  # (r cells)
        classes = there @ of_stratum  # (r strata)
        means = (recall @ of_stratum) / np.maximum(classes, 1)
        return np.asarray(means.sum(axis=1) / np.maximum((classes > 0).sum(axis=1), 1), np.float64)

    return OverPeople(len(people), drawn)


def scatter(vectors: npt.NDArray[np.floating], pids: Ints) -> OverPeople:
    """The share of variance between people: the trace of the scatter between people over that of the total scatter.

    For vectors that do not depend on the person, the share of p people with n vectors is (p - 1) / (n - 1) on average.
    """
    _, whose = np.unique(pids, return_inverse=True)
    about = vectors.astype(np.float64)
    about -= about.mean(axis=0)
    sums = np.zeros((whose.max() + 1, vectors.shape[1]))
    np.add.at(sums, whose, about)
    squares = np.zeros(len(sums))
    np.add.at(squares, whose, np.square(about).sum(axis=1))
    counts = np.bincount(whose).astype(np.float64)

    def drawn(draws: Draws) -> Doubles:
        common = np.square(draws @ sums).sum(axis=1) / (draws @ counts)
        between = draws @ (np.square(sums).sum(axis=1) / counts) - common
        total = draws @ squares - common
        shares = between / np.where(total > 0, total, 1.0)
        return np.asarray(np.clip(shares, 0, 1), np.float64)  # rounding may exceed the range

    return OverPeople(len(counts), drawn, chance=(len(counts) - 1) / max(len(pids) - 1, 1))
