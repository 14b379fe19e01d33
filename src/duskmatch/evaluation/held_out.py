"""How well probabilities hold on people that the calibration has not seen: fitted on some people, measured on others.

The people are divided into folds. For each, a likelihood ratio is fitted on the pairs in which nobody of the fold takes
part, and measured on the pairs within the fold; the measurements of all folds are put together. The probabilities are
those for a prior of one half, and both kinds of pairs weigh half: with the prior of a large gallery nearly all pairs
would be certain strangers, and any calibration would look good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.calibration import (
    Kind,
    Reliability,
    SimilarityShares,
    brier,
    log_loss,
    probability,
    reliability,
)
from duskmatch.evaluation.levels import similarity_of
from duskmatch.evaluation.pair_counts import FOLDS, PairCounts, People

PRIOR = 0.5
FEWEST_PEOPLE = 4 * FOLDS
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Reliability, Brier score and log-loss of cross-fitted probabilities; kind: of the fitted ratios."""

    kind: Kind
    n_people: int
    curve: Reliability
    brier: float
    log_loss: float


def held_out(counts: PairCounts, people: People) -> HeldOut | str:
    """The figures of all pairs of query and gallery, or why they cannot be measured."""
    if people.n_independent < FEWEST_PEOPLE:
        return f"calibration needs {FEWEST_PEOPLE} people on both sides; here are {people.n_independent}"
    try:
        folds = list(_folds(counts, people))
    except EvaluationError as error:
        return str(error)
    kind: Kind = "isotonic" if all(kind == "isotonic" for kind, *_ in folds) else "platt"
    promised, same, others = (np.concatenate(columns) for columns in list(zip(*folds, strict=True))[1:])
    asked = np.concatenate([promised, promised])
    truth = np.repeat([True, False], len(promised))
    weights = np.concatenate([same / same.sum(), others / others.sum()])
    return HeldOut(
        kind,
        people.n_independent,
        reliability(asked, truth, weights),
        brier(asked, truth, weights),
        log_loss(asked, truth, weights),
    )


def _folds(counts: PairCounts, people: People) -> Iterator[tuple[Kind, Doubles, Doubles, Doubles]]:
    """Of each fold: kind, promised probability of each bin, weights of its pairs of one person and of two."""
    n_pairs = counts.same_people.sum(axis=1)
    same_people = counts.same_people / np.maximum(n_pairs, 1)[:, None]  # each person alike
    similarity = _similarities(counts, people)
    for fold in range(FOLDS):
        inside = people.fold == fold
        rest = np.arange(FOLDS) != fold
        fitted = np.ix_(rest, rest)
        same, others = same_people[~inside].sum(axis=0), counts.others_folds[fitted].sum(axis=(0, 1))
        if not same.any() or not others.any():
            raise EvaluationError("calibration needs pairs of one person and of two in each part of the people")
        there = (same + others) > 0
        shares = SimilarityShares(similarity[there], same[there] / same.sum(), others[there] / others.sum())
        ratio = shares.ratio(
            int(n_pairs[~inside].sum()),
            int(counts.others.sum()),
            n_same_people=int((n_pairs[~inside] > 0).sum()),
            n_people=people.n_independent * (FOLDS - 1) // FOLDS,
        )
        measured = same_people[inside].sum(axis=0), counts.others_folds[fold, fold]
        some = (measured[0] + measured[1]) > 0
        yield ratio.kind, probability(ratio(similarity[some]), PRIOR), measured[0][some], measured[1][some]


def _similarities(counts: PairCounts, people: People) -> Doubles:
    """(bins,) the mean similarity of the pairs in each bin, 0 where there are none."""
    level = np.arange(len(people.bin_of))
    both = (counts.same + counts.others).astype(np.float64)
    n, total = (np.bincount(people.bin_of, x, people.n_bins) for x in (both, both * similarity_of(level)))
    return np.asarray(total / np.maximum(n, 1), np.float64)
