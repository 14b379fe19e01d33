"""counterfactual.json: scores and shifts of embeddings with one factor changed at a time, and all they depend on."""

from __future__ import annotations

from typing import Any, Literal

from duskmatch.evaluation.document import Count, Part
from duskmatch.experiments.document import Estimate
from duskmatch.records import CameraRule, Modality


class Search(Part):
    """One direction at one severity, in fractions of 1; `change` is the paired difference to severity 0."""

    rank1: Estimate
    rank1_change: Estimate
    mAP: Estimate
    mAP_change: Estimate


class Shift(Part):
    """The shift over all tracks, and over those of each modality; null if it has none."""

    all: Estimate
    infrared: Estimate | None
    visible: Estimate | None


class Point(Part):
    """One RUN on one film; severity 0 is the data set as it is, the same for every factor."""

    run: str
    factor: str
    severity: Count
    infrared_to_visible: Search
    visible_to_infrared: Search
    shift: Shift


class ShiftDifference(Part):
    """The shift of `run` minus that of `against` on the same film, track by track."""

    run: str
    against: str
    factor: str
    severity: Count
    shift: Shift


class FilmedData(Part):
    """The filmed set. `refilmed`: pictures of the first test person generated again for a check, and how many of them
    equal DATASET's byte by byte. `test_reads`: how often these test people were scored by this account."""

    name: str
    version: str
    fingerprint: str
    preset: str
    seed: int
    twins: str | None
    n_people_filmed: Count
    n_people: Count
    n_queries: dict[str, Count]
    n_left_out: dict[str, Count]
    n_gallery: dict[str, Count]
    chance: dict[str, float]
    test_reads: Count | None
    refilmed: dict[str, Count]


class FilmFacts(Part):
    factor: str
    severity: Count
    fingerprint: str
    n_tracks: Count
    n_frames: Count


class MeasuredRun(Part):
    """One RUN. `between_people`: the mean distance by which its shifts are divided, by modality. `same_person`: the
    mean distance of two walks of one person, divided by it: a shift of this size is what another walk does.
    `sampling` and `test_time_extras` are null in files older than these entries."""

    name: str
    weights_sha256: str
    checkpoint: str | None
    selection: str | None
    seed: int | None
    preset: str
    embedding: str
    parameters: dict[str, int]
    engine: str
    precision: str
    frames_per_clip: Count
    trained_on: dict[str, Any] | None
    training_data: Literal["this data set", "the same seed", "other Duskwalk", "other data", "not said"]
    between_people: dict[Modality, float]
    same_person: dict[Modality, float]
    sampling: str | None = None
    test_time_extras: list[str] | None = None


class FilmProtocol(Part):
    """The protocol of all RUNs; `sampling` and `test_time_extras` are null if RUNs differ in them."""

    name: str
    split: str
    camera_rule: CameraRule
    sampling: str | None
    re_ranking: str
    test_time_extras: list[str] | None
    interval: str
    bootstrap_seed: int
    shift: str


class Counterfactual(Part):
    """The whole of counterfactual.json."""

    schema_version: Literal[1] = 1
    synthetic: Literal[True] = True
    data: FilmedData
    protocol: FilmProtocol
    factors: list[str]
    severities: list[Count]
    runs: list[MeasuredRun]
    films: list[FilmFacts]
    points: list[Point]
    differences: list[ShiftDifference]
    notes: list[str]
    machine: str
    versions: dict[str, str]
