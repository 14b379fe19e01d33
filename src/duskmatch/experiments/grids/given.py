"""What a grid's cells were given: the budget, each row's own settings, the file of settings for all rows."""

from __future__ import annotations

from typing import Any

import yaml

from duskmatch.config import Settings, TrainSettings
from duskmatch.data import Dataset
from duskmatch.errors import SettingsError
from duskmatch.experiments.grids.cells import Part
from duskmatch.experiments.grids.grid import Base, Grid, settings_of
from duskmatch.yaml_text import load_yaml


class Budget(Part):
    """What every cell of the first row was given; where a row has its own, `rows_settings` says so."""

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


class RowSettings(Part):
    """What the cells of one row were given, its own settings and its method's preset counted in."""

    preset: str
    method: str
    iterations: int | None
    clips_per_iteration: int
    training_frames: int
    size: tuple[int, int]
    schedule: str
    camera_rule: str


class SettingsFile(Part):
    """The file of settings for all rows; its content is null where it was gone or changed when this was written."""

    name: str
    content: dict[str, Any] | None


def iterations_of(train: TrainSettings) -> int | None:
    """Of all stages; None where the data set says how long an epoch is."""
    return train.steps_per_epoch * train.n_epochs if train.steps_per_epoch else None


def budget_of(base: Base, settings: Settings) -> Budget:
    train = settings.train
    return Budget(
        preset=base.preset,
        overrides=list(base.overrides),
        iterations=iterations_of(train),
        stage1_epochs=train.stage1_epochs,
        stage2_epochs=train.stage2_epochs,
        steps_per_epoch=train.steps_per_epoch,
        pids_per_batch=train.pids_per_batch,
        tracklets_per_pid=train.tracklets_per_pid,
        training_frames=settings.data.training_frames,
        size=(settings.data.height, settings.data.width),
        schedule=train.schedule,
    )


def rows_settings(grid: Grid, dataset: Dataset) -> dict[str, RowSettings]:
    """Each row's own; seeds of a row differ in nothing else."""
    found = {}
    for row in grid.rows:
        settings = grid.cells[row.name, grid.seeds[0]].settings
        train = settings.train
        found[row.name] = RowSettings(
            preset=settings.preset,
            method=settings.model.name,
            iterations=iterations_of(train),
            clips_per_iteration=2 * train.pids_per_batch * train.tracklets_per_pid,
            training_frames=settings.data.training_frames,
            size=(settings.data.height, settings.data.width),
            schedule=train.schedule,
            camera_rule=settings.evaluate.camera_rule or dataset.protocol.camera_rule,
        )
    return found


def settings_file(grid: Grid, base: Base) -> SettingsFile | None:
    """The file's parsed content, as long as it still gives the settings that the cells were planned with."""
    if base.file is None:
        return None
    row, seed = grid.rows[0], grid.seeds[0]
    try:
        same = settings_of(row, seed, base) == grid.cells[row.name, seed].settings
        content = (load_yaml(base.file.read_text(encoding="utf-8")) or {}) if same else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, SettingsError):
        content = None
    return SettingsFile(name=base.file.name, content=content)
