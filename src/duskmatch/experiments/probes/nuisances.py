"""Labels for the probes (camera, view, occluder, ...) and the groups within which each is asked.

| probe | asked within | label |
|---|---|---|
| `camera` | each modality | the tracklet's camera |
| `view` | each modality | direction of walking in eight sectors of 45 degrees, the first about 0 (toward the lens) |
| `occluder`, `truncated` | each modality | "yes" if something is in front; if the box cuts off feet or head |
| `background` | each camera and modality | the place behind, in sets made with `synth --vary background` |
| `modality` | everybody | visible or infrared |

Asking within a modality ensures that cameras are not told apart by it; asking at one camera, that only the place
differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from duskmatch.errors import DataError
from duskmatch.experiments.probes.ridge import Mask
from duskmatch.records import Ints, Tracklet

Name = Literal["camera", "view", "occluder", "truncated", "background", "modality"]
PROBES: dict[Name, str] = {
    "camera": "camera",
    "view": "view, eight sectors",
    "occluder": "something in front",
    "truncated": "box cut off",
    "background": "place behind, at one camera",
    "modality": "modality",
}
WITHIN: dict[Name, str] = {
    "camera": "within each modality",
    "view": "within each modality",
    "occluder": "within each modality",
    "truncated": "within each modality",
    "background": "within each camera and modality",
    "modality": "of everybody",
}
LEAST_PEOPLE = 2  # in each half who must have a class, or it is left out


@dataclass(frozen=True, slots=True)
class Sample:
    """A tracklet and the ground truth of its walk; `other_places`: from a set with other backgrounds."""

    tracklet: Tracklet
    truth: Mapping[str, str] | None
    other_places: bool = False


@dataclass(frozen=True, slots=True)
class Stratum:
    """The rows that one probe classifies, and their labels, 0 .. n_classes - 1."""

    rows: Ints
    labels: Ints
    n_classes: int


@dataclass(frozen=True, slots=True)
class Question:
    """One question to every layer; `reason`: why it cannot be asked, if there are no strata."""

    name: Name
    strata: Sequence[Stratum]
    n_left_out: int = 0
    reason: str | None = None

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing: the mean over strata of 1 / n_classes."""
        return float(np.mean([1 / stratum.n_classes for stratum in self.strata]))


def questions(samples: Sequence[Sample], first: Mask) -> list[Question]:
    """The questions about these samples; `first` is the mask of the first half of the people."""
    no_truth = None if any(s.truth for s in samples) else "the data set does not say (no info/walks.csv)"
    no_places = (
        None if any(s.other_places for s in samples) else "needs --backgrounds, the same walks before other places"
    )
    return [
        _question("camera", samples, first, lambda s: str(s.tracklet.camid), _by_modality),
        _question("view", samples, first, _view, _by_modality, no_truth),
        _question("occluder", samples, first, _occluder, _by_modality, no_truth),
        _question("truncated", samples, first, lambda s: _truth_of(s, "truncated"), _by_modality, no_truth),
        _question("background", samples, first, lambda s: _truth_of(s, "scene"), _by_camera, no_truth or no_places),
        _question("modality", samples, first, lambda s: s.tracklet.modality, lambda s: "" if _own(s) else None),
    ]


def sector(degrees: float) -> int:
    """0 to 7: sector k reaches 22.5 degrees to either side of 45 k."""
    return int((degrees + 22.5) % 360 // 45)


def _question(
    name: Name,
    samples: Sequence[Sample],
    first: Mask,
    label: Callable[[Sample], str | None],
    within: Callable[[Sample], str | None],
    reason: str | None = None,
) -> Question:
    """The strata of one probe; samples of classes with too few people in either half are left out and counted."""
    if reason:
        return Question(name, (), reason=reason)
    groups: dict[str, list[tuple[int, str]]] = {}
    n_left_out = 0
    for row, sample in enumerate(samples):
        group, value = within(sample), label(sample)
        if group is not None and value is not None:
            groups.setdefault(group, []).append((row, value))
        n_left_out += group is not None and value is None
    pids = np.array([sample.tracklet.pid for sample in samples])
    strata = []
    for members in groups.values():
        rows, values = np.array([row for row, _ in members]), np.array([value for _, value in members])
        kept = [one for one in np.unique(values) if _enough(pids[rows[values == one]], first[rows[values == one]])]
        known = np.isin(values, kept)
        if len(kept) < 2:
            n_left_out += len(rows)
            continue
        n_left_out += int((~known).sum())
        strata.append(Stratum(rows[known], np.searchsorted(kept, values[known]).astype(np.int64), len(kept)))
    few = f"no two classes have {LEAST_PEOPLE} people in each half"
    return Question(name, strata, n_left_out, None if strata else few)


def _enough(pids: Ints, first: Mask) -> bool:
    return all(len(np.unique(pids[half])) >= LEAST_PEOPLE for half in (first, ~first))


def _own(sample: Sample) -> bool:
    return not sample.other_places


def _by_modality(sample: Sample) -> str | None:
    return sample.tracklet.modality if _own(sample) else None


def _by_camera(sample: Sample) -> str | None:
    return f"{sample.tracklet.camid} {sample.tracklet.modality}"


def _truth_of(sample: Sample, column: str) -> str | None:
    """A column of the walk's ground truth; None if missing or empty."""
    return (sample.truth or {}).get(column) or None


def _occluder(sample: Sample) -> str | None:
    occluder = _truth_of(sample, "occluder")
    return None if occluder is None else "no" if occluder == "none" else "yes"


def _view(sample: Sample) -> str | None:
    degrees = _truth_of(sample, "view_degrees")
    try:
        return None if degrees is None else str(sector(float(degrees)))
    except (ValueError, OverflowError) as error:
        name = sample.tracklet.tracklet_id
        raise DataError(
            f"info/walks.csv: view_degrees of {name} must be a number; got {degrees!r}; correct it"
        ) from error
