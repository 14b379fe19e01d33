"""Checks of a RUN that an earlier command left in a cell's folder, before it is scored or resumed."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

from duskmatch.config import Settings, known_keys, read_settings
from duskmatch.errors import CheckpointError, OutputError, SettingsError
from duskmatch.files import file_hash
from duskmatch.weights import read_weights


def is_the_run(run: Path, digest: str | None, last: int | None) -> bool:
    """True if RUN still holds the weights with this SHA-256.

    Older results have no digest (None); then weights of iteration `last` are accepted.
    """
    if not (run / "model.safetensors").is_file():
        return False
    if digest is not None:
        return file_hash(run / "model.safetensors") == digest
    try:
        return last is not None and read_weights(run / "model.safetensors").header.get("step") == last
    except CheckpointError:
        return False


def check_same_settings(run: Path, settings: Settings) -> None:
    """Refuses to resume a RUN that was started with other settings."""
    path = run / "settings.yaml"
    if not path.is_file():
        raise OutputError(f"{path} must say what {run} was begun with; it is missing or no file; delete {run}")
    try:
        saved = values_of(read_settings(path))
    except SettingsError as error:
        raise OutputError(f"{path}: cannot be resumed: {error}; delete {run} or choose another --out") from error
    now = values_of(settings)
    other = next((key for key in now if saved[key] != now[key]), None)
    if other is not None:
        raise OutputError(
            f"{run} was started with {other} {saved[other]}; this command has {now[other]}; pass the same settings and "
            "--selection, or choose another --out"
        )


def values_of(settings: Settings) -> dict[str, Any]:
    """Every setting's value by its dotted name."""
    return {key: attrgetter(key)(settings) for key in known_keys()}
