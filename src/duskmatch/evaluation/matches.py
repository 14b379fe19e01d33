"""The gallery entries that are a query's matches, and those removed by the camera rule or as junk.

Pid -1 is junk, an unknown person: its entries are ignored, neither right nor wrong, and its queries have no match.
Every other number, 0 too, is one person; entries of a person whom no query shows are distractors and count as wrong.
Camid -1 is an unknown camera, which never equals another.

Source: Market-1501's evaluators; docs/evaluation.md, "The protocol".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from duskmatch.errors import EvaluationError
from duskmatch.records import CAMERA_RULES, CameraRule, Ints

UNKNOWN_PID = UNKNOWN_CAMID = -1
# (query's camera, gallery's camera): such entries are removed, whoever they show.
# Source: `eval_sysu` in public code (docs/datasets.md). Differs: the reverse pair too, for visible queries.
SKIPPED: dict[CameraRule, tuple[tuple[int, int], ...]] = {"camera-3-skips-camera-2": ((3, 2), (2, 3))}


@dataclass(frozen=True, slots=True)
class SamePerson:
    """For a band of queries the gallery columns with the query's pid, padded to the longest list.

    columns (q m) in rising order, 0 where padded; matches (q m) True where the entry counts;
    removed (q m) True where the camera rule removes it; skipped (q g) True where it removes an entry whoever it shows,
    None under a rule that depends on the person; junk (j,) the columns of unknown people, ignored in every list.
    """

    columns: Ints
    matches: npt.NDArray[np.bool_]
    removed: npt.NDArray[np.bool_]
    junk: Ints
    skipped: npt.NDArray[np.bool_] | None = None

    def n_removed(self) -> Ints:
        """(q,) how many gallery entries the camera rule removes."""
        return np.asarray((self.removed if self.skipped is None else self.skipped).sum(axis=1), np.int64)

    def n_excluded(self) -> Ints:
        """(q,) how many gallery entries are left out of the list: removed ones and junk, each counted once."""
        twice = 0 if self.skipped is None else self.skipped[:, self.junk].sum(axis=1)
        return np.asarray(self.n_removed() + len(self.junk) - twice, np.int64)


class SamePersonTable:
    """Finds the gallery columns of any queries' pids without a (q g) comparison.

    Entries with the same pid *and* the same camera as the query are removed; others of that camera stay.
    Source: docs/evaluation.md, "The protocol"; the rules of other data sets: docs/datasets.md, "Protocols".
    """

    def __init__(self, pids: Int64[np.ndarray, " g"], camids: Int64[np.ndarray, " g"], rule: str) -> None:
        if rule not in CAMERA_RULES:
            raise EvaluationError(f"camera rule must be one of {', '.join(CAMERA_RULES)}; got {rule!r}")
        self.rule: CameraRule = rule
        self.camids = camids
        self.junk = np.flatnonzero(pids == UNKNOWN_PID)
        self.order = np.argsort(pids, kind="stable")
        self.sorted_pids = pids[self.order]

    def of(self, pids: Int64[np.ndarray, " q"], camids: Int64[np.ndarray, " q"]) -> SamePerson:
        """The gallery columns with the pids of these queries."""
        first = np.searchsorted(self.sorted_pids, pids, "left")
        count = np.searchsorted(self.sorted_pids, pids, "right") - first
        place = np.arange(max(1, count.max(initial=0)))
        there = (place < count[:, None]) & (pids != UNKNOWN_PID)[:, None]  # (q m); an unknown person matches nobody
        columns = self.order[np.where(there, first[:, None] + place, 0)]
        skipped = self._skipped(camids)
        if skipped is not None:
            removed = np.take_along_axis(skipped, columns, axis=1)
        else:
            ours = camids[:, None]
            removed = (self.rule == "same-pid-same-camera") & (ours == self.camids[columns]) & (ours != UNKNOWN_CAMID)
        return SamePerson(np.where(there, columns, 0), there & ~removed, there & removed, self.junk, skipped)

    def _skipped(self, camids: Int64[np.ndarray, " q"]) -> npt.NDArray[np.bool_] | None:
        """(q g) True where a rule on pairs of cameras removes the entry; None under any other rule."""
        if self.rule not in SKIPPED:
            return None
        skipped = np.zeros((len(camids), len(self.camids)), np.bool_)
        for ours, theirs in SKIPPED[self.rule]:
            skipped |= (camids == ours)[:, None] & (self.camids == theirs)
        return skipped
