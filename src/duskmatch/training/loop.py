"""The training loop: batches in, a RUN folder out; killed anywhere and resumed, it ends with the same weights.

What a run remembers between iterations is the weights, the optimiser's memory and a few numbers (`progress`);
everything else, which tracklets, which frames, which crop, which rate, is a pure function of (seed, iteration).
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch

from duskmatch.config import Settings, dump_settings
from duskmatch.data import (
    Augment,
    BadFrames,
    Batch,
    Dataset,
    FrameCache,
    PairedIdentitySampler,
    normalise,
    training_batches,
)
from duskmatch.embedding.machine import describe, numerics, pick_device, versions
from duskmatch.embedding.run import LAYOUT_VERSION, build_model
from duskmatch.errors import CheckpointError, TrainingError
from duskmatch.files import write_text
from duskmatch.models import SelfAttackDefense
from duskmatch.models.attention import NonLocal
from duskmatch.training.algorithm1 import Forward, sub_steps
from duskmatch.training.checkpoint import check_same_data, load_checkpoint, publish, save_checkpoint
from duskmatch.training.monitor import CollapseDetector, Log
from duskmatch.training.processes import Processes
from duskmatch.training.recalibrate import recalibrate
from duskmatch.training.schedule import Schedule
from duskmatch.training.selection import Selection
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
    model: SelfAttackDefense
    optimizer: torch.optim.Optimizer
    sampler: PairedIdentitySampler
    schedule: Schedule
    updater: Updater
    cache: FrameCache
    bad_frames: BadFrames = field(default_factory=BadFrames)
    step: int = 0
    progress: dict[str, Any] = field(default_factory=dict)


def train(
    settings: Settings,
    dataset: Dataset,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Trains and leaves a RUN folder; returns what `duskmatch train --json` prints.

    Raises TrainingError where a loss is not finite or the run does not fit the data, CheckpointError where there is
    nothing to resume, OutputError where the disk refuses; KeyboardInterrupt after saving, when asked to stop.
    """
    trainer = prepare(settings, dataset, run, device=device, watcher=watcher or Watcher())
    restore(trainer, resume=resume)
    begin = time.perf_counter()
    with stop_requests() as asked:
        _iterate(trainer, asked)
    if trainer.bad_frames:
        trainer.watcher.on_note(trainer.bad_frames.summary())
    if trainer.processes.first:
        _finish(trainer)
    trainer.processes.wait()
    return {
        "run": str(run),
        "steps": trainer.step,
        "seconds": round(time.perf_counter() - begin, 1),
        "people": trainer.model.n_pids,
        "machine": describe(),
        "selection": settings.train.selection,
        "n_clipped": trainer.progress["n_clipped"],
        "bad_frames": len(trainer.bad_frames.frames),
        "synthetic": dataset.synthetic,
    }


def prepare(settings: Settings, dataset: Dataset, run: Path, *, device: str, watcher: Watcher) -> Trainer:
    """Model, optimiser and sampler as they are before the first iteration."""
    processes = Processes(pick_device(device), settings.train.precision)
    sampler = PairedIdentitySampler(
        dataset.train,
        settings.train.pids_per_batch,
        settings.train.tracklets_per_pid,
        settings.seed,
        rank=processes.rank,
        world=processes.world,
    )
    sampler.steps_per_epoch = settings.train.steps_per_epoch or sampler.steps_per_epoch
    n_pids = len(sampler.pids)
    model = build_model(settings, n_pids)
    load_start_weights(model, settings.model.weights)
    if settings.model.attack and model.channels < 2 * n_pids:
        watcher.on_note(
            f"the embedding is {model.channels} wide for {n_pids} people: under twice their number Eq. 3 works against "
            "the identity losses; widen the model or set train.attack_start"
        )
    if settings.train.micro_batches > 1:
        watcher.on_note(
            f"train.micro_batches {settings.train.micro_batches}: hardest pairs and batch statistics are those of "
            f"1/{settings.train.micro_batches} of a batch; this is not the run that a whole batch gives"
        )
    layout = torch.channels_last if settings.train.channels_last else torch.contiguous_format
    model = model.to(device=processes.device, memory_format=layout)  # type: ignore[call-overload]
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
    return Trainer(settings, dataset, run, watcher, processes, model, optimizer, sampler, schedule, updater, cache)


def make_optimizer(model: SelfAttackDefense, settings: Settings) -> torch.optim.Optimizer:
    """One optimiser with one memory per parameter; loaded backbones may have a rate of their own."""
    train = settings.train
    backbone = {id(p) for piece in model.backbone_pieces() for p in piece.parameters()}
    groups = [
        {
            "params": [p for p in model.parameters() if p.requires_grad and id(p) in backbone],
            "factor": train.backbone_lr_factor,
        },
        {"params": [p for p in model.parameters() if p.requires_grad and id(p) not in backbone], "factor": 1.0},
    ]
    if train.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=train.lr, weight_decay=train.weight_decay)
    return torch.optim.SGD(
        groups, lr=train.lr, momentum=train.momentum, nesterov=train.nesterov, weight_decay=train.weight_decay
    )


def restore(trainer: Trainer, *, resume: bool) -> None:
    """Goes on from the newest checkpoint, or marks the folder as a new RUN."""
    run, settings = trainer.run, trainer.settings
    trainer.progress = {
        "fingerprint": trainer.dataset.fingerprint,
        "numerics": numerics(),
        "n_clipped": 0,
        "defense_accuracy": 0.0,
        "seconds": 0.0,
        "best": None,
    }
    if resume:
        found = load_checkpoint(run, trainer.model, trainer.optimizer)
        if found is None and not (run / "settings.yaml").is_file():
            raise CheckpointError(f"{run} holds no run to resume; leave out --resume to begin one")
        if found is not None:
            check_same_data(found.progress, trainer.dataset.fingerprint, run)
            changed = {k: (v, numerics()[k]) for k, v in found.progress["numerics"].items() if numerics()[k] != v}
            for name, (then, now) in changed.items():
                trainer.watcher.on_note(f"resumed with {name} {now} instead of {then}: the last bits may differ")
            trainer.step = int(found.progress.pop("step"))
            trainer.progress.update(found.progress, numerics=numerics())
            trainer.watcher.on_note(f"resumed after iteration {trainer.step}")
    if trainer.processes.first:
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / "VERSION", LAYOUT_VERSION + "\n")
        write_text(run / "settings.yaml", dump_settings(settings))


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
        "protocol": {"camera_rule": trainer.settings.evaluate.camera_rule},
        "data": {
            "name": dataset.name,
            "version": dataset.version,
            "fingerprint": dataset.fingerprint,
            "synthetic": dataset.synthetic,
        },
        "precision": trainer.settings.train.precision,
        "machine": describe(),
        "versions": versions(),
    }


def _iterate(trainer: Trainer, asked: list[int]) -> None:
    settings, schedule = trainer.settings, trainer.schedule
    log = Log(trainer.run / "log.csv", keep_until=trainer.step) if trainer.processes.first else None
    modalities_summed = 2 if settings.loss.identity == "sum" else 1
    collapse = CollapseDetector(trainer.model.n_pids, settings.loss.margin, modalities_summed=modalities_summed)
    selection = Selection(trainer.model, settings, trainer.dataset, trainer.run, best=trainer.progress["best"])
    clock = time.perf_counter() - trainer.progress["seconds"]
    trainer.model.train()
    try:
        while trainer.step < schedule.n_steps:
            epoch, first = divmod(trainer.step, schedule.steps_per_epoch)
            for batch in _epoch_batches(trainer, epoch, first):
                row = _one_iteration(trainer, batch, clock)
                trainer.step += 1
                last_of_epoch = trainer.step % schedule.steps_per_epoch == 0
                if last_of_epoch and selection.due(epoch + 1, last=trainer.step == schedule.n_steps):
                    scores = selection.look(trainer.step, header(trainer, step=trainer.step, selection="validation"))
                    trainer.progress["best"] = selection.best
                    row = {**(row or {"step": trainer.step, "epoch": epoch}), **scores}
                if row is not None and log is not None:
                    log.write(row)
                    sentence = collapse.see(row)
                    if sentence and not trainer.progress.get("collapsed"):
                        trainer.progress["collapsed"] = True
                        trainer.watcher.on_note(sentence)
                trainer.watcher.on_step(trainer.step, schedule.n_steps, row)
                if trainer.step % settings.train.checkpoint_every == 0 or trainer.step == schedule.n_steps or asked:
                    _save(trainer, clock)
                if asked:
                    raise KeyboardInterrupt
    finally:
        if log is not None:
            log.close()


def _epoch_batches(trainer: Trainer, epoch: int, first: int) -> Iterator[Batch]:
    settings = trainer.settings
    return training_batches(
        trainer.dataset.train,
        trainer.sampler,
        size=(settings.data.height, settings.data.width),
        n_frames=settings.data.frames_per_clip,
        augment=Augment(**settings.augment.model_dump()),
        epoch=epoch,
        first_step=first,
        n_workers=settings.data.workers,
        on_bad_frame=settings.data.on_bad_frame,
        bad_frames=trainer.bad_frames,
        cache=trainer.cache,
    )


def _one_iteration(trainer: Trainer, batch: Batch, clock: float) -> dict[str, Any] | None:
    """Runs the sub-steps that are due; the numbers to log where it is time to."""
    settings, schedule, step = trainer.settings, trainer.schedule, trainer.step
    begin = time.perf_counter()
    rate = schedule.learning_rate(step)
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    stage = schedule.stage(step)
    attacking = trainer.progress["defense_accuracy"] >= settings.train.attack_start
    due = sub_steps(trainer.model, settings.loss, settings.train, stage, attacking=attacking)
    logging = (step + 1) % settings.train.log_every == 0 or step + 1 == schedule.n_steps
    make = _forward_maker(trainer, batch, step)
    try:
        outcome = trainer.updater.iterate(due, make, joint=settings.train.schedule == "joint", norms=logging)
    except TrainingError as error:
        good = "the start" if step < settings.train.checkpoint_every else "the newest checkpoint"
        raise TrainingError(
            f"iteration {step + 1}: {error}; {trainer.run / 'state'} still holds {good}; lower train.lr, set "
            "train.clip_norm, or use train.precision fp32"
        ) from error
    progress = trainer.progress
    progress["n_clipped"] += outcome.n_clipped
    progress["defense_accuracy"] += 0.05 * (outcome.values["defense_accuracy"] - progress["defense_accuracy"])
    if not logging:
        return None
    frames = 2 * batch.labels.numel() * settings.data.frames_per_clip * trainer.processes.world
    return {
        "step": step + 1,
        "epoch": schedule.epoch(step),
        "stage": stage,
        "seconds": time.perf_counter() - clock,
        "frames_per_s": frames / (time.perf_counter() - begin),
        "lr": rate,
        **outcome.values,
        **_confusion_excess(outcome.values, trainer),
        **branch_ratios(trainer.model),
        "n_clipped": progress["n_clipped"],
    }


def _forward_maker(trainer: Trainer, batch: Batch, step: int) -> Callable[[], list[Forward]]:
    """Fresh forwards of one batch, whole identities in each micro-batch."""
    settings, device = trainer.settings, trainer.processes.device
    visible, infrared = normalise(batch.visible.to(device)), normalise(batch.infrared.to(device))
    labels = batch.labels.to(device)
    pairing: Literal["self", "cross"] = "self" if self_pair_drawn(settings, step) else "cross"
    size = len(labels) // settings.train.micro_batches
    pieces = [slice(i, i + size) for i in range(0, len(labels), size)]

    def make() -> list[Forward]:
        return [Forward(trainer.model, settings.loss, visible[p], infrared[p], labels[p], pairing) for p in pieces]

    return make


def self_pair_drawn(settings: Settings, step: int) -> bool:
    """Whether CMCA takes each clip as its own partner in this iteration: a pure function of (seed, step)."""
    if not settings.train.self_pair_probability:
        return False
    rng = np.random.Generator(np.random.Philox(key=[settings.seed % 2**63, step]))
    return bool(rng.random() < settings.train.self_pair_probability)


def branch_ratios(model: SelfAttackDefense) -> dict[str, float]:
    """|branch| / |trunk| of each attention block: under 0.01 it has not opened, and no gain means not tested."""
    ratios: dict[str, float] = {}
    for name, part in model.named_modules():
        if isinstance(part, NonLocal) and part.branch_ratio is not None:
            key = f"{name.split('.', 1)[0]}_ratio"
            ratios[key] = max(ratios.get(key, 0.0), float(part.branch_ratio))
    return ratios


def _confusion_excess(values: dict[str, float], trainer: Trainer) -> dict[str, float]:
    """Eq. 3 above its least value: near 0 the attack is idle. Source: REFERENCE row 32."""
    if "confusion" not in values:
        return {}
    least = math.log(trainer.model.n_pids) * (2 if trainer.settings.loss.identity == "sum" else 1)
    return {"confusion_excess": values["confusion"] - least}


def _save(trainer: Trainer, clock: float) -> None:
    if not trainer.processes.first:
        return
    trainer.progress["seconds"] = time.perf_counter() - clock
    save_checkpoint(
        trainer.run,
        trainer.step,
        trainer.model,
        trainer.optimizer,
        header=header(trainer, step=trainer.step, selection="last"),
        progress=trainer.progress,
        keep=trainer.settings.train.keep_checkpoints,
    )


def _finish(trainer: Trainer) -> None:
    """The weights that the run is known by: the last, recalibrated where asked, or the best on validation people."""
    settings = trainer.settings
    if settings.train.recalibrate_steps:
        recalibrate(trainer.model, _epoch_batches(trainer, 0, 0), settings.train.recalibrate_steps)
        _save(trainer, time.perf_counter() - trainer.progress["seconds"])
    best = trainer.run / "best.safetensors"
    if settings.train.selection == "validation" and best.is_file():
        publish(best, trainer.run / "model.safetensors")


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that fills when somebody asks to stop (Ctrl-C, SIGTERM); the loop saves at the end of the iteration."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 2:
            os._exit(130)  # asked three times: the newest checkpoint on disk is valid in any case

    try:
        old = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's business
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
