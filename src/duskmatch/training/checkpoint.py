"""Checkpoints, never half written: a folder of synced files that becomes valid by one rename.

RUN/state/000001200/ holds model.safetensors, optimizer.safetensors and progress.json of iteration 1200. A run
resumes from the newest one; RUN/model.safetensors has the same bytes, for those who only want the weights. With
train.ema there is average.safetensors as well, and RUN/model.safetensors equals it.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from duskmatch.errors import CheckpointError, TrainingError, first_fault
from duskmatch.files import read_regular, refusal, sync, write_bytes, write_whole
from duskmatch.weights import fill_model, model_bytes, read_weights

# What the optimisers keep of a parameter.
COUNTER = "step"  # Adam's, a scalar that stays on the CPU
SLOTS = {torch.optim.AdamW: {COUNTER, "exp_avg", "exp_avg_sq"}, torch.optim.SGD: {"momentum_buffer"}}


class Entry(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Best(Entry):
    """The best weights on validation people so far."""

    step: NonNegativeInt
    mAP: float
    rank1: float


class Progress(Entry):
    """The content of progress.json that resuming needs; older files lack "dead"."""

    step: NonNegativeInt
    fingerprint: str
    numerics: dict[str, Any]
    n_clipped: NonNegativeInt
    defense_accuracy: float
    seconds: NonNegativeFloat
    best: Best | None
    dead: list[str] = []


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
    average: nn.Module | None = None,
) -> Path:
    """Writes the state after `step` iterations; older ones beyond `keep` are removed once it is valid."""
    check_finite(model, step, run)
    known = "model.safetensors" if average is None else "average.safetensors"
    final = run / "state" / f"{step:09d}"
    part = run / "state" / f"{step:09d}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write(part / "model.safetensors", model_bytes(model, header))
        if average is not None:
            _write(part / known, model_bytes(average, header))
        _write(part / "optimizer.safetensors", save(optimizer_tensors(model, optimizer)))
        _write(part / "progress.json", (json.dumps({"step": step, **progress}, indent=2) + "\n").encode())
        sync(part)
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        sync(final.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise refusal(final, error, RESUME) from error
    publish(final / known, run / "model.safetensors")
    for old in valid_steps(run)[:-keep]:
        shutil.rmtree(run / "state" / f"{old:09d}", ignore_errors=True)
    return final


def check_finite(model: nn.Module, step: int, run: Path) -> None:
    """Refuses to save weights with NaN or infinity, so that the last good checkpoint stays."""
    bad = (name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all()))
    if name := next(bad, None):
        raise TrainingError(f"iteration {step}: {name} holds NaN or infinity; {last_good(run)}")


def last_good(run: Path) -> str:
    """The end of a message: the last good checkpoint, and settings to change before resuming from it."""
    steps = valid_steps(run)
    good = f"{run / 'state'} still holds iteration {steps[-1]}" if steps else "no checkpoint was saved before it"
    return f"{good}; lower train.lr, set train.clip_norm, or use train.precision fp32"


BUSY = "is being trained by another process; wait for it or choose another RUN"
RESUME = "run the command again with --resume, and without --overwrite"


def publish(source: Path, target: Path) -> None:
    """Gives a checkpoint's weights their public name, by a hard link if the disk has them, else by a copy."""

    def link(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

    write_whole(target, link)


def write_model(path: Path, model: nn.Module, header: dict[str, Any]) -> None:
    write_bytes(path, model_bytes(model, header))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by parameter name: "layer.weight/exp_avg" -> tensor."""
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
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal()) if folder.is_dir() else []


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest valid checkpoint on disk; None if the run has not saved yet."""
    steps = valid_steps(run)
    if not steps:
        return None
    path = run / "state" / f"{steps[-1]:09d}"
    try:
        text = read_regular(path / "progress.json")
        step = Progress.model_validate_json(text).step
        progress: dict[str, Any] = json.loads(text)
    except ValidationError as error:
        why = first_fault(error)
        raise CheckpointError(f"{path / 'progress.json'} is damaged: {why}; {without(run, path)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path / 'progress.json'}: cannot be read: {error}") from error
    if step != steps[-1]:
        raise CheckpointError(
            f"{path / 'progress.json'} is of iteration {step}, not of its folder's; {without(run, path)}"
        )
    return Checkpoint(path, progress)


def without(run: Path, path: Path) -> str:
    """The next step, in words, if the newest checkpoint is damaged."""
    if len(valid_steps(run)) > 1:
        return f"delete {path}, the run goes on from the checkpoint before it"
    return "train again"


def load_checkpoint(
    run: Path, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, average: nn.Module | None
) -> None:
    """Loads the checkpoint in `path` into model, optimiser and average."""
    for file, network in (("model.safetensors", model), ("average.safetensors", average)):
        if network is not None:
            weights = read_weights(path / file)
            check_step(weights.header, path / file)
            fill_model(network, weights.tensors, path / file)
    fill_optimizer(model, optimizer, path / "optimizer.safetensors")
    for leftover in (run / "state").glob("*.part"):
        shutil.rmtree(leftover, ignore_errors=True)


def check_same_data(progress: dict[str, Any], fingerprint: str, run: Path) -> None:
    """Refuses to resume with other data than the run began with."""
    if progress.get("fingerprint") != fingerprint:
        raise TrainingError(
            f"{run} was trained on data with fingerprint {str(progress.get('fingerprint'))[:12]}; this data set has "
            f"{fingerprint[:12]}; resume with the same data or start a new RUN"
        )


def check_step(header: dict[str, Any], file: Path) -> None:
    """Refuses weights of another iteration than their folder's."""
    step = header.get("step")
    if step != int(file.parent.name):
        raise CheckpointError(f"{file} is of iteration {step}, not of its folder's; put the file back that was there")


def fill_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Loads the optimiser's state from `path`; that of parameters which are not in it stays."""
    parameters, tensors = dict(model.named_parameters()), read_weights(path).tensors
    check_slots(tensors, optimizer, path)
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{path}: holds {key}, which this network lacks; it was made for other settings")
        parameter = parameters[name]
        wanted = torch.Size() if slot == COUNTER else parameter.shape
        if tensor.shape != wanted:
            raise CheckpointError(f"{path}: {key} must be {tuple(wanted)}; got {tuple(tensor.shape)}")
        if slot != COUNTER:
            tensor = torch.empty_like(parameter).copy_(tensor)  # in the parameter's memory order
        optimizer.state[parameter][slot] = tensor


def check_slots(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Refuses a memory of another optimiser, one of which a part is gone, and numbers that are not finite."""
    slots = SLOTS[type(optimizer)]
    if not tensors and any(group.get("momentum", 1) for group in optimizer.param_groups):
        raise CheckpointError(f"{path} is damaged: it holds nothing; take an earlier checkpoint or train again")
    names = {key.rpartition("/")[0] for key in tensors}
    wanted = {f"{name}/{slot}" for name in names for slot in slots}
    if wrong := sorted(wanted ^ set(tensors)):
        thing = f"lacks {wrong[0]}" if wrong[0] in wanted else f"holds {wrong[0]}, which this optimiser lacks"
        raise CheckpointError(f"{path}: {thing}; it was made for another train.optimizer, or is damaged")
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: {key} holds NaN or infinity; take an earlier checkpoint or train again")


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
