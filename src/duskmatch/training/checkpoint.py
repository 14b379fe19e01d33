"""Checkpoints that are whole or not there: a folder of synced files that becomes valid by one rename.

RUN/state/000001200/ holds model.safetensors, optimizer.safetensors and progress.json of iteration 1200. The newest one
is what a run resumes from; RUN/model.safetensors is the same bytes, for those who only want the weights.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from duskmatch.embedding.run import HEADER_KEY, fill_model, read_weights
from duskmatch.errors import CheckpointError, TrainingError
from duskmatch.files import refusal, sync, write_bytes, write_whole


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint on disk."""

    path: Path
    progress: dict[str, Any]


def save_checkpoint(
    run: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    header: dict[str, Any],
    progress: dict[str, Any],
    keep: int = 1,
) -> Path:
    """Writes the state after `step` iterations; older ones beyond `keep` go once the new one is valid."""
    final = run / "state" / f"{step:09d}"
    part = run / "state" / f"{step:09d}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write(part / "model.safetensors", model_bytes(model, header))
        _write(part / "optimizer.safetensors", save(optimizer_tensors(model, optimizer)))
        _write(part / "progress.json", (json.dumps({"step": step, **progress}, indent=2) + "\n").encode())
        sync(part)
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        sync(final.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise refusal(final, error) from error
    publish(final / "model.safetensors", run / "model.safetensors")
    for old in valid_steps(run)[:-keep]:
        shutil.rmtree(run / "state" / f"{old:09d}", ignore_errors=True)
    return final


def publish(source: Path, target: Path) -> None:
    """Gives a checkpoint's weights their public name: a hard link where the disk has them, else a copy."""

    def link(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

    write_whole(target, link)


def model_bytes(model: nn.Module, header: dict[str, Any]) -> bytes:
    """A safetensors file of the model's parameters and buffers with the JSON header."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={HEADER_KEY: json.dumps(header)})


def write_model(path: Path, model: nn.Module, header: dict[str, Any]) -> None:
    write_bytes(path, model_bytes(model, header))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory by parameter name: "layer.weight/exp_avg" -> tensor."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": torch.as_tensor(value).detach().cpu().contiguous()
        for parameter, memory in optimizer.state.items()
        for key, value in memory.items()
        if value is not None
    }


def valid_steps(run: Path) -> list[int]:
    """The iterations of all valid checkpoints, oldest first."""
    folder = run / "state"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []


def load_checkpoint(run: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint | None:
    """Puts the newest valid state into model and optimiser; None where the run has not saved yet."""
    steps = valid_steps(run)
    if not steps:
        return None
    path = run / "state" / f"{steps[-1]:09d}"
    try:
        progress = json.loads((path / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / 'progress.json'}: cannot be read: {error}") from error
    fill_model(model, read_weights(path / "model.safetensors").tensors, path / "model.safetensors")
    _fill_optimizer(model, optimizer, path / "optimizer.safetensors")
    for leftover in (run / "state").glob("*.part"):
        shutil.rmtree(leftover, ignore_errors=True)
    return Checkpoint(path, progress)


def check_same_data(progress: dict[str, Any], fingerprint: str, run: Path) -> None:
    """Refuses to go on with other data than the run began with."""
    if progress.get("fingerprint") != fingerprint:
        raise TrainingError(
            f"{run} was trained on data with fingerprint {str(progress.get('fingerprint'))[:12]}; this data set has "
            f"{fingerprint[:12]}; resume with the same data or start a new RUN"
        )


def _fill_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
    parameters = dict(model.named_parameters())
    for key, tensor in read_weights(path).tensors.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{path}: holds {key}, which this network has not; it was made for other settings")
        parameter = parameters[name]
        if tensor.ndim:  # Adam's counter is a scalar and stays on the CPU
            if tensor.shape != parameter.shape:
                raise CheckpointError(f"{path}: {key} must be {tuple(parameter.shape)}; got {tuple(tensor.shape)}")
            tensor = torch.empty_like(parameter).copy_(tensor)  # in the parameter's memory order
        optimizer.state[parameter][slot] = tensor


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
