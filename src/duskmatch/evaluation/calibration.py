"""From a similarity to the odds that it is the same person, and how well such probabilities hold.

The log of a likelihood ratio says how much more often pairs of one person have a similarity than pairs of two people.
With the odds before looking (the prior) it gives the probability of the same person: `probability`.

Source: isotonic regression by pooling adjacent violators, its blocks joined at their means (Oron and Flournoy, 2017,
"Centered isotonic regression"); Platt, 1999, "Probabilistic outputs for support vector machines", with his targets.
Differs: both kinds of pairs weigh alike as a whole, and people weigh alike within each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float64, Int64
from pydantic import BaseModel, ConfigDict

from duskmatch.errors import EvaluationError, first_fault
from duskmatch.evaluation.levels import N_LEVELS, levels, similarity_of
from duskmatch.evaluation.matches import UNKNOWN_PID
from duskmatch.evaluation.separation import PairBands
from duskmatch.evaluation.similarity import reduce_bands
from duskmatch.records import MODALITIES, CameraRule, Embeddings, Ints, Modality

ISOTONIC_FROM = 1000  # matching pairs; with fewer, a curve of two parameters (Platt) errs less
UNSEEN = 3.0  # what never happened in n independent trials has a rate up to 3/n (95 %). Source: the rule of three
LARGEST = 1e6  # of a similarity and of a log ratio: sums of them stay far from what a float holds
BINS = 15  # of the calibration error
SCHEMA_VERSION: Final = 1

ModalityPair = str
Kind = Literal["isotonic", "platt"]
Doubles = npt.NDArray[np.float64]
# Of one band of queries: matching pairs' similarities and pids, the others' weight at each level, and their number.
_Band = tuple[list[Doubles], list[Ints], Doubles, int]


def pair_of(a: Modality, b: Modality) -> ModalityPair:
    """The name of two modalities, in either order."""
    first, second = sorted((a, b), key=MODALITIES.index)
    return f"{first}-{second}"


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """Similarity to the natural log of p(similarity | same person) / p(similarity | two people), for one pair.

    similarity (n) ascending knots, log_ratio (n) which never falls; between the knots linear, outside them constant.
    n_same, n_others: pairs of tracklets it was fitted on; n_people: the independent people behind them.
    """

    kind: Kind
    similarity: Doubles
    log_ratio: Doubles
    n_same: int
    n_others: int
    n_people: int

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("similarity", "log_ratio"):
            put(self, name, np.array(getattr(self, name), np.float64))
        fault = self._fault()
        if fault:
            raise EvaluationError(f"a likelihood ratio's {fault}; calibrate again")

    def _fault(self) -> str | None:
        x, y = self.similarity, self.log_ratio
        if self.kind not in ("isotonic", "platt"):
            return f"kind must be isotonic or platt; got {self.kind!r}"
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            return f"similarity and log_ratio must be equally many numbers, one or more; got {x.shape} and {y.shape}"
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return "similarity and log_ratio must be finite"
        if (np.abs(y) > LARGEST).any() or (np.abs(x) > LARGEST).any():
            return f"similarity and log_ratio must be at most {LARGEST:g}"
        if (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
            return "similarity must ascend and log_ratio must not fall"
        if min(self.n_same, self.n_others, self.n_people) < 1:
            return f"counts must be 1 or more; got {self.n_same}, {self.n_others} and {self.n_people}"
        return None

    def __call__(self, similarity: Float[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
        """The log ratio of any similarities; EvaluationError if one is not finite."""
        asked = np.asarray(similarity, np.float64)
        if not np.isfinite(asked).all():
            raise EvaluationError("similarities must be finite to have a likelihood ratio; one is NaN or infinity")
        return np.asarray(np.interp(asked, self.similarity, self.log_ratio), np.float64)


@dataclass(frozen=True)
class Calibration:
    """The likelihood ratios of each pair of modalities, and the facts of their making (data sets, model, when)."""

    ratios: Mapping[ModalityPair, LikelihoodRatio]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def log_ratio(self, similarity: Float[np.ndarray, "*n"], a: Modality, b: Modality) -> Float64[np.ndarray, "*n"]:
        """The log ratios of similarities between modalities a and b; EvaluationError if that pair was not fitted."""
        pair = pair_of(a, b)
        if pair not in self.ratios:
            known = ", ".join(self.ratios) or "none"
            raise EvaluationError(f"{pair} is not calibrated, only {known}; calibrate with people seen in both")
        return self.ratios[pair](similarity)

    def document(self) -> dict[str, Any]:
        """The calibration as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "ratios": {
                pair: {
                    "kind": ratio.kind,
                    "similarity": ratio.similarity.tolist(),
                    "log_ratio": ratio.log_ratio.tolist(),
                    "n_same": ratio.n_same,
                    "n_others": ratio.n_others,
                    "n_people": ratio.n_people,
                }
                for pair, ratio in self.ratios.items()
            },
            "facts": dict(self.facts),
        }

    @classmethod
    def from_document(cls, document: Any) -> Calibration:
        """The calibration of a `document`; EvaluationError that names what is damaged."""
        try:
            read = _Document.model_validate(document)
        except ValueError as error:
            raise EvaluationError(f"a calibration is damaged: {first_fault(error)}; calibrate again") from error
        ratios: dict[ModalityPair, LikelihoodRatio] = {}
        for pair, knots in read.ratios.items():
            try:
                ratios[pair] = LikelihoodRatio(**dict(knots))
            except EvaluationError as error:
                raise EvaluationError(f"a calibration is damaged: {pair}: {error}") from error
        return cls(ratios, read.facts)


class _Ratio(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    kind: Kind
    similarity: list[float]
    log_ratio: list[float]
    n_same: int
    n_others: int
    n_people: int


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    schema_version: Literal[1]
    ratios: dict[Literal["visible-visible", "infrared-infrared", "visible-infrared"], _Ratio]
    facts: dict[str, Any]


def fit(
    similarity_same: Float[np.ndarray, " s"],
    pids_same: Int64[np.ndarray, " s"],
    similarity_others: Float[np.ndarray, " o"],
    n_people: int,
    *,
    weights_others: Float[np.ndarray, " o"] | None = None,
    n_others: int | None = None,
) -> LikelihoodRatio:
    """The likelihood ratio of matching pairs, each with its person, against pairs of two of `n_people` people.

    Every person with a matching pair weighs alike. `weights_others` may do the same for the pairs of two people;
    `n_others` is how many they are if equal similarities were put together. Equal similarities throughout give a
    ratio of 1. EvaluationError if there is no pair of either kind, or one person, or a similarity is not finite.
    """
    same, others = (np.asarray(x, np.float64).reshape(-1) for x in (similarity_same, similarity_others))
    if n_people < 2 or not len(others):
        raise EvaluationError(
            f"a calibration needs pairs of two different people; got {len(others)} pairs, and people: {n_people}; "
            "calibrate with more people"
        )
    if not len(same) or len(pids_same) != len(same):
        raise EvaluationError(
            f"a calibration needs pairs of the same person, with a pid each; got {len(same)} pairs and "
            f"{len(pids_same)} pids; calibrate with people seen more than once"
        )
    if not (np.isfinite(same).all() and np.isfinite(others).all()):
        raise EvaluationError("similarities must be finite to be calibrated; one is NaN or infinity; embed again")
    _, whose, count = np.unique(pids_same, return_inverse=True, return_counts=True)
    alike = np.ones(len(others)) if weights_others is None else weights_others
    shares = SimilarityShares.of(same, 1 / count[whose], others, alike)
    return shares.ratio(len(same), n_others or len(others), n_same_people=len(count), n_people=n_people)


def bounds(
    same: Float64[np.ndarray, " n"],
    others: Float64[np.ndarray, " n"],
    *,
    n_same_people: int,
    n_pairs_of_people: float,
) -> tuple[float, float]:
    """(least, largest) log ratio that the data bear, from the shares of both kinds at ascending similarities.

    Largest: above some threshold, the share of matching pairs divided by that of other pairs. Least: below some
    threshold, the same. A share that was never seen counts as 3 divided by the number of people (of matching pairs)
    or of pairs of people (of other pairs). A bound that would claim nothing is 0.
    """
    fewest_same, fewest_others = UNSEEN / n_same_people, UNSEEN / n_pairs_of_people
    above_same, above_others = (np.cumsum(x[::-1])[::-1] for x in (same, others))
    below_same, below_others = np.cumsum(same), np.cumsum(others)
    largest = (above_same / np.maximum(above_others, fewest_others)).max()
    there = below_others > 0
    least = (np.maximum(below_same, fewest_same)[there] / below_others[there]).min()
    return float(min(0.0, np.log(least))), float(max(0.0, np.log(largest)))


@dataclass(frozen=True, slots=True)
class SimilarityShares:
    """Ascending similarities, and the shares of matching and of other pairs that have each; both sum to 1."""

    similarity: Doubles
    same: Doubles
    others: Doubles

    @classmethod
    def of(cls, same: Doubles, weights_same: Doubles, others: Doubles, weights_others: Doubles) -> SimilarityShares:
        levels, where = np.unique(np.concatenate([same, others]), return_inverse=True)
        shares = (
            np.bincount(place, weights, len(levels)) / weights.sum()
            for place, weights in ((where[: len(same)], weights_same), (where[len(same) :], weights_others))
        )
        return cls(levels, *shares)

    def ratio(self, n_same: int, n_others: int, *, n_same_people: int, n_people: int) -> LikelihoodRatio:
        """The likelihood ratio, isotonic or Platt's by the number of matching pairs, within what the people bear."""
        n_pairs = n_people * (n_people - 1) / 2
        ends = bounds(self.same, self.others, n_same_people=n_same_people, n_pairs_of_people=n_pairs)
        kind: Kind = "isotonic" if n_same >= ISOTONIC_FROM else "platt"
        knots = self.isotonic(ends) if kind == "isotonic" else self.platt(ends, n_same_people, n_pairs)
        return LikelihoodRatio(kind, *knots, n_same, n_others, n_people)

    def isotonic(self, ends: tuple[float, float]) -> tuple[Doubles, Doubles]:
        """Knots: the log ratio of each block of pooled adjacent violators, at the block's mean similarity."""
        from sklearn.isotonic import isotonic_regression

        both = self.same + self.others
        pooled = isotonic_regression(self.same / both, sample_weight=both)
        starts = np.flatnonzero(np.diff(pooled, prepend=-1.0))
        same, others, weight, moment = (
            np.add.reduceat(x, starts) for x in (self.same, self.others, both, both * self.similarity)
        )
        with np.errstate(divide="ignore"):
            log_ratio = np.clip(np.log(same) - np.log(others), *ends)
        return moment / weight, np.maximum.accumulate(log_ratio)  # blocks of equal ratio may differ in the last bit

    def platt(self, ends: tuple[float, float], n_same_people: int, n_pairs_of_people: float) -> tuple[Doubles, Doubles]:
        """Knots of the straight line of logistic regression, cut off at `ends`; a falling line becomes flat."""
        low, high = self.similarity[0], self.similarity[-1]
        start, rise = self._line(n_same_people, n_pairs_of_people) if low < high else (0.0, 0.0)
        if rise <= 0:
            return np.array([low]), np.zeros(1)
        crossings = (np.array(ends) - start) / rise
        place = np.unique([0.0, *crossings[(crossings > 0) & (crossings < 1)], 1.0])
        return low + place * (high - low), np.clip(start + place * rise, *ends)

    def _line(self, n_same_people: int, n_pairs_of_people: float) -> tuple[float, float]:
        """(log ratio at the least similarity, its rise to the largest) by logistic regression on Platt's targets."""
        from sklearn.linear_model import LogisticRegression

        x = (self.similarity - self.similarity[0]) / (self.similarity[-1] - self.similarity[0])
        target_same, target_others = (n_same_people + 1) / (n_same_people + 2), 1 / (n_pairs_of_people + 2)
        positive = self.same * target_same + self.others * target_others
        negative = self.same * (1 - target_same) + self.others * (1 - target_others)
        line = LogisticRegression(C=1e9, tol=1e-9, max_iter=2000).fit(
            np.concatenate([x, x])[:, None],
            np.repeat([1, 0], len(x)),
            sample_weight=np.concatenate([positive, negative]),
        )
        return float(line.intercept_[0]), float(line.coef_[0, 0])


def fit_calibration(*sides: Embeddings, camera_rule: CameraRule, facts: Mapping[str, Any] | None = None) -> Calibration:
    """The calibration of all pairs of labelled embeddings, each pair of two rows once.

    Unknown people (pid -1) and what the camera rule removes are left out; every person weighs alike, and every pair of
    two people. A pair of modalities that cannot be fitted is left out, its reason in facts under `not_fitted`;
    EvaluationError if none can.
    """
    ratios: dict[ModalityPair, LikelihoodRatio] = {}
    not_fitted: dict[ModalityPair, str] = {}
    by_modality = {modality: _rows_of(sides, modality) for modality in MODALITIES}
    for a, b in ((MODALITIES[0],) * 2, (MODALITIES[1],) * 2, (MODALITIES[0], MODALITIES[1])):
        first, second = by_modality[a], by_modality[b]
        if first is None or second is None:
            continue
        try:
            ratios[pair_of(a, b)] = _fit_pair(first, second, camera_rule, within=a == b)
        except EvaluationError as error:
            not_fitted[pair_of(a, b)] = str(error)
    if not ratios:
        why = next(iter(not_fitted.values()), "there is no row of a known person")
        raise EvaluationError(f"nothing can be calibrated: {why}")
    return Calibration(ratios, {**(facts or {}), **({"not_fitted": not_fitted} if not_fitted else {})})


def _rows_of(sides: Sequence[Embeddings], modality: Modality) -> Embeddings | None:
    """The rows of known people in one modality; None if there are none."""
    parts = [side.take((np.array(side.modalities, object) == modality) & (side.pids != UNKNOWN_PID)) for side in sides]
    parts = [part for part in parts if len(part)]
    if not parts:
        return None
    vectors, pids, camids = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("vectors", "pids", "camids")
    )
    return Embeddings(vectors, pids, camids, modality)


def _fit_pair(first: Embeddings, second: Embeddings, camera_rule: CameraRule, *, within: bool) -> LikelihoodRatio:
    bands = PairBands(first, second, camera_rule, within=within)
    rows_alike = one_over_count(first.pids), one_over_count(second.pids)

    def of_band(rows: slice) -> _Band:
        negated, same, others = bands.masks(rows)
        row, column = np.nonzero(others)
        weights = rows_alike[0][rows][row] * rows_alike[1][column]
        histogram: Doubles = np.bincount(levels(negated[row, column]), weights, N_LEVELS).astype(np.float64)
        whose = first.pids[rows][np.nonzero(same)[0]]
        return [-negated[same].astype(np.float64)], [whose], histogram, len(row)

    def joined(a: _Band, b: _Band) -> _Band:
        return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]

    parts, whose, histogram, n_others = reduce_bands(of_band, joined, len(first), len(second))
    there = np.flatnonzero(histogram)
    return fit(
        np.concatenate(parts),
        np.concatenate(whose),
        similarity_of(there),
        min(len(np.unique(side.pids)) for side in (first, second)),
        weights_others=histogram[there],
        n_others=n_others,
    )


def one_over_count(pids: Ints) -> Doubles:
    """For each row one divided by the number of its person's rows."""
    _, whose, count = np.unique(pids, return_inverse=True, return_counts=True)
    return np.asarray(1 / count[whose], np.float64)


def probability(log_ratio: Float[np.ndarray, "*n"], prior: float) -> Float64[np.ndarray, "*n"]:
    """The probability of the same person, from the log likelihood ratio and the probability before looking."""
    from scipy.special import expit, logit

    if not 0 < prior < 1:
        raise EvaluationError(f"a prior must lie between 0 and 1, such as 1 / (people + 1); got {prior}")
    return np.asarray(expit(np.asarray(log_ratio, np.float64) + logit(prior)), np.float64)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equally many pairs, in order of the promised probability: what was promised, what came true.

    promised, true (bins) weighted means; weight (bins) sums to 1.
    """

    promised: Doubles
    true: Doubles
    weight: Doubles

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |promised - true|, bins weighted."""
        return float((self.weight * np.abs(self.promised - self.true)).sum())


def reliability(
    probability: Float[np.ndarray, " n"],
    same: npt.NDArray[np.bool_],
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    bins: int = BINS,
) -> Reliability:
    """Promised and true probability in up to `bins` bins of equal weight; equal probabilities share a bin."""
    p, y, w = _checked(probability, same, weights)
    values, where = np.unique(p, return_inverse=True)
    sums = [np.bincount(where, x, len(values)) for x in (w, w * p, w * y)]
    middle = np.cumsum(sums[0]) - sums[0] / 2
    bin_of = np.minimum((bins * middle / w.sum()).astype(np.int64), bins - 1)
    weight, promised, true = (np.bincount(bin_of, x, bins) for x in sums)
    there = weight > 0
    return Reliability(
        promised[there] / weight[there], true[there] / weight[there], weight[there] / weight[there].sum()
    )


def calibration_error(
    probability: Float[np.ndarray, " n"],
    same: npt.NDArray[np.bool_],
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    bins: int = BINS,
) -> float:
    """The expected calibration error (ECE) with bins of equal weight: the mean gap of promised and true probability."""
    return reliability(probability, same, weights, bins=bins).error


def brier(
    probability: Float[np.ndarray, " n"],
    same: npt.NDArray[np.bool_],
    weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    """The mean squared difference of probability and truth (0 or 1)."""
    p, y, w = _checked(probability, same, weights)
    return float((w * (p - y) ** 2).sum() / w.sum())


def log_loss(
    probability: Float[np.ndarray, " n"],
    same: npt.NDArray[np.bool_],
    weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    """The mean of -log of the probability given to the truth, natural; infinite if a truth was given none."""
    p, y, w = _checked(probability, same, weights)
    with np.errstate(divide="ignore"):
        loss = -np.log(np.where(y > 0, p, 1 - p))
    return float(loss[w > 0] @ w[w > 0] / w.sum())


def _checked(probability: npt.ArrayLike, same: npt.ArrayLike, weights: npt.ArrayLike | None) -> Iterator[Doubles]:
    """Probabilities, truths as 0 and 1, and weights; refuses what no probability is."""
    p, y = np.asarray(probability, np.float64), np.asarray(same, np.bool_).astype(np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, np.float64)
    if p.ndim != 1 or not len(p) or p.shape != y.shape or p.shape != w.shape:
        raise EvaluationError(
            "probabilities, truths and weights must be equally many, one or more; got "
            f"{p.shape}, {y.shape} and {w.shape}"
        )
    if not ((p >= 0) & (p <= 1)).all():
        raise EvaluationError("probabilities must be numbers from 0 to 1; one is not")
    if not ((w >= 0) & np.isfinite(w)).all() or not w.sum() > 0:
        raise EvaluationError("weights must be finite, 0 or more, and not all 0")
    return iter((p, y, w))
