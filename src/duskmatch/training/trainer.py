"""A run in memory: model, optimiser, sampler and what it remembers, as they are before the first iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from duskmatch.config import LossSettings, Settings, nearest
from duskmatch.data import BadFrames, Dataset, FrameCache, PairedIdentitySampler
from duskmatch.embedding.machine import describe, pick_device, versions
from duskmatch.embedding.run import build_model
from duskmatch.errors import SettingsError
from duskmatch.models import Network
from duskmatch.models.backbone import Stages
from duskmatch.training.average import Average
from duskmatch.training.processes import Processes
from duskmatch.training.schedule import Schedule
from duskmatch.training.synchronised import synchronise
from duskmatch.training.updates import Updater
from duskmatch.training.weights import load_start_weights


@dataclass
class Watcher:
    """Who is told what: every iteration with its logged numbers or None, and sentences worth reading."""

    on_step: Callable[[int, int, dict[str, Any] | None], None] = lambda step, total, row: None
    on_note: Callable[[str], None] = lambda text: None


@dataclass
class Trainer:
    """One run in memory."""

    settings: Settings
    dataset: Dataset
    run: Path
    watcher: Watcher
    processes: Processes
    model: Network
    optimizer: torch.optim.Optimizer
    sampler: PairedIdentitySampler
    schedule: Schedule
    updater: Updater
    cache: FrameCache
    bad_frames: BadFrames = field(default_factory=BadFrames)
    step: int = 0
    progress: dict[str, Any] = field(default_factory=dict)
    average: Average | None = None

    @property
    def known(self) -> Network:
        """The network that the run is known by: the average of its weights where one is kept."""
        return self.model if self.average is None else self.average.model


def prepare(settings: Settings, dataset: Dataset, run: Path, *, device: str, watcher: Watcher) -> Trainer:
    """Model, optimiser and sampler as they are before the first iteration."""
    processes = Processes(pick_device(device), settings.train.precision)
    shares = processes.world * settings.train.micro_batches
    if settings.train.pids_per_batch % shares or settings.train.pids_per_batch < 2 * shares:
        raise SettingsError(
            f"train.pids_per_batch must be a multiple of {shares}, the processes times train.micro_batches, and give "
            f"each share two people or more; got {settings.train.pids_per_batch}"
        )
    sampler = make_sampler(settings, dataset, processes.rank, processes.world)
    n_pids = len(sampler.pids)
    model = build_model(settings, n_pids)
    load_start_weights(model, settings.model.weights)
    for caution in model.cautions(settings.loss):
        watcher.on_note(caution)
    check_weights(model, settings.loss)
    if settings.train.micro_batches > 1:
        watcher.on_note(
            f"train.micro_batches {settings.train.micro_batches}: hardest pairs and batch statistics are those of "
            f"1/{settings.train.micro_batches} of a batch; this is not the run that a whole batch gives"
        )
    if settings.train.sync_batchnorm and processes.world > 1:
        synchronise(model)
    for piece in model.backbone_pieces():
        if isinstance(piece, Stages):
            piece.recompute = settings.train.recompute_activations
    layout = torch.channels_last if settings.train.channels_last else torch.contiguous_format
    model = model.to(device=processes.device, memory_format=layout)  # type: ignore[call-overload]
    # before the updater's hooks, which belong to the trained network alone
    average = Average(model, settings.train.ema) if settings.train.ema and processes.first else None
    optimizer = make_optimizer(model, settings)
    updater = Updater(
        model,
        optimizer,
        clip_norm=settings.train.clip_norm,
        autocast=processes.autocast,
        reduce=processes.mean if processes.world > 1 else None,
    )
    schedule = Schedule(settings.train, sampler.steps_per_epoch)
    cache = FrameCache(int(settings.data.cache_gib * 2**30))
    return Trainer(
        settings,
        dataset,
        run,
        watcher,
        processes,
        model,
        optimizer,
        sampler,
        schedule,
        updater,
        cache,
        average=average,
    )


def check_weights(model: Network, loss: LossSettings) -> None:
    """Refuses a weight for a term that the method has not."""
    for name in loss.weights:
        if name not in model.logged:
            raise SettingsError(f"loss.weights {name}: no term of this method{nearest(name, model.logged)}")


def make_sampler(settings: Settings, dataset: Dataset, rank: int = 0, world: int = 1) -> PairedIdentitySampler:
    """The batches of these settings; SettingsError where the data set is too small for them."""
    train = settings.train
    sampler = PairedIdentitySampler(
        dataset.train, train.pids_per_batch, train.tracklets_per_pid, settings.seed, rank=rank, world=world
    )
    sampler.steps_per_epoch = train.steps_per_epoch or sampler.steps_per_epoch
    return sampler


def make_optimizer(model: Network, settings: Settings) -> torch.optim.Optimizer:
    """One optimiser with one memory per parameter; loaded backbones may have a rate of their own."""
    train = settings.train
    backbone = {id(p) for piece in model.slow_pieces() for p in piece.parameters()}
    groups = [
        {
            "params": [p for p in model.parameters() if p.requires_grad and id(p) in backbone],
            "factor": train.backbone_lr_factor,
        },
        {"params": [p for p in model.parameters() if p.requires_grad and id(p) not in backbone], "factor": 1.0},
    ]
    if train.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=train.lr, weight_decay=train.weight_decay, fused=True)
    return torch.optim.SGD(
        groups, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov, weight_decay=train.weight_decay
    )


def header(trainer: Trainer, *, step: int, selection: str) -> dict[str, Any]:
    """What the weights say of themselves."""
    dataset = trainer.dataset
    return {
        "schema_version": 1,
        "settings": trainer.settings.model_dump(mode="json"),
        "n_pids": trainer.model.n_pids,
        "checkpoint": f"iteration {step} of {trainer.schedule.n_steps}",
        "step": step,
        "selection": selection,
        "seed": trainer.settings.seed,
        "protocol": {"camera_rule": trainer.settings.evaluate.camera_rule or dataset.protocol.camera_rule},
        "data": {
            "name": dataset.name,
            "version": dataset.version,
            "fingerprint": dataset.fingerprint,
            "synthetic": dataset.synthetic,
            **({"protocol": dataset.protocol.variant} if dataset.protocol.trained_apart else {}),
            **{key: dataset.facts[key] for key in ("preset", "seed") if key in dataset.facts},  # Duskwalk's
        },
        "precision": trainer.settings.train.precision,
        "machine": describe(),
        "versions": versions(),
    }
