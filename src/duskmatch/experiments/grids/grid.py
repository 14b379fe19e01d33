"""The plan of a grid: rows x seeds on one data set. Finished cells are found by their files and never run twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from duskmatch.config import PRESETS, Settings, load_settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.data.dataset import DirectionPair
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation.matches import SamePersonTable
from duskmatch.experiments.grids.cells import Cell, CellResult, Scoring, elsewhere, find_result, key_of
from duskmatch.experiments.grids.selection import need_validation
from duskmatch.experiments.grids.variants import Row
from duskmatch.machine import describe
from duskmatch.models.building import find_method
from duskmatch.models.start import check_imagenet
from duskmatch.records import CameraRule, Ints, Tracklet

Results = Mapping[tuple[str, int], CellResult]  # of finished cells, by row and seed


@dataclass(frozen=True, slots=True)
class Base:
    """The settings that every row starts from."""

    preset: str
    file: Path | None = None
    overrides: tuple[str, ...] = ()
    budget: int | None = None  # iterations of a cell; None: the preset's own
    defaults: tuple[str, ...] = ()  # settings that the data set's protocol prescribes; the file may change them


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a grid by row and seed, and the settings they start from."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    base: Base
    cells: dict[tuple[str, int], Cell]

    def queue(self) -> list[Cell]:
        """All cells, each once: first all rows with the first seed, so that a complete table is early."""
        ordered = [self.cells[row.name, seed] for seed in self.seeds for row in self.rows]
        return list({cell.folder: cell for cell in reversed(ordered)}.values())[::-1]


@dataclass(frozen=True, slots=True)
class Study:
    """A named grid on a data set, with the folder of its cells and tables."""

    name: str
    out: Path
    grid: Grid
    scoring: Scoring
    dataset: Dataset

    def results(self) -> Results:
        """The results of the finished cells."""
        scoring, fingerprint = self.scoring, self.dataset.fingerprint
        found = {key: find_result(cell, scoring, fingerprint) for key, cell in self.grid.cells.items()}
        return {key: result for key, result in found.items() if result is not None}

    def waiting(self, *, mix_machines: bool) -> list[Cell]:
        """The cells that are not done; refused if one of them cannot be run here."""
        waiting = [cell for cell in self.grid.queue() if not cell.result_path(self.scoring.split).is_file()]
        if not waiting:
            return []
        done = self.results()  # refuses folders with other cells' results
        if not mix_machines:
            check_machine(waiting, done, describe())
        for cell in waiting:
            check_imagenet(cell.settings.model)
        for cell in self.grid.queue():
            elsewhere(cell, self.scoring, self.dataset.fingerprint)  # refuses them for other splits too
        return waiting


def check_machine(waiting: Sequence[Cell], done: Results, machine: str) -> None:
    """Refuses to finish a seed on another machine, since the rows of a seed are compared with each other.

    Another CPU rounds differently, which changes the result of a training as much as another seed does.
    """
    for cell in waiting:
        other = next((r for (_, seed), r in done.items() if seed == cell.seed and r.machine != machine), None)
        if other is not None:
            raise SettingsError(
                f"seed {cell.seed} was started on another machine: row {other.row} on {other.machine}; this is "
                f"{machine}; run other --seeds here, or pass --mix-machines; the tables name every machine"
            )


def make_grid(rows: Sequence[Row], seeds: Sequence[int], base: Base, out: Path) -> Grid:
    """The grid with its cells in OUT/cells; rows with equal settings share their cells."""
    if not rows or not seeds:
        raise SettingsError("an experiment needs at least one row and one seed")
    for name, values in (("row", [row.name for row in rows]), ("seed", [str(seed) for seed in seeds])):
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise SettingsError(f"each {name} must be named once; got {twice} twice")
    cells: dict[tuple[str, int], Cell] = {}
    for row in rows:
        for seed in seeds:
            settings = settings_of(row, seed, base)
            cells[row.name, seed] = Cell(row.name, settings, out / "cells" / key_of(settings) / f"seed{seed}")
    return Grid(tuple(rows), tuple(seeds), base, cells)


def settings_of(row: Row, seed: int, base: Base) -> Settings:
    """A row's settings: preset, file, shared overrides, the row's overrides, and the budget unless the row sets it."""
    preset, named = start_of(row, base)
    try:
        settings = load_settings(
            preset,
            file=base.file,
            overrides=(*named, *base.overrides, *row.overrides),
            seed=seed,
            defaults=base.defaults,
            file_begins_from=base.preset,
        )
        find_method(settings.model.name)  # an unknown one is refused before anything is trained
    except SettingsError as error:
        raise SettingsError(f"row {row.name}: {error}") from error
    if settings.train.selection != "last":
        chosen = settings.train.selection
        raise SettingsError(
            f"row {row.name}: train.selection must be left out of a grid; got {chosen}; pass --selection {chosen}"
        )
    own = any(override.startswith("train.steps_per_epoch=") for override in row.overrides)
    return settings if base.budget is None or own else with_budget(settings, base.budget)


METHOD_PRESETS = {"paper": "own"}  # base preset -> ending of a method's preset, if they differ


def start_of(row: Row, base: Base) -> tuple[str, tuple[str, ...]]:
    """The preset and overrides a row starts from: its method's preset, or if there is none the base's and the name."""
    if row.method is None:
        return base.preset, ()
    preset = f"{row.method}-{METHOD_PRESETS.get(base.preset, base.preset)}"
    return (preset, ()) if preset in PRESETS else (base.preset, (f"model.name={row.method}",))


def with_budget(settings: Settings, iterations: int) -> Settings:
    """The settings with this many iterations in the same number of epochs, rounded up to equally long epochs."""
    epochs = settings.train.n_epochs
    if iterations < epochs:
        raise SettingsError(f"--budget must be at least {epochs} iterations, one for each epoch; got {iterations}")
    train = settings.train.model_copy(update={"steps_per_epoch": -(-iterations // epochs)})
    return settings.model_copy(update={"train": train})


def plan_study(name: str, grid: Grid, scoring: Scoring, out: Path) -> Study:
    """The grid with its opened data set; refused if a cell could be trained but not scored."""
    dataset = open_dataset(scoring.data)
    check_data(dataset, scoring, grid)
    return Study(name, out, grid, scoring, dataset)


def check_data(dataset: Dataset, scoring: Scoring, grid: Grid) -> None:
    """Refuses data on which a trained cell could not be scored, before it is trained."""
    splits = [scoring.split]
    if scoring.selection == "validation":
        need_validation(dataset)
        splits = list(dict.fromkeys((scoring.split, "validation")))
    protocol = dataset.protocol
    rules = sorted({cell.settings.evaluate.camera_rule or protocol.camera_rule for cell in grid.cells.values()})
    for split, asked, trial in product(splits, protocol.pairs, protocol.trials):
        pair = dataset.pair(asked.name, split, trial)
        for rule in rules:
            check_pair(pair, rule, f"{dataset.root}: {asked.name} on {split} people")


def check_pair(pair: DirectionPair, rule: CameraRule, what: str) -> None:
    """Refuses sides that cannot be scored: one is empty, or no query has a match under the camera rule."""
    for role, side in (("query", pair.query), ("gallery", pair.gallery)):
        if not side:
            raise DataError(f"{what} needs a query and a gallery; the {role} is empty; check the data or its lists")
    same = SamePersonTable(*_labels(pair.gallery), rule).of(*_labels(pair.query))
    if same.matches.any():
        return
    if same.n_removed().any():
        why = f"camera rule {rule} removes every match; pass --evaluate.camera_rule none"
    else:
        why = "no query's person is in the gallery; check the data or choose another --split"
    raise DataError(f"{what} needs a query with a match; {why}")


def _labels(side: Sequence[Tracklet]) -> tuple[Ints, Ints]:
    return np.array([t.pid for t in side], np.int64), np.array([t.camid for t in side], np.int64)
