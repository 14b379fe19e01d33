"""One iteration: its batch, its updates, and the numbers to log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from duskmatch.data import Augment, Batch, ClipReader, TrainingBatches
from duskmatch.errors import TrainingError
from duskmatch.models import AllProcesses, Due, Forward
from duskmatch.models.building import due_updates
from duskmatch.models.method import Pixels
from duskmatch.pixels import normalise
from duskmatch.training.checkpoint import last_good
from duskmatch.training.health import branch_ratios, gauged, means
from duskmatch.training.processes import gathered
from duskmatch.training.schedule import stage_frames
from duskmatch.training.trainer import Trainer


def epoch_batches(trainer: Trainer, epoch: int, first: int, *, as_at_test: bool = False) -> Iterator[Batch]:
    """The batches of an epoch from step `first` on; `as_at_test`: clips of the test's length, not augmented."""
    settings = trainer.settings
    n_frames = stage_frames(trainer.schedule.stage_of(epoch), settings)
    augment = Augment(**settings.augment.model_dump())
    if as_at_test:
        n_frames, augment = settings.data.frames_per_clip, Augment(pad=0, flip=0)
    reader = ClipReader.of(settings.data, n_frames=n_frames, cache=trainer.cache)
    batches = TrainingBatches(trainer.dataset.train, trainer.sampler, reader, augment=augment, epoch=epoch)
    for batch in batches.from_step(first, settings.data.workers):
        trainer.bad_frames.add(batch.bad_frames)
        yield batch


def one_iteration(trainer: Trainer, batch: Batch, clock: float) -> dict[str, Any] | None:
    """Runs the sub-steps that are due; returns the numbers to log, or None between logged iterations."""
    settings, schedule, step = trainer.settings, trainer.schedule, trainer.step
    begin = time.perf_counter()
    rate = schedule.learning_rate(step)
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    due = due_at(trainer, step)
    trainer.model.begin(due)
    steps = due_updates(trainer.model, settings, due, all_processes(trainer))
    logging = (step + 1) % settings.train.log_every == 0 or step + 1 == schedule.n_steps
    make = forward_maker(trainer, batch)
    try:
        with gauged(trainer.model, on=logging) as figures:
            outcome = trainer.updater.iterate(steps, make, joint=settings.train.schedule == "joint", norms=logging)
    except TrainingError as error:
        raise TrainingError(f"iteration {step + 1}: {error}; {last_good(trainer.run)}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"iteration {step + 1}: the device's memory must hold a whole batch; it does not; set "
            f"train.recompute_activations true, or train.micro_batches or fewer people; {last_good(trainer.run)}"
        ) from error
    progress = trainer.progress
    progress["n_clipped"] += outcome.n_clipped
    own_accuracy = outcome.values.get(trainer.model.watched.accuracy, 0.0)
    accuracy = trainer.processes.mean_of(own_accuracy)  # all processes must start the attack together
    progress["defense_accuracy"] += 0.05 * (accuracy - progress["defense_accuracy"])
    if not logging:
        return None
    frames = 2 * batch.labels.numel() * stage_frames(due.stage, settings) * trainer.processes.world
    return {
        "step": step + 1,
        "epoch": due.epoch,
        "stage": due.stage,
        "seconds": time.perf_counter() - clock,
        "frames_per_s": frames / (time.perf_counter() - begin),
        "lr": rate,
        **outcome.values,
        **branch_ratios(trainer.model),
        **means(figures),
        "width_over_people": trainer.model.channels / trainer.model.n_pids,
        "n_clipped": progress["n_clipped"],
    }


def due_at(trainer: Trainer, step: int) -> Due:
    schedule = trainer.schedule
    accuracy = trainer.progress["defense_accuracy"]
    stage = schedule.stage(step)
    begins = stage == 1 and step > 0 and schedule.stage(step - 1) == 0
    return Due(step, schedule.epoch(step), stage, schedule.steps_per_epoch, accuracy, begins)


def all_processes(trainer: Trainer) -> AllProcesses:
    """The collectives for a method's losses: gathered rows if the settings ask for them, means always."""
    processes, asked = trainer.processes, trainer.settings.train.gather_triplets
    if asked and processes.world > 1:
        return AllProcesses(gathered, processes.mean_of)
    return AllProcesses(mean_of=processes.mean_of)


def forward_maker(trainer: Trainer, batch: Batch) -> Callable[[], list[Forward]]:
    """Makes fresh forwards of one batch, one for each micro-batch, with whole identities in each."""
    settings, device = trainer.settings, trainer.processes.device
    enter = partial(normalise, **settings.data.normalisation)
    raw = batch.visible.to(device), batch.infrared.to(device)
    visible, infrared = map(enter, raw)
    labels = batch.labels.to(device)
    size = len(labels) // settings.train.micro_batches
    pieces = [slice(i, i + size) for i in range(0, len(labels), size)]

    def make() -> list[Forward]:
        return [
            Forward(trainer.model, visible[p], infrared[p], labels[p], Pixels(raw[0][p], raw[1][p], enter))
            for p in pieces
        ]

    return make
