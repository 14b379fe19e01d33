"""The JSON of a grid of runs: an entry for each row, seed and direction, including those that did not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.document import Part
from duskmatch.experiments.grids.cells import CellResult, LegacyBest, People
from duskmatch.experiments.grids.comparison import COMPARED, Comparison, Scored, compare
from duskmatch.experiments.grids.given import Budget, RowSettings, SettingsFile, budget_of, rows_settings, settings_file
from duskmatch.experiments.grids.grid import Results, Study
from duskmatch.experiments.grids.variants import PRINTED
from duskmatch.health import in_short
from duskmatch.machine import describe, versions
from duskmatch.records import DIRECTIONS, Direction

SCHEMA_VERSION = 1
BOTH: tuple[Direction | Literal["both"], ...] = (*DIRECTIONS, "both")


class RowScores(Part):
    """One row, seed and direction; if it did not run, figures are null and `status` says why."""

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
    health: str | None = None  # names of dead and idle parts
    people: People | None = None
    printed: dict[str, float] | None = None  # the paper's figures, per cent, on its own data
    test_best_legacy: LegacyBest | None = None

    def percent(self, figure: str) -> float:
        """A figure of a finished cell, in per cent."""
        return 100.0 * float(getattr(self, figure))


class NotComparable(Part):
    """A pair of rows that gets no differences, and why."""

    row: str
    against: str
    why: str


class GridDocument(Part):
    """table1.json, sweep.json, ... `camera_rule` is the first row's; `machine` names all machines of the cells."""

    schema_version: int
    experiment: str
    synthetic: bool
    data: dict[str, Any]
    split: str
    selection: str
    camera_rule: str
    budget: Budget
    rows: list[RowScores]
    settings: dict[str, list[str]]  # the overrides of each row
    builds_on: dict[str, str | None]
    differences: list[Comparison]
    machine: str
    threads: int | list[int] | None
    versions: dict[str, str]
    rows_settings: dict[str, RowSettings] = Field(default_factory=dict)
    settings_file: SettingsFile | None = None
    not_comparable: list[NotComparable] = Field(default_factory=list)

    @property
    def word(self) -> str:
        """The ending of titles: marks synthetic data, else empty."""
        return " (SYNTHETIC data)" if self.synthetic else ""

    def done(self, name: str, direction: str | None = None) -> list[RowScores]:
        """The scores of a row's finished cells, in one direction or both."""
        own = (one for one in self.rows if one.name == name and one.status == "done")
        return [one for one in own if direction in (None, one.direction)]


def grid_document(study: Study, failed: Mapping[str, str]) -> GridDocument:
    """The document of the study so far; `failed`: folder of a cell -> why it failed."""
    grid, dataset, results = study.grid, study.dataset, study.results()
    settings = next(iter(grid.cells.values())).settings
    rows = scores_of_rows(study, results, failed)
    builds_on = {row.name: row.builds_on for row in grid.rows}
    found, left_out = comparisons(rows, builds_on)
    reads = [result.data.test_reads for result in results.values() if result.data.test_reads is not None]
    return GridDocument(
        schema_version=SCHEMA_VERSION,
        experiment=study.name,
        synthetic=dataset.synthetic,
        data={
            "name": dataset.name,
            "version": dataset.version or None,
            "fingerprint": dataset.fingerprint,
            "test_reads": max(reads, default=None),
        },
        split=study.scoring.split,
        selection=study.scoring.selection,
        camera_rule=settings.evaluate.camera_rule or dataset.protocol.camera_rule,
        budget=budget_of(grid, settings),
        rows=rows,
        settings={row.name: list(row.overrides) for row in grid.rows},
        builds_on=builds_on,
        differences=found,
        **computed_by(list(results.values()), study.scoring.threads),
        rows_settings=rows_settings(grid, dataset),
        settings_file=settings_file(grid),
        not_comparable=left_out,
    )


def computed_by(results: Sequence[CellResult], threads: int | None) -> dict[str, Any]:
    """All machines, threads and versions of the finished cells, or this machine's if none is finished."""
    if not results:
        return {"machine": describe(), "threads": threads, "versions": versions()}
    counts = sorted({result.threads for result in results})
    names = dict.fromkeys(name for result in results for name in result.versions)
    return {
        "machine": _distinct((result.machine for result in results), "; "),
        "threads": counts if len(counts) > 1 else counts[0],
        "versions": {n: _distinct((r.versions[n] for r in results if n in r.versions), ", ") for n in names},
    }


def _distinct(texts: Iterable[str], between: str) -> str:
    return between.join(dict.fromkeys(texts))


def scores_of_rows(study: Study, results: Results, failed: Mapping[str, str]) -> list[RowScores]:
    """The scores of every row, seed and direction; on the paper's data set with its printed figures."""
    grid, found = study.grid, []
    for row in grid.rows:
        printed = PRINTED.get(row.name, {}) if study.dataset.name == "HITSZ-VCM" else {}
        for seed in grid.seeds:
            result = results.get((row.name, seed))
            status = "done" if result else failed.get(str(grid.cells[row.name, seed].folder), "not run")
            for direction in DIRECTIONS:
                own = RowScores(
                    name=row.name, seed=seed, direction=direction, status=status, printed=printed.get(direction)
                )
                found.append(own.model_copy(update=_figures(result, direction)) if result else own)
    return found


def _figures(result: CellResult, direction: Direction) -> dict[str, Any]:
    scores = result.directions[direction]
    return {
        **{key: value for key, value in scores if key in RowScores.model_fields},
        "parameters": result.parameters["training"],
        "parameters_at_test": result.parameters["test"],
        "flops": result.flops,
        "seconds": result.seconds,
        "health": None if result.health is None else in_short(result.health.model_dump()),
        "people": result.people[direction],
        "test_best_legacy": (result.test_best_legacy or {}).get(direction),
    }


def comparisons(
    rows: Sequence[RowScores], builds_on: Mapping[str, str | None]
) -> tuple[list[Comparison], list[NotComparable]]:
    """The differences of each row to the one it builds on and to the first; and pairs that cannot be compared."""
    cells: dict[str, dict[int, dict[Direction, Scored]]] = {name: {} for name in builds_on}
    for one in rows:
        if one.rank1 is not None and one.mAP is not None and one.people is not None:
            cells[one.name].setdefault(one.seed, {})[one.direction] = Scored(one.rank1, one.mAP, one.people)
    found: list[Comparison] = []
    left_out: list[NotComparable] = []
    first, *others = builds_on
    for name in others:
        for against in dict.fromkeys(filter(None, (builds_on[name], first))):
            if against not in cells or against == name:
                continue
            try:
                pair = cells[name], cells[against]
                compared = [
                    compare(*pair, direction, figure, names=(name, against))
                    for direction in BOTH
                    for figure in COMPARED
                ]
            except EvaluationError as error:
                left_out.append(NotComparable(row=name, against=against, why=str(error)))
            else:
                found += [one for one in compared if one is not None]
    return found, left_out
