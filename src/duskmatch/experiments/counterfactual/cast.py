"""Checks that a Duskwalk set can be filmed again: this version must generate the same pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from duskmatch.data import Dataset, dataset_kind, decode_frame, open_dataset
from duskmatch.data.dataset import resolved
from duskmatch.errors import DataError, FrameError, SettingsError
from duskmatch.experiments.counterfactual.films import Cast
from duskmatch.records import Ints
from duskmatch.synthetic import PRESETS, generate

PEOPLE = 40  # filmed by default; the time grows with their number
# Rounding on another machine changes a picture by less than this mean difference; more means another picture.
MOST_GREY_LEVELS = 2.0


class Refilmed(NamedTuple):
    """The number of the first test person's pictures that were filmed again, and of those equal byte by byte."""

    pictures: int
    equal: int


def open_base(path: Path) -> Dataset:
    """The unchanged set, opened; refused if its people cannot be filmed again."""
    root = resolved(path)
    kind = dataset_kind(root)
    if kind != "Duskwalk":
        raise DataError(
            f"{path} must be a Duskwalk set: it is filmed again with one factor changed, which only generated people "
            f"allow; it has no duskwalk.json and is {kind} data; make one with `duskmatch synth`"
        )
    dataset = open_dataset(root)
    facts = dataset.facts
    if facts.get("preset") not in PRESETS or not isinstance(facts.get("seed"), int):
        found = f"preset {facts.get('preset')!r}, seed {facts.get('seed')!r}"
        raise DataError(f"{path}: duskwalk.json must name a known preset and a seed; got {found}; write the set again")
    version = PRESETS[facts["preset"]].version
    if dataset.version != version:
        raise DataError(
            f"{path} must be of data version {version}, which is filmed here; got {dataset.version or 'none'}; "
            "write the set again, or use the duskmatch that wrote it"
        )
    if facts.get("vary") is not None:
        change = f"{facts['vary']}, severity {facts.get('severity')}"
        raise DataError(f"{path} must be an unchanged set; it is a counterfactual itself ({change}); name its base set")
    return dataset


def cast_of(dataset: Dataset, people: int | None) -> Cast:
    """The first `people` test people of an unchanged set (default 40, or all where there are fewer)."""
    there = len(test_people(dataset))
    if there < 2:
        raise DataError(f"{dataset.root} must have two test people or more; got {there}")
    n_people = min(PEOPLE, there) if people is None else people
    if not 1 <= n_people <= there:
        raise SettingsError(f"--people must be from 1 to {there}, the test people of {dataset.root}; got {n_people}")
    facts = dataset.facts
    height, width = facts.get("size", PRESETS[facts["preset"]].size)
    return Cast(facts["preset"], facts["seed"], facts.get("twins"), n_people, (height, width))


def test_people(dataset: Dataset) -> Ints:
    """The pids of all test people, in the order in which they are filmed."""
    return np.unique([tracklet.pid for tracklet in dataset.splits["test"].tracklets.values()]).astype(np.int64)


def film_again(dataset: Dataset, cast: Cast, place: Path) -> Refilmed:
    """Films DATASET's first test person again in `place` and compares the pictures; DataError if one differs.

    Without this check, a set whose duskwalk.json names a wrong seed would be compared with films of other people.
    """
    generate(place, **cast.generate_options(test_people=1), n_processes=1, overwrite=True)
    own = {tracklet.tracklet_id: tracklet.frames for tracklet in dataset.splits["test"].tracklets.values()}
    pictures = equal = 0
    for tracklet in open_dataset(place).splits["test"].tracklets.values():
        there = own.get(tracklet.tracklet_id, ())
        if len(there) != len(tracklet):
            raise DataError(_not_the_same(dataset, cast, f"track {tracklet.tracklet_id}"))
        for old, new in zip(there, tracklet.frames, strict=True):
            same = old.is_file() and old.read_bytes() == new.read_bytes()
            if not same and not alike(old, new):
                raise DataError(_not_the_same(dataset, cast, str(old)))
            pictures, equal = pictures + 1, equal + same
    shutil.rmtree(place)
    return Refilmed(pictures, equal)


def alike(one: Path, other: Path) -> bool:
    """True where two pictures differ by no more than rounding on two machines does."""
    try:
        a, b = (decode_frame(path).astype(np.int16) for path in (one, other))
    except FrameError:
        return False
    return a.shape == b.shape and float(np.abs(a - b).mean()) <= MOST_GREY_LEVELS


def _not_the_same(dataset: Dataset, cast: Cast, what: str) -> str:
    return (
        f"{dataset.root} must hold the pictures of preset {cast.preset}, seed {cast.seed}; {what} differs; its "
        "duskwalk.json or its pictures were changed; write the set again with `duskmatch synth`"
    )
