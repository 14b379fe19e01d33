"""Checks that sets made with `synth --vary background` show the walks of a given Duskwalk set."""

from __future__ import annotations

from typing import Any

from duskmatch.data import Dataset
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.synthetic import PRESETS

# Keys of duskwalk.json that must agree for walks and sizes of pictures to be the same.
SAME = ("name", "data_version", "preset", "seed", "twins", "size")


def with_places(sets: dict[str, Dataset], split: ScoredSplit) -> dict[str, Dataset]:
    """The data set and those that show its test people's walks before other places; any other set is refused.

    A set of severity 0 has the data set's own pictures and is left out.
    """
    base, *others = sets.values()
    if others and split != "test":
        raise SettingsError(f"--backgrounds show test people; --split {split} has other people; leave one of them out")
    seen: dict[int, Dataset] = {}
    for other in others:
        severity = _severity(base, other)
        if severity in seen:
            raise DataError(
                f"each of --backgrounds must have its own severity; {seen[severity].root} and {other.root} both have "
                f"{severity}; leave one out"
            )
        seen[severity] = other
    left_out = seen.get(0)
    return {name: dataset for name, dataset in sets.items() if dataset is not left_out}


def _severity(base: Dataset, other: Dataset) -> int:
    """The severity of `other`, which must be `base` with other backgrounds."""
    if other.facts.get("vary") != "background":
        raise DataError(
            f"--backgrounds {other.root} must be made with `duskmatch synth --vary background`; its duskwalk.json "
            f"says vary {other.facts.get('vary')}; leave it out"
        )
    for key in SAME:
        mine, theirs = _fact(base, key), _fact(other, key)
        if mine != theirs:
            raise DataError(
                f"--backgrounds {other.root} must show the walks of {base.root}: {key} must be {mine}; got {theirs}; "
                "make it with the same preset, seed and size"
            )
    try:
        return int(other.facts["severity"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{other.root}/duskwalk.json: severity must be 0 to 4; write the set again") from error


def _fact(dataset: Dataset, key: str) -> Any:
    """A value of duskwalk.json; the size of a set that names none is its preset's."""
    found = dataset.facts.get(key)
    if key != "size":
        return found
    preset = PRESETS.get(str(dataset.facts.get("preset")))
    size = found or (preset.size if preset else None)
    return "{} x {}".format(*size) if isinstance(size, list | tuple) and len(size) == 2 else size
