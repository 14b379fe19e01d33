"""counterfactual.json: what one factor at a time does to who is found and to the embeddings, with all it depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duskmatch.errors import EvaluationError
from duskmatch.records import CameraRule, Modality

Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Part):
    """A mean and its 95 % interval, bootstrap over people."""

    value: float
    interval: tuple[float, float]


class Search(Part):
    """One direction at one severity, in fractions of 1; `change` is the paired difference to severity 0."""

    rank1: Figure
    rank1_change: Figure
    mAP: Figure
    mAP_change: Figure


class Shift(Part):
    """Over all tracks, and over those of each modality; null where there is none."""

    all: Figure
    infrared: Figure | None
    visible: Figure | None


class Point(Part):
    """One RUN on one film; severity 0 is the data set as it is, the same for every factor."""

    run: str
    factor: str
    severity: Count
    infrared_to_visible: Search
    visible_to_infrared: Search
    shift: Shift


class Difference(Part):
    """The shift of `run` minus that of `against` on the same film, track by track."""

    run: str
    against: str
    factor: str
    severity: Count
    shift: Shift


class DataFacts(Part):
    """What was filmed again. `refilmed`: pictures of the first test person made again for a check, and how many of them
    were DATASET's to the byte. `test_reads`: how often these test people were scored on this account."""

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


class RunFacts(Part):
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


class Protocol(Part):
    """What is the same for every RUN; `sampling` and `test_time_extras` are null where RUNs differ by them."""

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
    """counterfactual.json as a whole."""

    schema_version: Literal[1] = 1
    synthetic: Literal[True] = True
    data: DataFacts
    protocol: Protocol
    factors: list[str]
    severities: list[Count]
    runs: list[RunFacts]
    films: list[FilmFacts]
    points: list[Point]
    differences: list[Difference]
    notes: list[str]
    machine: str
    versions: dict[str, str]


def read_counterfactual(path: str | Path) -> Counterfactual:
    """A counterfactual.json, checked against the schema."""
    try:
        return Counterfactual.model_validate_json(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise EvaluationError(f"{path} is no counterfactual.json of this version: {why}; run it again") from error
