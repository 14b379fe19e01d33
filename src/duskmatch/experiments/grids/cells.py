"""One cell of a grid, a row with one seed, and its result, SPLIT.json, which exists once the cell is done."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from duskmatch.config import Settings, parse_settings
from duskmatch.errors import OutputError, SettingsError, first_fault
from duskmatch.evaluation.document import Count, DataFacts, DirectionScores, Fraction, Part
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.files import read_regular
from duskmatch.health import Health
from duskmatch.records import DIRECTIONS, Direction

SelectionHabit = Literal["last", "validation", "test_best_legacy"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = get_args(ScoredSplit)
CELL_VERSION: Final = 1
ROUNDING = 1e-3  # of the sums of average precisions


class People(Part):
    """Each person's queries in all trials: their number, those with a match at rank 1, the sum of average precision."""

    pids: list[Count]
    n: list[Count]
    hits: list[Count]
    precision: list[float]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.pids or self.pids != sorted(set(self.pids)):
            raise ValueError("pids must be there and rise, each once")
        if not len(self.pids) == len(self.n) == len(self.hits) == len(self.precision):
            raise ValueError("pids, n, hits and precision must be of one length")
        for n, hits, precision in zip(self.n, self.hits, self.precision, strict=True):
            if not (0 < n >= hits and 0 <= precision <= n + ROUNDING):
                raise ValueError(f"a person of {n} queries cannot have {hits} hits and a precision of {precision}")
        return self

    def means(self) -> tuple[float, float]:
        """Rank-1 and mAP over all queries."""
        n = sum(self.n)
        return sum(self.hits) / n, math.fsum(self.precision) / n


class LegacyBest(Part):
    """The best of all checkpoints for each figure, chosen on the test people themselves, so biased upwards."""

    rank1: Fraction
    rank1_step: Count
    mAP: Fraction
    mAP_step: Count


class CellResult(Part):
    """test.json or validation.json: a cell scored on the people of that split."""

    schema_version: Literal[1]
    row: str
    seed: int
    split: str
    selection: str
    settings: dict[str, Any]
    data: DataFacts
    synthetic: bool
    directions: dict[Direction, DirectionScores]
    people: dict[Direction, People]
    test_best_legacy: dict[Direction, LegacyBest] | None
    parameters: dict[str, Count]
    flops: Count
    seconds: float = Field(ge=0)  # of training: iterations times their median, so that pauses do not count
    frames_per_s: float = Field(ge=0)
    machine: str
    threads: Count
    versions: dict[str, str]
    health: Health | None = None  # RUN/health.json; None in older files
    weights_sha256: str | None = None  # of the RUN's model.safetensors; None in older files

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, found, wanted in (
            ("directions", self.directions, DIRECTIONS),
            ("people", self.people, DIRECTIONS),
            ("test_best_legacy", self.test_best_legacy, DIRECTIONS),
            ("parameters", self.parameters, ("training", "test")),
        ):
            if found is not None and (lacking := [key for key in wanted if key not in found]):
                raise ValueError(f"{name} lacks {lacking[0]}")
        for direction, scores in self.directions.items():
            people = self.people[direction]
            if sum(people.n) != scores.n_queries:  # several trials, whose means need not be those of all queries
                continue
            for figure, mean in zip(("rank1", "mAP"), people.means(), strict=True):
                if abs(getattr(scores, figure) - mean) > ROUNDING:
                    raise ValueError(f"{direction} has {figure} {getattr(scores, figure):.4f}, its people {mean:.4f}")
        return self


@dataclass(frozen=True, slots=True)
class Cell:
    """One run to do; `folder` holds its RUN, and its results on the splits on which it was scored."""

    row: str
    settings: Settings
    folder: Path

    @property
    def seed(self) -> int:
        return self.settings.seed

    def result_path(self, split: ScoredSplit) -> Path:
        return self.folder / f"{split}.json"


@dataclass(frozen=True, slots=True)
class Scoring:
    """The data, people, checkpoint choice and device with which every cell of a grid is trained and scored."""

    data: Path
    split: ScoredSplit
    selection: SelectionHabit
    device: str
    threads: int | None

    def __post_init__(self) -> None:
        if self.selection == "test_best_legacy" and self.split != "test":
            raise SettingsError(
                f"--selection test_best_legacy chooses on test people; got --split {self.split}; leave out --split "
                "or choose another --selection"
            )


def key_of(settings: Settings) -> str:
    """A short hash of the settings without the seed; settings at their defaults, such as new ones, do not change it."""
    text = settings.model_copy(update={"seed": 0}).model_dump_json(exclude_defaults=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def find_result(cell: Cell, scoring: Scoring, fingerprint: str, split: ScoredSplit | None = None) -> CellResult | None:
    """The cell's result on `split` (default: the split that is scored), or None if it is not done.

    OutputError if the folder holds the result of another cell.
    """
    split = split or scoring.split
    path = cell.result_path(split)
    if not path.exists():
        return None
    try:
        result = CellResult.model_validate_json(read_regular(path))
        settings = parse_settings(result.settings)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}; move it away or change its mode") from error
    except ValueError as error:
        raise OutputError(f"{path} is damaged: {first_fault(error)}; delete it") from error
    except SettingsError as error:
        raise OutputError(f"{path} holds settings of another version of duskmatch: {error}; delete it") from error
    if (result.split, result.seed) != (split, cell.seed):
        raise OutputError(f"{path} is of {result.split} people and seed {result.seed}, not of its place; delete it")
    same = {
        "settings": settings == cell.settings,
        "data": result.data.fingerprint == fingerprint,
        "selection": result.selection == scoring.selection,
    }
    differing = [name for name, agrees in same.items() if not agrees]
    if differing:
        raise OutputError(f"{cell.folder} holds a cell with other {differing[0]}; choose another --out")
    return result


def elsewhere(cell: Cell, scoring: Scoring, fingerprint: str) -> list[CellResult]:
    """The cell's results on the other splits; refused if they are of another selection or of other data."""
    others = (find_result(cell, scoring, fingerprint, split) for split in SCORED_SPLITS if split != scoring.split)
    return [result for result in others if result is not None]
