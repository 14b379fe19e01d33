"""Whether people who calibrate a gallery are other people than those its model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duskmatch.data import Dataset
from duskmatch.errors import GalleryError

SAY_SO = "if you know that nobody of them was, pass --not-trained-on"


def check_apart(run: Path, trained_on: Mapping[str, Any] | None, dataset: Dataset) -> None:
    """Refuses a data set of which nothing shows that its test and validation people were not trained on.

    Shown: it is the training's own data set, whose training people are others (which opening it has checked), or both
    were generated, with different seeds.
    """
    if reason := _doubt(trained_on or {}, dataset):
        raise GalleryError(
            f"{dataset.root}: people for calibration must not be those that {run} was trained on, and {reason}; "
            f"{SAY_SO}"
        )


def check_different(datasets: Mapping[str, Dataset]) -> None:
    """Refuses one data set named twice: its people would count as two."""
    seen: dict[str, str] = {}
    for name, dataset in datasets.items():
        if (twin := seen.setdefault(dataset.fingerprint, name)) != name:
            raise GalleryError(f"{name} must be another data set than {twin}, but has the same people; name it once")


def _doubt(trained_on: Mapping[str, Any], dataset: Dataset) -> str | None:
    if not isinstance(fingerprint := trained_on.get("fingerprint"), str):
        return "it does not say what it was trained on"
    if fingerprint == dataset.fingerprint:
        asked, trained = dataset.protocol.variant, trained_on.get("protocol")
        if dataset.protocol.trained_apart and asked != trained:
            return f"it was trained on the variant {trained}, whose training people are tested by {asked}"
        return None
    seeds = trained_on.get("seed"), dataset.facts.get("seed")
    if not trained_on.get("name") == dataset.name == "Duskwalk":
        return f"nothing says that they are others than those of {trained_on.get('name') or 'its data'}"
    if None in seeds or seeds[0] == seeds[1]:
        return f"both are generated with seed {seeds[1]}"
    return None
