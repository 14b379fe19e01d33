"""One cell of a grid, a row with one seed, and its result, SPLIT.json, which exists once the cell is done."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from duskmatch.config import Settings, parse_settings
from duskmatch.errors import OutputError, SettingsError
from duskmatch.evaluation.document import DataFacts, DirectionScores, Part
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.health import Health
from duskmatch.records import Direction

SelectionHabit = Literal["last", "validation", "test_best_legacy"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = get_args(ScoredSplit)
CELL_VERSION = 1


class People(Part):
    """Each person's queries in all trials: their number, those with a match at rank 1, the sum of average precision."""

    pids: list[int]
    n: list[int]
    hits: list[int]
    precision: list[float]


class LegacyBest(Part):
    """The best of all checkpoints for each figure, chosen on the test people themselves, so biased upwards."""

    rank1: float
    rank1_step: int
    mAP: float
    mAP_step: int


class CellResult(Part):
    """test.json or validation.json: a cell scored on the people of that split."""

    schema_version: int
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
    parameters: dict[str, int]
    flops: int
    seconds: float = Field(ge=0)  # of training: iterations times their median, so that pauses do not count
    frames_per_s: float = Field(ge=0)
    machine: str
    threads: int
    versions: dict[str, str]
    health: Health | None = None  # RUN/health.json; None in older files
    weights_sha256: str | None = None  # of the RUN's model.safetensors; None in older files


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
    path = cell.result_path(split or scoring.split)
    if not path.is_file():
        return None
    try:
        result = CellResult.model_validate_json(path.read_text(encoding="utf-8"))
        settings = parse_settings(result.settings)
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise OutputError(f"{path} is damaged: {' '.join(str(error).split())[:120]}; delete it") from error
    except SettingsError as error:
        raise OutputError(f"{path} holds settings of another version of duskmatch: {error}; delete it") from error
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
