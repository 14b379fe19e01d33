"""A linear probe: ridge regression to one-hot labels in closed form, with equal weight for every class.

Unlike logistic regression, ridge has a closed form, so nothing has to converge. Classes have equal weight because the
figure is balanced accuracy; without it a probe of a rare label would answer "no" for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.experiments.document import Doubles
from duskmatch.records import Ints

Mask = npt.NDArray[np.bool_]

# Shrinkage in units of the number of features, the mean squared length of a standardised vector.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """Scores of a vector x: ((x - mean) / spread) @ coefficients + intercept, one for each class."""

    mean: Doubles  # (d,)
    spread: Doubles  # (d,)
    coefficients: Doubles  # (d classes)
    intercept: Doubles  # (classes,)

    def predict(self, vectors: Doubles) -> Ints:
        """The class with the largest score."""
        scores = ((vectors - self.mean) / self.spread) @ self.coefficients + self.intercept
        return np.asarray(scores.argmax(axis=1), np.int64)


def fit(vectors: Doubles, labels: Ints, n_classes: int, strength: float) -> Probe:
    """The probe of standardised features: min over B, b of sum_i w_i |x_i B + b - y_i|^2 + strength d |B|^2.

    The w_i of each class have the same sum. Solved in the dual form, an n x n system, as features often outnumber
    tracklets.
    """
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread = np.where(spread > 1e-6 * np.abs(mean) + 1e-12, spread, 1.0)  # a constant feature becomes 0
    x, y = (vectors - mean) / spread, np.eye(n_classes)[labels]
    counts = np.bincount(labels, minlength=n_classes)
    weights = (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels]
    x_mean, y_mean = np.average(x, axis=0, weights=weights), np.average(y, axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    x, y = root * (x - x_mean), root * (y - y_mean)
    shrink = strength * vectors.shape[1] * np.eye(len(x))
    coefficients = x.T @ np.linalg.solve(x @ x.T + shrink, y)  # (d classes)
    return Probe(mean, spread, coefficients, y_mean - x_mean @ coefficients)


def fit_chosen(vectors: Doubles, labels: Ints, pids: Ints, n_classes: int, seed: int) -> Probe:
    """The probe with the strength that is most accurate when trained on half of these people and tested on the rest."""
    first = halves(pids, seed)

    def inner(strength: float) -> float:
        probe = fit(vectors[first], labels[first], n_classes, strength)
        return balanced_accuracy(probe.predict(vectors[~first]), labels[~first])

    best = max(reversed(STRENGTHS), key=inner)  # of equal ones the strongest
    return fit(vectors, labels, n_classes, best)


def predict_others(vectors: Doubles, labels: Ints, pids: Ints, first: Mask, n_classes: int, *, seed: int = 0) -> Ints:
    """Each row's class, predicted by a probe not trained on its person: one is trained on `first`, one on the others.

    `first` must hold all rows of a person or none, as `halves` gives it; `seed` is that of the inner split.
    """
    predicted = np.zeros(len(labels), np.int64)
    for train in (first, ~first):
        probe = fit_chosen(vectors[train], labels[train], pids[train], n_classes, seed)
        predicted[~train] = probe.predict(vectors[~train])
    return predicted


def halves(pids: Ints, seed: int) -> Mask:
    """Mask of the rows of the first half of the people, drawn by the seed; of an odd number it has one more."""
    people = np.unique(pids)
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(people)
    return np.isin(pids, drawn[: -(-len(people) // 2)])


def balanced_accuracy(predicted: Ints, labels: Ints) -> float:
    """The mean recall of the classes in `labels`."""
    return float(np.mean([(predicted[labels == one] == one).mean() for one in np.unique(labels)]))
