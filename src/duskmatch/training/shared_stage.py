"""One stage 0 for several runs: it trains the Baseline alone, so runs that differ only in other parts can share it.

If the Baseline's parts start with the same bits in both networks, as they do from loaded weights, a run with a copied
stage 0 ends with the same bits as one that trained it: batches and rates depend on (seed, iteration) only.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from duskmatch.config import Settings
from duskmatch.errors import CheckpointError
from duskmatch.files import write_bytes
from duskmatch.machine import describe
from duskmatch.models.building import build_model
from duskmatch.models.start import load_start_weights
from duskmatch.training.checkpoint import check_same_data, fill_optimizer, newest_checkpoint
from duskmatch.training.trainer import Trainer
from duskmatch.weights import read_weights

MAIN = "self_attack"
OFF = {"attack": False, "defense": False, "sequence": "none", "embedding": "auto"}
NOT_COPIED = "centre_"  # buffers of the embedding's width, set after training


def baseline_of(settings: Settings, n_pids: int) -> Settings | None:
    """The settings of a Baseline run with the same stage 0 as `settings`; None if stage 0 cannot be shared.

    It can be shared if stage 0 has a learning rate of its own, which does not depend on later stages, and both networks
    start with equal weights; random weights depend on the parts that are drawn before them.
    """
    train = settings.train
    shareable = settings.model.name == MAIN and train.stage0_epochs and train.stage0_lr is not None
    if not shareable or train.ema or train.selection != "last":
        return None
    baseline = settings.model_copy(update={"model": settings.model.model_copy(update=OFF)})
    own, shared = (_start(each, n_pids) for each in (settings, baseline))
    alike = all(torch.equal(own[name], tensor) for name, tensor in shared.items() if not name.startswith(NOT_COPIED))
    return baseline if alike else None


def _start(settings: Settings, n_pids: int) -> dict[str, Tensor]:
    model = build_model(settings, n_pids)
    load_start_weights(model, settings.model.weights)
    return model.state_dict()


def copy_stage0(trainer: Trainer, begun: Path) -> None:
    """Copies the end of another run's stage 0, and its log, into a trainer that has not begun.

    Does nothing if that run has no such checkpoint or is of another machine, which rounds differently.
    Raises CheckpointError if the weights are not of this network's Baseline, TrainingError if the data differ.
    """
    found = newest_checkpoint(begun)
    if found is None or found.progress["step"] != trainer.schedule.stage0_steps:
        return
    check_same_data(found.progress, trainer.dataset.fingerprint, begun)
    given = read_weights(found.path / "model.safetensors")
    if given.header.get("machine") != describe():
        return
    own = trainer.model.state_dict()
    foreign = next((name for name, tensor in given.tensors.items() if not _fits(name, tensor, own)), None)
    if foreign is not None:
        raise CheckpointError(f"{found.path}: holds {foreign}, which is no part of this network")
    for name, tensor in given.tensors.items():
        if not name.startswith(NOT_COPIED):
            own[name].copy_(tensor)
    fill_optimizer(trainer.model, trainer.optimizer, found.path / "optimizer.safetensors")
    if trainer.processes.first:
        write_bytes(trainer.run / "log.csv", (begun / "log.csv").read_bytes())
    trainer.step = int(found.progress.pop("step"))
    trainer.progress.update(found.progress, best=None)


def _fits(name: str, tensor: Tensor, own: dict[str, Tensor]) -> bool:
    return name.startswith(NOT_COPIED) or (name in own and own[name].shape == tensor.shape)
