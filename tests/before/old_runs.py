"""RUNs as an earlier version wrote them, made again from what is kept of each: its header and its tensors' shapes.

Weights are drawn by the tensors' names, so that none are kept; runs.json and vectors.npz hold headers, shapes and the
vectors that the version which wrote them gave; presets.json each preset whole. `python -m tests.before.old_runs` writes
them, with today's code.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from duskmatch import load_embedder
from duskmatch.config import PRESETS, load_settings
from duskmatch.data import open_dataset
from duskmatch.models import MODELS
from duskmatch.records import MODALITIES, Modality
from tests.data.tree import Tree

FOLDER = Path(__file__).parent.parent / "fixtures" / "before"
SMALL = ["model.width=0.0625", "data.frames_per_clip=6"]
LITE = ["model.backbone=efficientnet_lite0", "model.width=0.25", "model.embedding=both", "train.centre=true"]
LITE += ["model.motion_norm=true", "model.branch_start=0.3", "train.recalibrate_steps=1"]
RUNS = {name: [f"model.name={name}", *SMALL] for name in MODELS} | {"self_attack, lite0": [*LITE, *SMALL[1:]]}


def drawn(name: str, shape: list[int], dtype: str) -> torch.Tensor:
    """Numbers that a name and a shape give, about as large as those of a network that has begun to learn."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if dtype != "float32":
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    values = rng.standard_normal(shape)
    if name.endswith("running_var"):
        values = 0.5 + np.abs(values)
    elif len(shape) > 1:
        values = values / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1 + 0.2 * values
    else:
        values = (0.001 if name.startswith("centre_") else 0.1) * values
    return torch.from_numpy(np.asarray(values, np.float32))


def write_run(kept: dict[str, Any], run: Path) -> Path:
    """The RUN folder with what reading one needs."""
    run.mkdir(parents=True)
    (run / "VERSION").write_text(kept["version"])
    tensors = {name: drawn(name, shape, dtype) for name, (shape, dtype) in kept["tensors"].items()}
    save_file(tensors, run / "model.safetensors", metadata={"duskmatch": json.dumps(kept["header"])})
    return run


def clips(modality: Modality) -> np.ndarray:
    """Two clips of six frames, smooth enough for convolutions to see something in them."""
    rng = np.random.default_rng(MODALITIES.index(modality))
    coarse = rng.integers(0, 256, (2, 6, 3, 12, 6), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=-2).repeat(8, axis=-1))


def vectors(run: Path) -> np.ndarray:
    """What its embedder gives for the clips: (modality clip d)."""
    engine = load_embedder(run, device="cpu").engine
    return np.stack([engine(clips(modality), modality) for modality in MODALITIES])


def keep() -> None:
    from duskmatch.training import train

    FOLDER.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {}
    found: dict[str, np.ndarray] = {}
    short = ["train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=1", "train.pids_per_batch=2"]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 11)}
        data = Tree(root / "tree", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
        for i, (name, overrides) in enumerate(RUNS.items()):
            run = root / str(i)
            train(load_settings("tiny", overrides=[*overrides, *short]), open_dataset(data), run, device="cpu")
            kept[name] = {
                "version": (run / "VERSION").read_text(),
                "header": load_embedder(run, device="cpu").header,
                "tensors": {
                    key: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
                    for key, tensor in load_file(run / "model.safetensors").items()
                },
            }
            found[name] = vectors(write_run(kept[name], root / f"{i}-again"))
    (FOLDER / "runs.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n", encoding="utf-8")
    np.savez_compressed(FOLDER / "vectors.npz", **found)
    presets = {name: load_settings(name).model_dump(mode="json") for name in PRESETS}
    (FOLDER / "presets.json").write_text(json.dumps(presets, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    keep()
