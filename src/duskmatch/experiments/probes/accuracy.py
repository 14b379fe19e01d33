"""Figures of a layer over people: balanced accuracy of a probe, share of variance between people; with intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.intervals import people_draws, quantiles
from duskmatch.experiments.document import Difference, Doubles
from duskmatch.records import Ints

Draws = npt.NDArray[np.integer]  # (r people) how often each person is drawn


class OverPeople(ABC):
    """A figure of a sample of people, with its bootstrap interval."""

    @property
    @abstractmethod
    def n_people(self) -> int: ...

    @abstractmethod
    def drawn(self, draws: Draws) -> Doubles:
        """(r,) the figure of each resample."""

    @property
    def value(self) -> float:
        """The figure with every person once."""
        return float(self.drawn(np.ones((1, self.n_people), np.int64))[0])

    def interval(self, *, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval, people drawn with replacement; the probes stay as they are."""
        return quantiles(self.drawn(people_draws(self.n_people, seed)))

    def less(self, other: OverPeople, *, seed: int = 0) -> Difference:
        """This less the other of the same people, both resampled alike."""
        draws = people_draws(self.n_people, seed)
        low, high = quantiles(self.drawn(draws) - other.drawn(draws))
        return Difference(value=self.value - other.value, low=low, high=high)


class Predicted(NamedTuple):
    """One stratum: each row's label, predicted label and person."""

    labels: Ints
    predicted: Ints
    pids: Ints


@dataclass(frozen=True, slots=True)
class Recalls(OverPeople):
    """Correct and all predictions (people cells) of each person; a cell is one class of one stratum."""

    right: Doubles
    asked: Doubles
    strata: Doubles  # (cells strata), 1 where the cell is of the stratum

    @property
    def n_people(self) -> int:
        return len(self.right)

    def drawn(self, draws: Draws) -> Doubles:
        """Balanced accuracy: the mean over strata of the mean recall of the stratum's classes.

        A class that nobody drawn has does not count.
        """
        right, asked = draws @ self.right, draws @ self.asked
        there = (asked > 0).astype(np.float64)
        recall = np.where(asked > 0, right / np.maximum(asked, 1), 0.0)  # (r cells)
        classes = there @ self.strata  # (r strata)
        means = (recall @ self.strata) / np.maximum(classes, 1)
        return np.asarray(means.sum(axis=1) / np.maximum((classes > 0).sum(axis=1), 1), np.float64)


def recalls(strata: Sequence[Predicted]) -> Recalls:
    """The recalls of all strata together, over the people who are in any of them."""
    people = np.unique(np.concatenate([one.pids for one in strata]))
    cells = [(place, label) for place, one in enumerate(strata) for label in np.unique(one.labels)]
    right, asked = np.zeros((len(people), len(cells))), np.zeros((len(people), len(cells)))
    for cell, (place, label) in enumerate(cells):
        one = strata[place]
        own = one.labels == label
        rows = np.searchsorted(people, one.pids[own])
        np.add.at(asked[:, cell], rows, 1)
        np.add.at(right[:, cell], rows, one.predicted[own] == label)
    of = np.zeros((len(cells), len(strata)))
    of[np.arange(len(cells)), [place for place, _ in cells]] = 1
    return Recalls(right, asked, of)


@dataclass(frozen=True, slots=True)
class Scatter(OverPeople):
    """Of each person: number of vectors (p), their sum (p d), sum of squares (p), about the mean of all."""

    counts: Doubles
    sums: Doubles
    squares: Doubles

    @property
    def n_people(self) -> int:
        return len(self.counts)

    def drawn(self, draws: Draws) -> Doubles:
        """Trace of the scatter between people over the trace of all."""
        common = np.square(draws @ self.sums).sum(axis=1) / (draws @ self.counts)
        between = draws @ (np.square(self.sums).sum(axis=1) / self.counts) - common
        total = draws @ self.squares - common
        shares = between / np.where(total > 0, total, 1.0)
        return np.asarray(np.clip(shares, 0, 1), np.float64)  # rounding may pass either end

    @property
    def chance(self) -> float:
        """What the share is on average where vectors know nothing of people: (p - 1) / (n - 1)."""
        return (len(self.counts) - 1) / max(float(self.counts.sum()) - 1, 1)


def scatter(vectors: npt.NDArray[np.floating], pids: Ints) -> Scatter:
    """The vectors' scatter by person."""
    _, whose = np.unique(pids, return_inverse=True)
    about = vectors.astype(np.float64)
    about -= about.mean(axis=0)
    sums = np.zeros((whose.max() + 1, vectors.shape[1]))
    np.add.at(sums, whose, about)
    squares = np.zeros(len(sums))
    np.add.at(squares, whose, np.square(about).sum(axis=1))
    return Scatter(np.bincount(whose).astype(np.float64), sums, squares)
