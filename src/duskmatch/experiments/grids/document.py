"""One JSON for every grid of runs: a line for each row, seed and direction, also for those that did not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from duskmatch.data import Dataset
from duskmatch.errors import EvaluationError
from duskmatch.experiments.grids.cells import CellResult, LegacyBest, Order, Part, People
from duskmatch.experiments.grids.comparison import COMPARED, Difference, Scored, compare
from duskmatch.experiments.grids.given import Budget, RowSettings, SettingsFile, budget_of, rows_settings, settings_file
from duskmatch.experiments.grids.grid import Base, Grid
from duskmatch.experiments.grids.variants import PRINTED
from duskmatch.health import in_short
from duskmatch.machine import describe, versions
from duskmatch.records import DIRECTIONS, Direction

SCHEMA_VERSION = 1
BOTH: tuple[Direction | Literal["both"], ...] = (*DIRECTIONS, "both")


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
    health: str | None = None  # which learned parts are dead or idle, in short
    people: People | None = None
    printed: dict[str, float] | None = None  # the paper's, per cent, on its own data
    test_best_legacy: LegacyBest | None = None


class NotComparable(Part):
    """A pair of rows that gets no differences, and why."""

    row: str
    against: str
    why: str


class Experiment(Part):
    """table1.json, sweep.json, ... `camera_rule` is the first row's; where cells ran on several machines, all stand."""

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
    threads: int | list[int] | None
    versions: dict[str, str]
    rows_settings: dict[str, RowSettings] = Field(default_factory=dict)
    settings_file: SettingsFile | None = None
    not_comparable: list[NotComparable] = Field(default_factory=list)


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
    rows = lines(grid, results, failed, printed=dataset.name == "HITSZ-VCM")
    builds_on = {row.name: row.builds_on for row in grid.rows}
    found, left_out = differences(rows, builds_on)
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
        rows=rows,
        settings={row.name: list(row.overrides) for row in grid.rows},
        builds_on=builds_on,
        differences=found,
        **computed_by(list(results.values()), order),
        rows_settings=rows_settings(grid, dataset),
        settings_file=settings_file(grid, base),
        not_comparable=left_out,
    ).model_dump(mode="json")


def computed_by(results: Sequence[CellResult], order: Order) -> dict[str, Any]:
    """Machine, threads and versions: all different ones of the cells, or of this machine where none is done."""
    if not results:
        return {"machine": describe(), "threads": order.threads, "versions": versions()}
    threads = sorted({result.threads for result in results})
    names = dict.fromkeys(name for result in results for name in result.versions)
    return {
        "machine": _distinct((result.machine for result in results), "; "),
        "threads": threads if len(threads) > 1 else threads[0],
        "versions": {n: _distinct((r.versions[n] for r in results if n in r.versions), ", ") for n in names},
    }


def _distinct(texts: Iterable[str], between: str) -> str:
    return between.join(dict.fromkeys(texts))


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
            "health": None if result.health is None else in_short(result.health.model_dump()),
            "people": result.people[direction],
            "test_best_legacy": (result.test_best_legacy or {}).get(direction),
        }
    )


def differences(
    rows: Sequence[Line], builds_on: Mapping[str, str | None]
) -> tuple[list[Difference], list[NotComparable]]:
    """Each row less the one it builds on, and less the first row; and the pairs that cannot be compared."""
    cells: dict[str, dict[int, dict[Direction, Scored]]] = {name: {} for name in builds_on}
    for line in rows:
        if line.rank1 is not None and line.mAP is not None and line.people is not None:
            cells[line.name].setdefault(line.seed, {})[line.direction] = Scored(line.rank1, line.mAP, line.people)
    found: list[Difference] = []
    left_out: list[NotComparable] = []
    first, *others = builds_on
    for name in others:
        for against in dict.fromkeys(filter(None, (builds_on[name], first))):
            if against not in cells or against == name:
                continue
            try:
                seen = [
                    compare(cells[name], cells[against], direction, figure, names=(name, against))
                    for direction in BOTH
                    for figure in COMPARED
                ]
            except EvaluationError as error:
                left_out.append(NotComparable(row=name, against=against, why=str(error)))
            else:
                found += [one for one in seen if one is not None]
    return found, left_out
