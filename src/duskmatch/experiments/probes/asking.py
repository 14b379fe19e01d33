"""The questions that probes answer from every layer, and their accuracy on one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duskmatch.data import Dataset
from duskmatch.errors import DataError
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.experiments.probes.accuracy import OverPeople, Predicted, recalls
from duskmatch.experiments.probes.nuisances import LEAST_PEOPLE, Name, Question, Sample, Stratum, questions
from duskmatch.experiments.probes.ridge import Mask, halves, predict_others
from duskmatch.experiments.subjects import tracklets_of
from duskmatch.records import Floats, Ints


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions to every layer, and of n samples: pids, mask of the first half of the people, mask of own ones."""

    pids: Ints
    first: Mask
    own: Mask
    questions: Sequence[Question]
    seed: int

    @property
    def posed(self) -> list[Name]:
        """The names of the questions that can be asked, because they have strata."""
        return [question.name for question in self.questions if question.strata]


def samples_of(dataset: Dataset, split: ScoredSplit, *, other_places: bool = False) -> list[Sample]:
    """All tracklets of a split, with the ground truth of their walks."""
    walks = dataset.walks()
    return [Sample(one, walks.get(one.tracklet_id), other_places) for one in tracklets_of(dataset, split)]


def prepare(samples: Sequence[Sample], seed: int) -> Asked:
    """Draws the halves of the people and makes the questions; DataError if none can be asked."""
    pids = np.array([sample.tracklet.pid for sample in samples], np.int64)
    first = halves(pids, seed)
    own = np.array([not sample.other_places for sample in samples])
    asked = questions(samples, first)
    if not any(question.strata for question in asked):
        raise DataError(
            f"probes need {LEAST_PEOPLE} people of each class in both halves, so at least {2 * LEAST_PEOPLE}; got "
            f"{len(np.unique(pids))}; choose another split or data set"
        )
    return Asked(pids, first, own, asked, seed)


def answers_of(vectors: Floats, asked: Asked, *, n_shuffles: int = 0) -> list[OverPeople]:
    """The accuracy of each question's probes on one layer; with `n_shuffles`, the mean over shuffles of labels."""
    found = []
    for question in asked.questions:
        strata = list(question.strata)
        if n_shuffles:
            repeated = [one for _ in range(n_shuffles) for one in strata]
            strata = [with_shuffled_labels(one, asked, place) for place, one in enumerate(repeated)]
        if strata:
            found.append(recalls([answer(vectors, stratum, asked) for stratum in strata]))
    return found


def answer(vectors: Floats, stratum: Stratum, asked: Asked) -> Predicted:
    """The predictions for all rows of a stratum, each by a probe that was not trained on its person."""
    rows, labels = stratum.rows, stratum.labels
    pids, first = asked.pids[rows], asked.first[rows]
    predicted = predict_others(
        vectors[rows].astype(np.float64), labels, pids, first, stratum.n_classes, seed=asked.seed + 1
    )
    return Predicted(labels, predicted, pids)


def with_shuffled_labels(stratum: Stratum, asked: Asked, place: int) -> Stratum:
    """The stratum with the labels of each half permuted at random, so that vectors hold no information on them."""
    rng = np.random.Generator(np.random.Philox(key=[asked.seed, 1 + place]))
    labels, first = stratum.labels.copy(), asked.first[stratum.rows]
    for half in (first, ~first):
        labels[half] = rng.permutation(labels[half])
    return Stratum(stratum.rows, labels, stratum.n_classes)
