"""Graphs made from networks, kept for the next start: making one takes seconds, reading it a fraction of a second.

They lie in the user's cache (`files.user_folder`), in one folder for each network; the KEPT latest used stay. They hold
the network's weights, so protect them like the RUN.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from duskmatch import __version__
from duskmatch.config import Settings
from duskmatch.files import user_folder

KEPT = 4
log = logging.getLogger("duskmatch")


def cached(key: str, name: str, write: Callable[[Path], None]) -> Path:
    """The file `name` of the network `key`, written by `write(path)` if it is missing.

    If the cache cannot be written, the file goes to a temporary folder, with a warning.
    """
    try:
        place = user_folder("cache") / "graphs" / key
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(place)
        forget_oldest(place.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        log.warning("the graph cannot be kept for the next start: %s", getattr(error, "strerror", None) or error)
        place = Path(tempfile.mkdtemp(prefix="duskmatch-"))
    if not (place / name).exists():
        whole_files(place, name, write)
    return place / name


def whole_files(place: Path, name: str, write: Callable[[Path], None]) -> None:
    """Runs `write` in a temporary folder and moves its files, the named one last: if that exists, all are whole."""
    with tempfile.TemporaryDirectory(dir=place, prefix=".part-") as folder:
        write(Path(folder) / name)
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == name):
            file.replace(place / file.name)


def forget_oldest(folder: Path) -> None:
    networks = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for network in networks[:-KEPT]:
        shutil.rmtree(network, ignore_errors=True)


def network_key(model: torch.nn.Module, settings: Settings, versions: Mapping[str, str]) -> str:
    """A hash of every weight, of whatever else the graph holds, and of the versions that made it."""
    data = settings.data
    shape = [data.height, data.width, data.frames_per_clip, data.normalisation, settings.model.model_dump()]
    digest = hashlib.sha256(json.dumps([*shape, __version__, torch.__version__, dict(versions)]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).numpy()).cast("B"))
    return digest.hexdigest()[:32]
