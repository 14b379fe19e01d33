"""Fitting a gallery's calibration to labelled people, and how well it holds on people it was not fitted to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from duskmatch import __version__
from duskmatch.errors import EvaluationError, GalleryError
from duskmatch.evaluation.calibration import (
    Calibration,
    brier,
    calibration_error,
    fit_calibration,
    log_loss,
    pair_of,
    probability,
)
from duskmatch.evaluation.separation import PairBands
from duskmatch.gallery.probability.calibrated import Calibrated, Goodness, Quality
from duskmatch.gallery.probability.strangers import measure
from duskmatch.records import CameraRule, Embeddings, Modality

FOLDS = 5  # of people; each is judged by a calibration fitted to the other four
SHARES = (1 / 8, 3 / 8, 3 / 4)  # of the labelled people, in the galleries that the figures are for
SHOWN = 10  # hits of a query that a person looks at
LEAST = 1e-6  # a similarity is taken for no probability of 0 or 1
MODALITY_PAIRS: tuple[tuple[Modality, Modality], ...] = (
    ("visible", "visible"), ("infrared", "infrared"), ("visible", "infrared"),
)  # fmt: skip
MOST_ROWS = 3000  # of a fold and modality, of which pairs are made
Doubles = npt.NDArray[np.float64]


def fitted(labelled: Sequence[Embeddings], names: Sequence[str], camera_rule: CameraRule, model: str) -> Calibrated:
    """The calibration of labelled people; those of each data set are other people than those of the next.

    Rows with pid -1 are left out. GalleryError where nobody was seen twice or there is one person only.
    """
    _check_apart(labelled, names)
    everyone = put_together(labelled)
    n_people = len(np.unique(everyone.pids))
    if n_people < 2:
        raise GalleryError(
            f"a calibration needs two labelled people or more; got {n_people} (rows with pid -1 are left out); "
            "name data with more people"
        )
    try:
        calibration = fit_calibration(everyone, camera_rule=camera_rule)
        quality = tuple(_qualities(everyone, calibration, camera_rule))
    except EvaluationError as error:
        raise GalleryError(str(error)) from error
    facts = {
        **calibration.facts,
        "data": ["".join(c if c.isprintable() else "?" for c in name) for name in names],
        "synthetic": any(side.meta.get("synthetic") is True for side in labelled),
        "n_people": n_people,
        "n_tracklets": len(everyone),
        "n_unknown": sum(len(side) for side in labelled) - len(everyone),
        "pairs": list(calibration.ratios),
        "camera_rule": camera_rule,
        "made_s": time.time(),
        "version": __version__,
    }
    return Calibrated(replace(calibration, facts=facts), tuple(measure(everyone)), quality, model)


def _check_apart(labelled: Sequence[Embeddings], names: Sequence[str]) -> None:
    """Refuses two sets that share vectors: their people would count as two who look exactly alike."""
    known: dict[bytes, int] = {}
    for number, side in enumerate(labelled):
        rows = {row.tobytes() for row in side.vectors}
        if shared := rows & known.keys():
            other = names[known[shared.pop()]]
            raise GalleryError(
                f"{names[number]} has vectors of {other} too; people of both would count twice; leave one out"
            )
        known |= dict.fromkeys(rows, number)


def put_together(labelled: Sequence[Embeddings]) -> Embeddings:
    """All rows of known people, those of each data set with pids of their own."""
    known = [side.take(side.pids >= 0) for side in labelled]
    pids, start = [], 0
    for side in known:
        own, places = np.unique(side.pids, return_inverse=True)
        pids.append(places + start)
        start += len(own)
    return Embeddings(
        np.concatenate([side.vectors for side in known]),
        np.concatenate(pids),
        np.concatenate([side.camids for side in known]),
        [word for side in known for word in side.modalities],
    )


class Pairs(NamedTuple):
    """Similarities of pairs of one pair of modalities: of the same person, each with its weight, and of two people."""

    same: Doubles
    weight: Doubles  # people alike; sums to 1
    others: Doubles


def pairs_of(people: Embeddings, a: Modality, b: Modality, camera_rule: CameraRule) -> Pairs | None:
    """All pairs of tracklets that the camera rule lets be compared; None without one of both kinds."""
    first, second = (_some(people, word) for word in (a, b))
    if not len(first) or not len(second):
        return None
    negated, same, others = PairBands(first, second, camera_rule, within=a == b).masks(slice(0, len(first)))
    if not same.any() or not others.any():
        return None
    _, whose, count = np.unique(first.pids[np.nonzero(same)[0]], return_inverse=True, return_counts=True)
    sims = -negated.astype(np.float64)
    return Pairs(sims[same], 1 / count[whose] / len(count), sims[others])


def _some(people: Embeddings, word: Modality) -> Embeddings:
    """Tracklets of one modality, MOST_ROWS at most."""
    rows = np.flatnonzero(np.array(people.modalities) == word)
    return people.take(rows[:: 1 + len(rows) // MOST_ROWS])


def _qualities(everyone: Embeddings, calibration: Calibration, camera_rule: CameraRule) -> Iterator[Quality]:
    """The figures of each pair at three sizes; none where the people are too few to be judged by others."""
    folds = list(_folds(everyone, camera_rule))
    n_people = len(np.unique(everyone.pids))
    for a, b in MODALITY_PAIRS:
        pair = pair_of(a, b)
        if pair not in calibration.ratios or not folds or any(pair not in fit.ratios for _, fit in folds):
            continue
        parts = [(pairs_of(people, a, b, camera_rule), fit.ratios[pair]) for people, fit in folds]
        judged = [(pairs, ratio) for pairs, ratio in parts if pairs is not None]
        if not judged:
            continue
        found = Judged(
            *(np.concatenate([getattr(pairs, kind) for pairs, _ in judged]) for kind in ("same", "weight", "others")),
            *(np.concatenate([ratio(getattr(pairs, kind)) for pairs, ratio in judged]) for kind in ("same", "others")),
        )
        for size in sorted({max(1, round(share * n_people)) for share in SHARES}):
            yield found.quality(pair, size)


def _folds(everyone: Embeddings, camera_rule: CameraRule) -> Iterator[tuple[Embeddings, Calibration]]:
    """Some of the people, and the calibration of all others; nothing with fewer than 2 people a fold."""
    pids = np.unique(everyone.pids)
    if len(pids) < 2 * FOLDS:
        return
    fold_of = np.random.Generator(np.random.Philox(0)).permutation(len(pids)) % FOLDS
    for fold in range(FOLDS):
        inside = fold_of[np.searchsorted(pids, everyone.pids)] == fold
        try:
            yield everyone.take(inside), fit_calibration(everyone.take(~inside), camera_rule=camera_rule)
        except EvaluationError:  # nobody outside was seen twice
            return


class Shown(NamedTuple):
    """Probabilities before and after, the truth, and the weight of each pair in a gallery of one size."""

    before: Doubles
    after: Doubles
    truth: npt.NDArray[np.bool_]
    weight: Doubles


class Judged(NamedTuple):
    """Pairs of one pair of modalities with their log likelihood ratios, fitted to other people."""

    same: Doubles
    weight: Doubles
    others: Doubles
    log_ratio_same: Doubles
    log_ratio_others: Doubles

    def quality(self, pair: str, size: int) -> Quality:
        """The figures for a gallery of `size` people, of the entries that come among a query's first SHOWN."""
        shown = self.shown(size)
        before, after = (goodness(p, shown.truth, shown.weight) for p in (shown.before, shown.after))
        return Quality(pair=pair, people=size, before=before, after=after)

    def shown(self, size: int) -> Shown:
        """The pairs as similar as the first SHOWN entries of a gallery of `size` people with one entry each."""
        least = np.quantile(self.others, max(0.0, 1 - SHOWN / size))
        near, far = self.same >= least, self.others >= least
        prior = 1 / (size + 1)
        weight = np.concatenate(
            [
                prior * self.weight[near] / self.weight.sum(),
                np.full(far.sum(), (1 - prior) / len(self.others)),
            ]
        )
        truth = np.arange(len(weight)) < near.sum()
        sims = np.concatenate([self.same[near], self.others[far]])
        ratios = np.concatenate([self.log_ratio_same[near], self.log_ratio_others[far]])
        return Shown(np.clip(sims, LEAST, 1 - LEAST), probability(ratios, prior), truth, weight)


def goodness(p: Doubles, truth: npt.NDArray[np.bool_], weight: Doubles | None = None) -> Goodness:
    """ECE, Brier score and log loss of probabilities."""
    return Goodness(
        ece=calibration_error(p, truth, weight), brier=brier(p, truth, weight), log_loss=log_loss(p, truth, weight)
    )
