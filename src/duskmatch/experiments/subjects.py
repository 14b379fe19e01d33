"""RUNs and data sets under short names, and the people of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from duskmatch.data import Dataset, open_dataset
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation import note_test_read
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.records import Tracklet

NAME = re.compile(r"[^\W_][\w .+()=/*-]{0,39}")


def tracklets_of(dataset: Dataset, split: ScoredSplit) -> list[Tracklet]:
    """All tracklets of a split, infrared first; DataError if it lacks a modality."""
    pair = dataset.direction("infrared_to_visible", split)
    if not pair.query or not pair.gallery:
        lacking = "infrared" if not pair.query else "visible"
        raise DataError(
            f"{dataset.root}: the {split} people must have tracks in both modalities; there is no {lacking} one of 12 "
            "frames or more; choose another --split or data set"
        )
    return [*pair.query, *pair.gallery]


def note_read(dataset: Dataset, split: ScoredSplit) -> int | None:
    """Counts one reading if the split is test, and returns the new count; None if unknown, or for other splits."""
    return note_test_read(dataset.fingerprint, dataset.name) if split == "test" else None


def open_sets(places: Sequence[Path], *, protocol: str | None = None) -> dict[str, Dataset]:
    """Short name -> opened data set; `protocol` as in `open_dataset`."""
    names = short_names(places, "DATASET")
    return {name: open_dataset(place, protocol=protocol) for name, place in zip(names, places, strict=True)}


def run_names(runs: Sequence[Path], given: str | None) -> list[str]:
    """A name for each RUN: those given, with commas between, or the ends of the paths."""
    if not runs:
        raise SettingsError("at least one RUN must be named; got none; name a trained run")
    if given is None:
        return short_names(runs, "RUN")
    names = [name.strip() for name in given.split(",")]
    if len(names) != len(runs) or len(set(names)) != len(names):
        raise SettingsError(
            f"--names must be {len(runs)} different names with commas between, one for each RUN; got {given!r}"
        )
    for name in names:
        if not NAME.fullmatch(name):
            raise SettingsError(
                "a RUN's name must be 1 to 40 letters, digits, spaces or . + - = ( ) _ / *, the first a letter or "
                f"digit; got {name!r}; give others with --names A,B"
            )
    return names


def short_names(paths: Iterable[Path], what: str) -> list[str]:
    """The ends of the paths, with as many parts as make them differ."""
    places = [path.expanduser().resolve() for path in paths]
    if len(set(places)) != len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise SettingsError(f"each {what} must be named once; {twice} is named {places.count(twice)} times")
    longest = max(len(place.parts) for place in places)
    for n in range(1, longest):
        names = ["/".join(place.parts[-n:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]
