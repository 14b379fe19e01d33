"""Which gallery entries are a query's matches, and which the camera rule takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from duskmatch.errors import EvaluationError
from duskmatch.records import CameraRule, Ints

CAMERA_RULES: tuple[CameraRule, ...] = get_args(CameraRule)
UNKNOWN_PID = -1


@dataclass(frozen=True, slots=True)
class SamePerson:
    """For a band of queries the gallery columns with the query's pid, padded to the longest list.

    columns (q m) in rising order, 0 where padded; matches (q m) True where the entry counts;
    removed (q m) True where the camera rule takes it away.
    """

    columns: Ints
    matches: npt.NDArray[np.bool_]
    removed: npt.NDArray[np.bool_]


class SamePersonTable:
    """Finds the gallery columns of any queries' pids without a (q g) comparison.

    Source: REFERENCE.md 1.3. Entries with the same pid *and* the same camera as the query are removed; others of that
    camera stay.
    """

    def __init__(self, pids: Int64[np.ndarray, " g"], camids: Int64[np.ndarray, " g"], rule: CameraRule) -> None:
        if rule not in CAMERA_RULES:
            raise EvaluationError(f"camera rule must be one of {', '.join(CAMERA_RULES)}; got {rule!r}")
        self.rule = rule
        self.camids = camids
        self.order = np.argsort(pids, kind="stable")
        self.sorted_pids = pids[self.order]

    def of(self, pids: Int64[np.ndarray, " q"], camids: Int64[np.ndarray, " q"]) -> SamePerson:
        """The columns for these queries."""
        first = np.searchsorted(self.sorted_pids, pids, "left")
        count = np.searchsorted(self.sorted_pids, pids, "right") - first
        place = np.arange(max(1, count.max(initial=0)))
        there = place < count[:, None]  # (q m)
        columns = self.order[np.where(there, first[:, None] + place, 0)]
        same_camera = (self.camids[columns] == camids[:, None]) & (self.rule == "same-pid-same-camera")
        return SamePerson(
            columns=np.where(there, columns, 0), matches=there & ~same_camera, removed=there & same_camera
        )
