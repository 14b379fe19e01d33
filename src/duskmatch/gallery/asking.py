"""The question of a search besides its vectors, validated before anything is read."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.gallery.search.facts import Filter
from duskmatch.records import MODALITIES, Modality

MOST = 10_000  # hits of a query


@dataclass(frozen=True, slots=True)
class Question:
    """The number of hits, filters on entries, and chances; a filter that is None lets all through.

    GalleryError if a value has the wrong type or is out of range.
    """

    top: int
    modality: Modality | None = None
    cameras: Collection[int] | None = None
    between: tuple[float, float] | None = None
    pids: Collection[int] | None = None
    prior: float | None = None
    false_alarms: float | None = None

    def __post_init__(self) -> None:
        if type(self.top) is not int or not 1 <= self.top <= MOST:
            raise GalleryError(f"top must be a whole number from 1 to {MOST}; got {self.top!r}")
        if self.modality is not None and self.modality not in MODALITIES:
            raise GalleryError(f"modality must be visible or infrared; got {self.modality!r}")
        for name in ("cameras", "pids"):
            check_numbers(name, getattr(self, name))
        if self.between is not None:
            _check_interval(self.between)
        for name in ("prior", "false_alarms"):
            _check_chance(name, getattr(self, name))

    @property
    def filter(self) -> Filter:
        between = None if self.between is None else (float(self.between[0]), float(self.between[1]))
        return Filter(self.modality, self.cameras, between, self.pids)


def check_numbers(name: str, values: object) -> None:
    """Refuses what is no list of whole numbers that 64 bits hold; None is no list and no fault."""
    if values is None:
        return
    if isinstance(values, str) or not isinstance(values, Collection):
        raise GalleryError(f"{name} must be a list of whole numbers; got {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not -(2**63) <= value < 2**63:
            raise GalleryError(f"{name} must be whole numbers below 2**63; got {value!r}")


def _check_chance(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1):
        raise GalleryError(f"{name} must be above 0 and below 1, as 0.01; got {value!r}")


def _check_interval(between: object) -> None:
    if not isinstance(between, tuple | list) or len(between) != 2 or not all(_is_time(time) for time in between):
        raise GalleryError(f"between must be two times in Unix seconds; got {between!r}")
    if between[1] < between[0]:
        raise GalleryError(f"between must not end before it begins; got {between[0]} to {between[1]}")


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
