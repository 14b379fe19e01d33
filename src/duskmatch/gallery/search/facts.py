"""Facts of entries besides their vectors, and the filters on them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64, Int8, Int64

from duskmatch.records import MODALITIES, Modality

FEW = 4  # values that are faster compared one by one
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """Of n entries: the place in MODALITIES, camera, begin and end (Unix seconds) and person.

    Times are NaN where they are unknown or relative to a video, which no filter on time lets through; pid is -1 where
    nobody knows who it is.
    """

    modality: Int8[np.ndarray, " n"]
    camera: Int64[np.ndarray, " n"]
    begin_s: Float64[np.ndarray, " n"]
    end_s: Float64[np.ndarray, " n"]
    pid: Int64[np.ndarray, " n"]

    def columns(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Filter:
    """The entries that a search may return; a field that is None lets all through, an empty one nothing."""

    modality: Modality | None = None
    cameras: Collection[int] | None = None
    between: tuple[float, float] | None = None  # seen at some time from the first to the second, both included
    pids: Collection[int] | None = None

    def of(self, facts: Facts) -> Bool[np.ndarray, " n"] | None:
        """True for the entries let through; None if every filter is None."""
        parts = []
        if self.modality is not None:
            parts.append(facts.modality == MODALITIES.index(self.modality))
        if self.cameras is not None:
            parts.append(_among(facts.camera, self.cameras))
        if self.between is not None:
            parts.append(_overlaps(facts.begin_s, facts.end_s, *self.between))
        if self.pids is not None:
            parts.append(_among(facts.pid, self.pids))
        return np.logical_and.reduce(parts) if parts else None


def _among(values: Array, wanted: Collection[int]) -> Bool[np.ndarray, " n"]:
    found: npt.NDArray[np.bool_]
    if 1 <= len(wanted) <= FEW:
        found = np.logical_or.reduce([values == one for one in wanted])
    else:
        found = np.isin(values, np.fromiter(wanted, np.int64, len(wanted)))
    return found


def _overlaps(begin_s: Array, end_s: Array, first: float, last: float) -> Bool[np.ndarray, " n"]:
    """True if an entry's time meets the interval; if one of its times is NaN, the other stands for both."""
    found: npt.NDArray[np.bool_] = (np.fmin(begin_s, end_s) <= last) & (np.fmax(begin_s, end_s) >= first)
    return found
