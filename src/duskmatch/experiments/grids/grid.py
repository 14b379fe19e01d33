"""An experiment: rows x seeds on one data set, with one budget; resumable, finished cells are never run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from duskmatch.config import PRESETS, Settings, load_settings
from duskmatch.data import Dataset
from duskmatch.data.dataset import DirectionPair
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation.matches import SamePersonTable
from duskmatch.experiments.grids.cells import Cell, CellResult, Order, elsewhere, find_result, key_of
from duskmatch.experiments.grids.selection import need_validation
from duskmatch.experiments.grids.variants import Row
from duskmatch.records import CameraRule, Ints, Tracklet


@dataclass(frozen=True, slots=True)
class Base:
    """Where the settings of every row start."""

    preset: str
    file: Path | None = None
    overrides: tuple[str, ...] = ()
    budget: int | None = None  # iterations of a cell; None: the preset's own
    defaults: tuple[str, ...] = ()  # what the data set's protocol brings to training, before the file


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of an experiment by row and seed."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    cells: dict[tuple[str, int], Cell]

    def queue(self) -> list[Cell]:
        """The first seed of all rows, then the next: a table is whole as early as can be. Equal cells come once."""
        ordered = [self.cells[row.name, seed] for seed in self.seeds for row in self.rows]
        return list({cell.folder: cell for cell in reversed(ordered)}.values())[::-1]

    def results(self, order: Order, fingerprint: str) -> dict[tuple[str, int], CellResult]:
        """What is done so far."""
        found = {key: find_result(cell, order, fingerprint) for key, cell in self.cells.items()}
        return {key: result for key, result in found.items() if result is not None}

    def check_folders(self, order: Order, fingerprint: str) -> None:
        """Refuses folders with other cells' results on other splits; `results` does so on the order's own."""
        for cell in self.queue():
            elsewhere(cell, order, fingerprint)


def check_machine(waiting: Sequence[Cell], done: Mapping[tuple[str, int], CellResult], machine: str) -> None:
    """Refuses to finish a seed on another machine than it was begun on: its rows are compared with each other.

    Other vector units round otherwise, and a training of hundreds of iterations ends as another draw.
    """
    for cell in waiting:
        other = next((r for (_, seed), r in done.items() if seed == cell.seed and r.machine != machine), None)
        if other is not None:
            raise SettingsError(
                f"seed {cell.seed} was begun on another machine: row {other.row} on {other.machine}, this is "
                f"{machine}; run seeds of their own here, or pass --mix-machines, which the tables will say"
            )


def make_grid(rows: Sequence[Row], seeds: Sequence[int], base: Base, out: Path) -> Grid:
    """The grid whose cells lie in OUT/cells; rows of equal settings share theirs."""
    if not rows or not seeds:
        raise SettingsError("an experiment needs at least one row and one seed")
    for name, values in (("row", [row.name for row in rows]), ("seed", [str(seed) for seed in seeds])):
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise SettingsError(f"each {name} must stand once; got {twice} twice")
    cells: dict[tuple[str, int], Cell] = {}
    for row in rows:
        for seed in seeds:
            settings = settings_of(row, seed, base)
            cells[row.name, seed] = Cell(row.name, settings, out / "cells" / key_of(settings) / f"seed{seed}")
    return Grid(tuple(rows), tuple(seeds), cells)


def settings_of(row: Row, seed: int, base: Base) -> Settings:
    """A row's settings: preset, file, what all rows share, the row's own; the budget, unless the row has its own."""
    preset, named = start_of(row, base)
    try:
        overrides = (*named, *base.overrides, *row.overrides)
        settings = load_settings(
            preset,
            file=base.file,
            overrides=overrides,
            seed=seed,
            defaults=base.defaults,
            file_begins_from=base.preset,
        )
    except SettingsError as error:
        raise SettingsError(f"row {row.name}: {error}") from error
    if settings.train.selection != "last":
        chosen = settings.train.selection
        raise SettingsError(
            f"row {row.name}: train.selection must be left out of a grid; got {chosen}; pass --selection {chosen}"
        )
    own = any(override.startswith("train.steps_per_epoch=") for override in row.overrides)
    return settings if base.budget is None or own else with_budget(settings, base.budget)


METHODS_OWN = {"paper": "own"}  # the ending of a method's preset that stands in the place of the base's


def start_of(row: Row, base: Base) -> tuple[str, tuple[str, ...]]:
    """Where the row's settings start: the method's preset for the base's, or the base's with the method's name."""
    if row.method is None:
        return base.preset, ()
    preset = f"{row.method}-{METHODS_OWN.get(base.preset, base.preset)}"
    return (preset, ()) if preset in PRESETS else (base.preset, (f"model.name={row.method}",))


def with_budget(settings: Settings, iterations: int) -> Settings:
    """As many iterations as asked, in the same epochs, each made longer or shorter; rounded up to whole epochs."""
    epochs = settings.train.n_epochs
    if iterations < epochs:
        raise SettingsError(f"--budget must be at least {epochs} iterations, one for each epoch; got {iterations}")
    train = settings.train.model_copy(update={"steps_per_epoch": -(-iterations // epochs)})
    return settings.model_copy(update={"train": train})


def check_data(dataset: Dataset, order: Order, grid: Grid) -> str:
    """The data set's fingerprint, after a look at whether every cell can be scored, which it would be last of all."""
    splits = [order.split]
    if order.selection == "validation":
        need_validation(dataset)
        splits = list(dict.fromkeys((order.split, "validation")))
    protocol = dataset.protocol
    rules = sorted({cell.settings.evaluate.camera_rule or protocol.camera_rule for cell in grid.cells.values()})
    for split, asked, trial in product(splits, protocol.pairs, protocol.trials):
        pair = dataset.pair(asked.name, split, trial)
        for rule in rules:
            check_pair(pair, rule, f"{dataset.root}: {asked.name} on {split} people")
    return dataset.fingerprint


def check_pair(pair: DirectionPair, rule: CameraRule, what: str) -> None:
    """Refuses sides that no embedding of theirs could be scored on: an empty one, or no query with a match left."""
    for role, side in (("query", pair.query), ("gallery", pair.gallery)):
        if not side:
            raise DataError(f"{what} needs a query and a gallery; the {role} is empty; check the data or its lists")
    same = SamePersonTable(*_labels(pair.gallery), rule).of(*_labels(pair.query))
    if same.matches.any():
        return
    if same.n_removed().any():
        why = f"camera rule {rule} takes every match away; pass --evaluate.camera_rule none"
    else:
        why = "no query's person is in the gallery; check the data or choose another --split"
    raise DataError(f"{what} needs a query with a match; {why}")


def _labels(side: Sequence[Tracklet]) -> tuple[Ints, Ints]:
    return np.array([t.pid for t in side], np.int64), np.array([t.camid for t in side], np.int64)
