"""Reading of a RUN folder: settings, weights and their header. Nothing pickled is ever loaded.

RUN/VERSION            of this layout
RUN/settings.yaml      every setting
RUN/model.safetensors  weights, with a JSON header on their origin
RUN/state/             checkpoints: weights, optimiser and schedule together
RUN/log.csv, curves.png, scores.json, report.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from duskmatch.config import Settings, parse_settings
from duskmatch.errors import CheckpointError, SettingsError, first_fault
from duskmatch.models import Network
from duskmatch.models.building import NoRandomStart, build_model
from duskmatch.weights import Weights, fill_model, read_weights

LAYOUT_VERSION = "1"


class TrainedOn(BaseModel):
    """The training data in a header; other entries may follow."""

    model_config = ConfigDict(strict=True)
    name: str | None = None
    version: str | None = None
    fingerprint: str | None = None
    synthetic: bool | None = None
    protocol: str | None = None
    seed: int | None = None


class Header(BaseModel):
    """The entries of a header that scores, pages and tables repeat; others may follow."""

    model_config = ConfigDict(strict=True)
    checkpoint: str | None = None
    selection: str | None = None
    data: TrainedOn | None = None


def read_run(run: Path) -> tuple[Settings, Weights]:
    """A trained RUN's settings and weights, each checked against the layout."""
    if not run.is_dir():
        raise CheckpointError(f"{run} is no RUN folder; name the folder given to `duskmatch train --out`")
    check_version(run)
    weights = read_weights(run / "model.safetensors")
    try:
        settings = parse_settings(weights.header["settings"])
        if int(weights.header["n_pids"]) < 1:
            raise ValueError(f"n_pids must be at least 1; got {weights.header['n_pids']}")
        Header.model_validate(weights.header)
    except KeyError as error:
        raise CheckpointError(
            f"{run / 'model.safetensors'}: its header lacks {error}; not made by duskmatch"
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{run / 'model.safetensors'}: its header is damaged: {first_fault(error)}") from error
    except (TypeError, ValueError, OverflowError, SettingsError) as error:
        raise CheckpointError(f"{run / 'model.safetensors'}: its header does not hold settings: {error}") from error
    return settings, weights


def run_files(run: Path) -> list[Path]:
    """The files of a RUN or an exported folder that no result may replace."""
    return [path for path in run.glob("*") if not path.name.startswith(("scores", "report"))]


def check_version(run: Path) -> None:
    """Refuses a RUN of another layout."""
    path = run / "VERSION"
    version = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
    if version != LAYOUT_VERSION:
        raise CheckpointError(
            f"{path}: this duskmatch reads RUN layout {LAYOUT_VERSION}; got {(version or 'no such file')[:40]}; "
            "train again or use the duskmatch that wrote it"
        )


def load_model(run: Path) -> tuple[Network, Settings, dict[str, Any]]:
    """A trained RUN's network in evaluation mode, its settings and its header.

    The network is first built without memory, so that a header that asks for a huge one is refused by its shapes.
    """
    settings, weights = read_run(run)
    try:
        with torch.device("meta"), NoRandomStart():
            model = build_model(settings, int(weights.header["n_pids"]))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # sizes that no tensor can have
        raise CheckpointError(f"{run / 'model.safetensors'}: its header asks for an impossible network") from error
    except SettingsError as error:
        raise CheckpointError(f"{run / 'model.safetensors'}: its header does not hold settings: {error}") from error
    fill_model(model, weights.tensors, run / "model.safetensors")
    return model.eval(), settings, weights.header
