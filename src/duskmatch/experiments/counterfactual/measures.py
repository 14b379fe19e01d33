"""What one RUN makes of a film: who is found, and how far each track's embedding moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.errors import DataError
from duskmatch.evaluation import score
from duskmatch.experiments.counterfactual.shift import same_person, shifts, yardsticks
from duskmatch.experiments.document import Doubles
from duskmatch.records import DIRECTIONS, CameraRule, Direction, Embeddings, Ints, Modality, Scores

CAMERA_RULE: CameraRule = "same-pid-same-camera"
SIDES: dict[Direction, tuple[Modality, Modality]] = {
    "infrared_to_visible": ("infrared", "visible"),
    "visible_to_infrared": ("visible", "infrared"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One film: scores of both directions; of each track (n,) its shift, whose it is, and whether it is infrared."""

    scores: Mapping[Direction, Scores]
    shift: Doubles
    pids: Ints
    infrared: npt.NDArray[np.bool_]


class Baseline:
    """A RUN's embeddings of all unchanged test tracks: the gallery, severity 0, and the scale of shifts."""

    def __init__(self, everyone: Embeddings, filmed_pids: Ints) -> None:
        words = np.array(everyone.modalities)
        self.gallery = {d: everyone.take(words == SIDES[d][1]) for d in DIRECTIONS}
        self.filmed = everyone.take(np.isin(everyone.pids, filmed_pids))
        self.between_people = yardsticks(everyone)
        self.same_person = same_person(everyone, self.between_people)

    def measure(self, changed: Embeddings, what: str) -> Measured:
        """Changed tracks as queries against the unchanged gallery, and each against its own unchanged self."""
        filmed = self.filmed
        if list(changed.sources) != list(filmed.sources) or not np.array_equal(changed.camids, filmed.camids):
            raise DataError(
                f"{what} must show the tracks of the unchanged set, in its order; it shows others; film again"
            )
        words = np.array(filmed.modalities)
        scores = {
            d: score(changed.take(words == SIDES[d][0]), self.gallery[d], camera_rule=CAMERA_RULE) for d in DIRECTIONS
        }
        moved = shifts(changed, filmed, self.between_people)
        return Measured(scores, moved, filmed.pids, words == "infrared")

    def start(self) -> Measured:
        """Severity 0: the unchanged tracks themselves."""
        return self.measure(self.filmed, "severity 0")
