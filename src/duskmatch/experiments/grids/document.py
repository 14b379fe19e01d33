"""One JSON for every grid of runs: a line for each row, seed and direction, also for those that did not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from duskmatch.config import Settings
from duskmatch.data import Dataset
from duskmatch.embedding.machine import describe, versions
from duskmatch.experiments.grids.cells import CellResult, LegacyBest, Order, People
from duskmatch.experiments.grids.comparison import COMPARED, Difference, compare
from duskmatch.experiments.grids.grid import Base, Grid
from duskmatch.experiments.grids.variants import PRINTED
from duskmatch.records import DIRECTIONS, Direction

SCHEMA_VERSION = 1
BOTH: tuple[Direction | Literal["both"], ...] = (*DIRECTIONS, "both")


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(Part):
    """One row, seed and direction; figures are null where it did not run, `status` says why."""

    name: str
    seed: int
    direction: Direction
    status: str  # "done", "not run", or why it failed
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None
    rank20: float | None = None
    mAP: float | None = None
    mINP: float | None = None
    rank1_interval: tuple[float, float] | None = None
    mAP_interval: tuple[float, float] | None = None
    chance: float | None = None
    n_queries: int | None = None
    n_gallery: int | None = None
    parameters: int | None = None  # in training
    parameters_at_test: int | None = None
    flops: int | None = None  # for one tracklet at test
    seconds: float | None = None  # of training
    people: People | None = None
    printed: dict[str, float] | None = None  # the paper's, per cent, on its own data
    test_best_legacy: LegacyBest | None = None


class Budget(Part):
    """What every cell was given."""

    preset: str
    overrides: list[str]
    iterations: int | None
    stage1_epochs: int
    stage2_epochs: int
    steps_per_epoch: int | None
    pids_per_batch: int
    tracklets_per_pid: int
    training_frames: int
    size: tuple[int, int]
    schedule: str


class Experiment(Part):
    """table1.json, sweep.json, ..."""

    schema_version: int
    experiment: str
    synthetic: bool
    data: dict[str, Any]
    split: str
    selection: str
    camera_rule: str
    budget: Budget
    rows: list[Line]
    settings: dict[str, list[str]]  # of each row, what it changes
    builds_on: dict[str, str | None]
    differences: list[Difference]
    machine: str
    threads: int | None
    versions: dict[str, str]


def experiment_document(
    name: str,
    grid: Grid,
    base: Base,
    order: Order,
    dataset: Dataset,
    results: Mapping[tuple[str, int], CellResult],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The document, ready for JSON."""
    settings = next(iter(grid.cells.values())).settings
    some = next(iter(results.values()), None)
    reads = [result.data.test_reads for result in results.values() if result.data.test_reads is not None]
    return Experiment(
        schema_version=SCHEMA_VERSION,
        experiment=name,
        synthetic=dataset.synthetic,
        data={
            "name": dataset.name,
            "version": dataset.version or None,
            "fingerprint": dataset.fingerprint,
            "test_reads": max(reads, default=None),
        },
        split=order.split,
        selection=order.selection,
        camera_rule=settings.evaluate.camera_rule or dataset.protocol.camera_rule,
        budget=budget_of(base, settings),
        rows=lines(grid, results, failed, printed=dataset.name == "HITSZ-VCM"),
        settings={row.name: list(row.overrides) for row in grid.rows},
        builds_on={row.name: row.builds_on for row in grid.rows},
        differences=differences(grid, results),
        machine=some.machine if some else describe(),
        threads=some.threads if some else order.threads,
        versions=some.versions if some else versions(),
    ).model_dump(mode="json")


def budget_of(base: Base, settings: Settings) -> Budget:
    train = settings.train
    epochs = train.stage1_epochs + train.stage2_epochs
    return Budget(
        preset=base.preset,
        overrides=list(base.overrides),
        iterations=train.steps_per_epoch * epochs if train.steps_per_epoch else None,
        stage1_epochs=train.stage1_epochs,
        stage2_epochs=train.stage2_epochs,
        steps_per_epoch=train.steps_per_epoch,
        pids_per_batch=train.pids_per_batch,
        tracklets_per_pid=train.tracklets_per_pid,
        training_frames=settings.data.training_frames,
        size=(settings.data.height, settings.data.width),
        schedule=train.schedule,
    )


def lines(
    grid: Grid, results: Mapping[tuple[str, int], CellResult], failed: Mapping[str, str], *, printed: bool
) -> list[Line]:
    """Every row, seed and direction of the grid."""
    found = []
    for row in grid.rows:
        for seed in grid.seeds:
            for direction in DIRECTIONS:
                beside = PRINTED.get(row.name, {}).get(direction) if printed else None
                result = results.get((row.name, seed))
                status = "done" if result else failed.get(str(grid.cells[row.name, seed].folder), "not run")
                line = Line(name=row.name, seed=seed, direction=direction, status=status, printed=beside)
                found.append(line if result is None else _filled(line, result, direction))
    return found


def _filled(line: Line, result: CellResult, direction: Direction) -> Line:
    scores = result.directions[direction].model_dump()
    figures = {key: value for key, value in scores.items() if key in Line.model_fields}
    return line.model_copy(
        update={
            **figures,
            "parameters": result.parameters["training"],
            "parameters_at_test": result.parameters["test"],
            "flops": result.flops,
            "seconds": result.seconds,
            "people": result.people[direction],
            "test_best_legacy": (result.test_best_legacy or {}).get(direction),
        }
    )


def differences(grid: Grid, results: Mapping[tuple[str, int], CellResult]) -> list[Difference]:
    """Each row less the one it builds on, and less the first row."""
    by_row = {row.name: {s: results[row.name, s] for s in grid.seeds if (row.name, s) in results} for row in grid.rows}
    found: list[Difference] = []
    for row in grid.rows[1:]:
        for against in dict.fromkeys(filter(None, (row.builds_on, grid.rows[0].name))):
            if against not in by_row or against == row.name:
                continue
            for direction in BOTH:
                for figure in COMPARED:
                    seen = compare(by_row[row.name], by_row[against], direction, figure)
                    if seen:
                        found.append(seen.model_copy(update={"row": row.name, "against": against}))
    return found
