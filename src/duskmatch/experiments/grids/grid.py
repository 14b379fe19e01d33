"""An experiment: rows x seeds on one data set, with one budget; resumable, finished cells are never run again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from duskmatch.config import PRESETS, Settings, load_settings
from duskmatch.data import Dataset
from duskmatch.errors import SettingsError
from duskmatch.experiments.grids.cells import Cell, CellResult, Order, find_result
from duskmatch.experiments.grids.variants import Row
from duskmatch.records import DIRECTIONS


@dataclass(frozen=True, slots=True)
class Base:
    """Where the settings of every row start."""

    preset: str
    file: Path | None = None
    overrides: tuple[str, ...] = ()
    budget: int | None = None  # iterations of a cell; None: the preset's own


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
        settings = load_settings(preset, file=base.file, overrides=(*named, *base.overrides, *row.overrides), seed=seed)
    except SettingsError as error:
        raise SettingsError(f"row {row.name}: {error}") from error
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
    epochs = settings.train.stage1_epochs + settings.train.stage2_epochs
    if iterations < epochs:
        raise SettingsError(f"--budget must be at least {epochs} iterations, one for each epoch; got {iterations}")
    train = settings.train.model_copy(update={"steps_per_epoch": -(-iterations // epochs)})
    return settings.model_copy(update={"train": train})


def key_of(settings: Settings) -> str:
    """A short name that follows from the settings, seed apart; a new setting at its default does not change it."""
    text = settings.model_copy(update={"seed": 0}).model_dump_json(exclude_defaults=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_data(dataset: Dataset, order: Order) -> str:
    """The data set's fingerprint, after a look at whether the split can be scored at all."""
    for direction in DIRECTIONS:
        dataset.direction(direction, order.split)
    return dataset.fingerprint
