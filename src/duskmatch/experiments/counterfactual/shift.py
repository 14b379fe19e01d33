"""Scores of one RUN on a film, and the shift of its embeddings in units of the distance between people.

| symbol | meaning |
|---|---|
| u_i (d) | unit embedding of track i in the data set; its pid p_i, its modality m_i |
| c_i (d) | unit embedding of the same track filmed with one factor changed |
| |a - b| | Euclidean distance of unit vectors, sqrt(2 - 2 cos): from 0 to 2 |
| B_m | mean of |u_i - u_j| over all pairs of test tracks of modality m with p_i != p_j |
| s_i | |c_i - u_i| / B_{m_i} |

The shift of a film is the mean of s_i over its tracks: 0 if nothing moved, 1 if tracks moved as far as two people are
apart on average. B is computed on all test people of the data set, filmed or not, and is not resampled: intervals cover
the choice of filmed people only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation import score
from duskmatch.evaluation.similarity import lengths
from duskmatch.experiments.document import Doubles
from duskmatch.records import DIRECTIONS, MODALITIES, CameraRule, Direction, Embeddings, Ints, Modality, Scores

CAMERA_RULE: CameraRule = "same-pid-same-camera"
SIDES: dict[Direction, tuple[Modality, Modality]] = {
    "infrared_to_visible": ("infrared", "visible"),
    "visible_to_infrared": ("visible", "infrared"),
}
BLOCK_ROWS = 512
LEAST = 1e-6  # mean distance between people; less is rounding of fp32 vectors
DEFINITION = (
    "mean over tracks of the Euclidean distance between the unit embeddings of the changed and the unchanged track, "
    "divided by the mean distance between different test people's unchanged embeddings of the same modality"
)


def mean_distance(
    unit: Float64[np.ndarray, "n d"], pids: Int64[np.ndarray, " n"], *, same_person: bool
) -> float | None:
    """The mean Euclidean distance over pairs of different people, or of the same person; None without a pair.

    In fp64, as in fp32 sqrt(2 - 2 cos) of two equal vectors would be up to 2e-4.
    """
    total, n_pairs = 0.0, 0
    for start in range(0, len(unit), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(unit)))
        chosen = (pids[rows, None] == pids) == same_person  # (rows n)
        chosen[np.arange(len(rows)), rows] = False  # a track and itself are no pair
        squared = 2 - 2 * (unit[rows] @ unit.T)
        total += float(np.sqrt(np.maximum(squared, 0))[chosen].sum())
        n_pairs += int(chosen.sum())
    return total / n_pairs if n_pairs else None


def yardsticks(unchanged: Embeddings) -> dict[Modality, float]:
    """B of each modality that has tracks; EvaluationError if all people have the same embedding."""
    found = {}
    for modality, own in _by_modality(unchanged):
        distance = mean_distance(_unit(own, "test"), own.pids, same_person=False) or 0.0
        if distance <= LEAST:
            raise EvaluationError(
                f"different people's {modality} embeddings must differ, since shifts are measured in their mean "
                f"distance; it is {distance:.3g}; the network has collapsed, or there is only one person"
            )
        found[modality] = distance
    return found


def same_person(unchanged: Embeddings, by: Mapping[Modality, float]) -> dict[Modality, float]:
    """The mean distance of two tracks of one person and modality, divided by B: the shift due to another walk."""
    found = {}
    for modality, own in _by_modality(unchanged):
        distance = mean_distance(_unit(own, "test"), own.pids, same_person=True)
        if distance is not None:
            found[modality] = distance / by[modality]
    return found


def shifts(changed: Embeddings, unchanged: Embeddings, by: Mapping[Modality, float]) -> Float64[np.ndarray, " n"]:
    """s of each track; row i of both sides, (n d) each, is the same track."""
    gap = _unit(changed, "changed") - _unit(unchanged, "unchanged")  # (n d)
    scale = np.array([by[modality] for modality in unchanged.modalities])
    return np.asarray(np.linalg.norm(gap, axis=1) / scale, np.float64)


def _unit(embeddings: Embeddings, role: str) -> Float64[np.ndarray, "n d"]:
    unit: Float64[np.ndarray, "n d"] = embeddings.vectors / lengths(embeddings.vectors, role)[:, None]
    return unit


def _by_modality(embeddings: Embeddings) -> Iterator[tuple[Modality, Embeddings]]:
    words = np.array(embeddings.modalities)
    for modality in MODALITIES:
        if (words == modality).any():
            yield modality, embeddings.take(words == modality)


@dataclass(frozen=True, slots=True)
class Measured:
    """One RUN on one film: scores of both directions, and each track's shift, pid and modality, (n,) each."""

    scores: Mapping[Direction, Scores]
    shift: Doubles
    pids: Ints
    infrared: npt.NDArray[np.bool_]


class Baseline:
    """A RUN's embeddings of all unchanged test tracks, which give the gallery, severity 0 and the scale of shifts."""

    def __init__(self, everyone: Embeddings, filmed_pids: Ints) -> None:
        words = np.array(everyone.modalities)
        self.gallery = {d: everyone.take(words == SIDES[d][1]) for d in DIRECTIONS}
        self.filmed = everyone.take(np.isin(everyone.pids, filmed_pids))
        self.between_people = yardsticks(everyone)
        self.same_person = same_person(everyone, self.between_people)

    def measure(self, changed: Embeddings, what: str) -> Measured:
        """The scores of changed tracks in the unchanged gallery, and their shifts from the unchanged tracks."""
        filmed = self.filmed
        if list(changed.sources) != list(filmed.sources) or not np.array_equal(changed.camids, filmed.camids):
            raise DataError(
                f"{what} must show the tracks of the unchanged set, in its order; it shows others; pass --overwrite"
            )
        words = np.array(filmed.modalities)
        scores = {
            d: score(changed.take(words == SIDES[d][0]), self.gallery[d], camera_rule=CAMERA_RULE) for d in DIRECTIONS
        }
        moved = shifts(changed, filmed, self.between_people)
        return Measured(scores, moved, filmed.pids, words == "infrared")

    def start(self) -> Measured:
        """The measurement at severity 0, on the unchanged tracks."""
        return self.measure(self.filmed, "severity 0")
