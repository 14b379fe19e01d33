"""Records of a grid's settings: the budget, each row's own settings, and the file of settings for all rows."""

from __future__ import annotations

from typing import Any

import yaml

from duskmatch.config import Settings
from duskmatch.data import Dataset
from duskmatch.errors import SettingsError
from duskmatch.evaluation.document import Part
from duskmatch.experiments.grids.grid import Grid, settings_of
from duskmatch.yaml_text import load_yaml


class Budget(Part):
    """The training of the first row's cells; those of other rows are in `rows_settings`."""

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
    """The settings of one row's cells, with its overrides and its method's preset applied."""

    preset: str
    method: str
    iterations: int | None
    clips_per_iteration: int
    training_frames: int
    size: tuple[int, int]
    schedule: str
    camera_rule: str


class SettingsFile(Part):
    """The file of settings for all rows; content is null if the file was gone or changed when this was written."""

    name: str
    content: dict[str, Any] | None


def shared_fields(settings: Settings) -> dict[str, Any]:
    """The fields that a budget and a row's settings share.

    iterations: of all stages; None if the length of an epoch depends on the data set.
    """
    train, data = settings.train, settings.data
    return {
        "iterations": train.steps_per_epoch * train.n_epochs if train.steps_per_epoch else None,
        "training_frames": data.training_frames,
        "size": (data.height, data.width),
        "schedule": train.schedule,
    }


def budget_of(grid: Grid, settings: Settings) -> Budget:
    keys = ("stage1_epochs", "stage2_epochs", "steps_per_epoch", "pids_per_batch", "tracklets_per_pid")
    own = {key: getattr(settings.train, key) for key in keys}
    return Budget(preset=grid.base.preset, overrides=list(grid.base.overrides), **own, **shared_fields(settings))


def rows_settings(grid: Grid, dataset: Dataset) -> dict[str, RowSettings]:
    """Row -> its settings, which its seeds share."""
    found = {}
    for row in grid.rows:
        settings = grid.cells[row.name, grid.seeds[0]].settings
        found[row.name] = RowSettings(
            preset=settings.preset,
            method=settings.model.name,
            clips_per_iteration=2 * settings.train.pids_per_batch * settings.train.tracklets_per_pid,
            camera_rule=settings.evaluate.camera_rule or dataset.protocol.camera_rule,
            **shared_fields(settings),
        )
    return found


def settings_file(grid: Grid) -> SettingsFile | None:
    """The --settings file, with its content if that still gives the settings of the planned cells; None without one."""
    base, row, seed = grid.base, grid.rows[0], grid.seeds[0]
    if base.file is None:
        return None
    try:
        same = settings_of(row, seed, base) == grid.cells[row.name, seed].settings
        content = (load_yaml(base.file.read_text(encoding="utf-8")) or {}) if same else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, SettingsError):
        content = None
    return SettingsFile(name=base.file.name, content=content)
