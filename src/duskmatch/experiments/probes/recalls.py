"""Balanced accuracy and how far it could have come out otherwise with other people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.intervals import people_draws, quantiles
from duskmatch.experiments.subjects import Difference
from duskmatch.records import Ints

Numbers = npt.NDArray[np.float64]


class Predicted(NamedTuple):
    """One stratum: what each row is, what it was taken for, whose it is."""

    labels: Ints
    predicted: Ints
    pids: Ints


@dataclass(frozen=True, slots=True)
class Recalls:
    """Right answers and answers (people cells) of each person; a cell is one class of one stratum."""

    right: Numbers
    asked: Numbers
    strata: Numbers  # (cells strata), 1 where the cell is of the stratum

    def accuracy(self, draws: npt.NDArray[np.integer]) -> Numbers:
        """Balanced accuracy with each person as often as a row of `draws` (r people) says.

        The mean over strata of the mean over the stratum's classes of the share taken for what they are; a class that
        nobody drawn has does not count.
        """
        right, asked = draws @ self.right, draws @ self.asked
        there = (asked > 0).astype(np.float64)
        recall = np.where(asked > 0, right / np.maximum(asked, 1), 0.0)  # (r cells)
        classes = there @ self.strata  # (r strata)
        means = (recall @ self.strata) / np.maximum(classes, 1)
        return np.asarray(means.sum(axis=1) / np.maximum((classes > 0).sum(axis=1), 1), np.float64)

    @property
    def value(self) -> float:
        """Everybody once."""
        return float(self.accuracy(np.ones((1, len(self.right)), np.int64))[0])

    def interval(self, *, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval, people drawn with replacement; the probes stay as they are."""
        return quantiles(self.accuracy(people_draws(len(self.right), seed)))

    def less(self, other: Recalls, *, seed: int = 0) -> Difference:
        """This less the other of the same people, both resampled alike."""
        draws = people_draws(len(self.right), seed)
        low, high = quantiles(self.accuracy(draws) - other.accuracy(draws))
        return Difference(value=self.value - other.value, low=low, high=high)


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
