"""One iteration: the batch that is due, the updates that are due, the numbers to log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from duskmatch.config import LossSettings, Settings
from duskmatch.data import Augment, Batch, ClipReader, TrainingBatches
from duskmatch.errors import TrainingError
from duskmatch.models import Due, Forward, SubStep
from duskmatch.models.building import find_method
from duskmatch.pixels import normalise
from duskmatch.training.checkpoint import last_good
from duskmatch.training.health import branch_ratios, gauged, means
from duskmatch.training.schedule import stage_frames
from duskmatch.training.synchronised import gathered
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
    """Runs the sub-steps that are due; the numbers to log where it is time to."""
    settings, schedule, step = trainer.settings, trainer.schedule, trainer.step
    begin = time.perf_counter()
    rate = schedule.learning_rate(step)
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    due = due_at(trainer, step)
    trainer.model.begin(due)
    steps = reweighted(find_method(settings.model.name).updates(trainer.model, settings, due), settings.loss)
    logging = (step + 1) % settings.train.log_every == 0 or step + 1 == schedule.n_steps
    make = forward_maker(trainer, batch, due)
    try:
        with gauged(trainer.model, on=logging) as figures:
            outcome = trainer.updater.iterate(steps, make, joint=settings.train.schedule == "joint", norms=logging)
    except TrainingError as error:
        raise TrainingError(f"iteration {step + 1}: {error}; {last_good(trainer.run)}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"iteration {step + 1}: the device's memory must hold a whole batch and does not; set "
            f"train.recompute_activations true, or train.micro_batches or fewer people; {last_good(trainer.run)}"
        ) from error
    progress = trainer.progress
    progress["n_clipped"] += outcome.n_clipped
    right = outcome.values.get(trainer.model.watched.accuracy, 0.0)
    accuracy = trainer.processes.mean_of(right)  # all must start the attack together
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


def reweighted(steps: list[SubStep], loss: LossSettings) -> list[SubStep]:
    """The sub-steps with the weights that `loss.weights` gives in the place of the method's own."""
    if not loss.weights:
        return steps
    return [replace(s, weights={name: loss.weights.get(name, own) for name, own in s.weights.items()}) for s in steps]


def forward_maker(trainer: Trainer, batch: Batch, due: Due) -> Callable[[], list[Forward]]:
    """Fresh forwards of one batch, whole identities in each micro-batch."""
    settings, device = trainer.settings, trainer.processes.device
    enter = partial(normalise, **settings.data.normalisation)
    raw = batch.visible.to(device), batch.infrared.to(device)
    visible, infrared = map(enter, raw)
    labels = batch.labels.to(device)
    pairing: Literal["self", "cross", "skip"] = "self" if self_pair_drawn(settings, due.step) else "cross"
    if due.stage == 0:
        pairing = "skip"
    gather = gathered if settings.train.gather_triplets and trainer.processes.world > 1 else None
    size = len(labels) // settings.train.micro_batches
    pieces = [slice(i, i + size) for i in range(0, len(labels), size)]

    def make() -> list[Forward]:
        return [
            Forward(
                trainer.model,
                settings.loss,
                visible[p],
                infrared[p],
                labels[p],
                pairing,
                gather,
                raw=(raw[0][p], raw[1][p]),
                enter=enter,
                due=due,
                seed=settings.seed,
                mean_of=trainer.processes.mean_of,
            )
            for p in pieces
        ]

    return make


def self_pair_drawn(settings: Settings, step: int) -> bool:
    """Whether CMCA takes each clip as its own partner in this iteration: a pure function of (seed, step)."""
    if not settings.train.self_pair_probability:
        return False
    rng = np.random.Generator(np.random.Philox(key=[settings.seed % 2**63, step]))
    return bool(rng.random() < settings.train.self_pair_probability)
