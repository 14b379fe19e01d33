"""A run in memory: model, optimiser, sampler and progress, prepared for the first iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from duskmatch.config import Settings
from duskmatch.data import BadFrames, Dataset, FrameCache, PairedIdentitySampler
from duskmatch.errors import SettingsError, nearest
from duskmatch.machine import describe, pick_device, versions
from duskmatch.models import Network
from duskmatch.models.building import build_model, check_weights
from duskmatch.models.encoder import Encoder
from duskmatch.models.self_attack import SWITCHED_PARTS
from duskmatch.models.start import load_start_weights
from duskmatch.training.average import Average
from duskmatch.training.processes import Processes, synchronise
from duskmatch.training.schedule import Schedule
from duskmatch.training.updates import Updater

BACKBONE = "backbone"  # in `train.rates`: the modules of `Network.slow_pieces`


@dataclass
class Watcher:
    """Callbacks of a run: on_step with every iteration's logged numbers or None, on_note with messages."""

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
    def average_model(self) -> Network | None:
        return None if self.average is None else self.average.model

    @property
    def final_model(self) -> Network:
        """The network of RUN/model.safetensors: the average of the weights if there is one."""
        return self.average_model or self.model


def check_trainable(settings: Settings) -> None:
    """Refuses the settings of a compacted RUN, whose last layer is no part of training."""
    if settings.model.compact_width is not None:
        raise SettingsError(
            f"model.compact_width must be null in training; got {settings.model.compact_width}; a compacted RUN cannot "
            "be trained or resumed: train the RUN it was made of and compact it again"
        )


def prepare(settings: Settings, dataset: Dataset, run: Path, *, device: str, watcher: Watcher) -> Trainer:
    """A trainer before the first iteration: model, optimiser, sampler."""
    check_trainable(settings)
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
    for caution in model.cautions(settings):
        watcher.on_note(caution)
    check_weights(model, settings)
    if settings.train.micro_batches > 1:
        watcher.on_note(
            f"train.micro_batches {settings.train.micro_batches}: hardest pairs and batch statistics are those of "
            f"1/{settings.train.micro_batches} of a batch; the result differs from that of whole batches"
        )
    if settings.train.sync_batchnorm and processes.world > 1:
        synchronise(model)
    for piece in model.backbone_pieces():
        if isinstance(piece, Encoder):
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
    parts = (processes, model, optimizer, sampler, schedule, updater, cache)
    return Trainer(settings, dataset, run, watcher, *parts, average=average)


def make_sampler(settings: Settings, dataset: Dataset, rank: int = 0, world: int = 1) -> PairedIdentitySampler:
    """The sampler of these settings; SettingsError if the data set is too small for them."""
    train = settings.train
    sampler = PairedIdentitySampler(
        dataset.train, train.pids_per_batch, train.tracklets_per_pid, settings.seed, rank=rank, world=world
    )
    sampler.steps_per_epoch = train.steps_per_epoch or sampler.steps_per_epoch
    return sampler


def make_optimizer(model: Network, settings: Settings) -> torch.optim.Optimizer:
    """One optimiser for all parameters, in groups by the factor of their learning rate (`train.rates`)."""
    train = settings.train
    factors = rate_factors(model, train.rates)
    of_factor: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            of_factor.setdefault(factors[name], []).append(parameter)
    groups = [{"params": parameters, "factor": factor} for factor, parameters in of_factor.items()]
    if train.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=train.lr, weight_decay=train.weight_decay, fused=True)
    return torch.optim.SGD(
        groups, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov, weight_decay=train.weight_decay
    )


def rate_factors(model: Network, rates: Mapping[str, float]) -> dict[str, float]:
    """Parameter's name -> factor of the rate: that of the longest part name which it begins with, else of "backbone".

    Refuses a part that neither this network nor any row of Table I has: rows of a study share their rates.
    """
    slow = {id(p) for piece in model.slow_pieces() for p in piece.parameters()}
    names = {name for name, _ in model.named_parameters()}
    parts = {BACKBONE, *SWITCHED_PARTS, *(name.split(".", 1)[0] for name in (*SWITCHED_PARTS, *names))}
    for part in rates:
        if not any(name.startswith(part) for name in names | parts):
            raise SettingsError(f"train.rates {part}: no part of a network{nearest(part, sorted(parts))}")
    factors = {}
    for name, parameter in model.named_parameters():
        own = max((part for part in rates if name.startswith(part)), key=len, default=None)
        of_backbone = rates.get(BACKBONE, 1.0) if id(parameter) in slow else 1.0
        factors[name] = of_backbone if own is None else rates[own]
    return factors


def header(trainer: Trainer, *, step: int, selection: str) -> dict[str, Any]:
    """The JSON header of the weights: settings, data, versions, machine."""
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
