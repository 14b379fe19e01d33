"""RUNs that say they were trained on other data than they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from duskmatch.weights import HEADER_KEY, read_weights


def with_data(run: Path, target: Path, data: dict[str, Any] | None) -> Path:
    """A copy of a RUN that says it was trained on other data."""
    weights = read_weights(shutil.copytree(run, target) / "model.safetensors")
    header = {**weights.header, "data": data}
    save_file(
        load_file(run / "model.safetensors"), target / "model.safetensors", metadata={HEADER_KEY: json.dumps(header)}
    )
    return target
