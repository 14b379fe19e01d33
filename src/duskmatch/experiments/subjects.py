"""What an experiment is about: RUNs and data sets by name, and what stands of each beside its figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from duskmatch.data import Dataset, open_dataset
from duskmatch.embedding import Embedder
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation import note_test_read
from duskmatch.evaluation.document import Count, Part
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.records import Tracklet

NAME = re.compile(r"[^\W_][\w .+()=/*-]{0,39}")


class RunFacts(Part):
    """One RUN; null where its header does not say. `trained_on` is the fingerprint of its training data."""

    name: str
    seed: int
    preset: str
    embedding: str
    checkpoint: str | None
    selection: str | None
    frames_per_clip: Count
    engine: str
    precision: str
    trained_on: str | None


class SetFacts(Part):
    """One data set; counts are of the split that was read, test_reads of this account after this command."""

    name: str
    data: str
    version: str | None
    preset: str | None
    seed: int | None
    twins: str | None
    vary: str | None
    severity: int | None
    fingerprint: str
    synthetic: bool
    n_people: Count
    n_tracklets: Count
    test_reads: Count | None


class Difference(Part):
    """One figure less another, with its 95 % interval over people, both resampled alike."""

    value: float
    low: float
    high: float


def run_facts(name: str, embedder: Embedder) -> RunFacts:
    """What stands of a RUN beside its figures."""
    facts = embedder.facts()
    checkpoint, trained_on = facts["checkpoint"], facts["trained_on"]
    return RunFacts(
        name=name,
        seed=facts["seed"],
        preset=embedder.settings.preset,
        embedding=str(facts["embedding"]),
        checkpoint=None if checkpoint is None else str(checkpoint),
        selection=facts["selection"],
        frames_per_clip=facts["n_frames"],
        engine=facts["engine"],
        precision=facts["precision"],
        trained_on=trained_on.get("fingerprint") if isinstance(trained_on, dict) else None,
    )


def set_facts(name: str, dataset: Dataset, split: ScoredSplit) -> SetFacts:
    """What stands of a data set beside its figures, before it was read; DataError where it cannot be used at all."""
    people, told = tracklets_of(dataset, split), dataset.facts
    try:
        return SetFacts(
            name=name,
            data=dataset.name,
            version=dataset.version or None,
            **{key: told.get(key) for key in ("preset", "seed", "twins", "vary", "severity")},
            fingerprint=dataset.fingerprint,
            synthetic=dataset.synthetic,
            n_people=len({tracklet.pid for tracklet in people}),
            n_tracklets=len(people),
            test_reads=None,
        )
    except ValidationError as error:
        first = error.errors()[0]
        what, rule = first["loc"][0], first["msg"].replace("Input should", "must")
        raise DataError(
            f"{dataset.root}/duskwalk.json: {what} {rule}; got {first['input']!r}; write the set again"
        ) from error


def tracklets_of(dataset: Dataset, split: ScoredSplit) -> list[Tracklet]:
    """Everybody of a split, infrared first; DataError where it has nobody in one of the modalities."""
    pair = dataset.direction("infrared_to_visible", split)
    if not pair.query or not pair.gallery:
        lacking = "infrared" if not pair.query else "visible"
        raise DataError(
            f"{dataset.root}: the {split} people must be seen in both modalities; no {lacking} track of 12 frames or "
            "more; choose another --split or data set"
        )
    return [*pair.query, *pair.gallery]


def note_read(dataset: Dataset, split: ScoredSplit) -> int | None:
    """Notes that one RUN looked at the test people; their count on this account. Other people are not counted."""
    return note_test_read(dataset.fingerprint, dataset.name) if split == "test" else None


def open_sets(places: Sequence[Path], *, protocol: str | None = None) -> dict[str, Dataset]:
    """The data sets, opened, by as much of their paths as tells them apart; `protocol` as in `open_dataset`."""
    names = short_names(places, "DATASET")
    return {name: open_dataset(place, protocol=protocol) for name, place in zip(names, places, strict=True)}


def run_names(runs: Sequence[Path], given: str | None) -> list[str]:
    """A name for each RUN: those given with commas between, or as much of the paths as tells them apart."""
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
    """The last parts of the paths, as many as tell them apart."""
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
