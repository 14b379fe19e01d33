"""The training loop, from batches to a RUN folder; a run that was killed and resumed ends with the same weights.

The state between iterations is the weights, the optimiser's state and a few numbers (`progress`); everything else
(tracklets, frames, crops, learning rate) is a pure function of (seed, iteration).
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch

from duskmatch.config import Settings, dump_settings
from duskmatch.data import Dataset
from duskmatch.embedding.run import LAYOUT_VERSION, check_version
from duskmatch.errors import CheckpointError, OutputError
from duskmatch.files import claimed, write_text
from duskmatch.machine import describe, fast_bf16, keep_memory, numerics, pick_device
from duskmatch.models import fast_layers
from duskmatch.training.checkpoint import (
    BUSY,
    check_finite,
    check_same_data,
    load_checkpoint,
    newest_checkpoint,
    publish,
    save_checkpoint,
    valid_steps,
    write_model,
)
from duskmatch.training.iteration import epoch_batches, one_iteration
from duskmatch.training.monitor import CollapseDetector, Log, read_log
from duskmatch.training.recalibrate import recalibrate
from duskmatch.training.selection import Selection
from duskmatch.training.shared_stage import copy_stage0
from duskmatch.training.signals import stop_requests
from duskmatch.training.trainer import Trainer, Watcher, header, prepare
from duskmatch.training.verdicts import DeathWatch, write_health


def train(
    settings: Settings,
    dataset: Dataset,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    watcher: Watcher | None = None,
    stage0_of: Path | None = None,
    stage0_only: bool = False,
) -> dict[str, Any]:
    """Trains and writes a RUN folder; returns what `duskmatch train --json` prints.

    overwrite: empties RUN first, once settings and data are checked.
    stage0_of: a run with the same stage 0 (`shared_stage`), which is copied if this run has not begun.
    stage0_only: ends after stage 0 is saved, without recalibration or measurement.

    Raises TrainingError if a loss is not finite or the run does not fit the data, CheckpointError if there is nothing
    to resume, OutputError if the disk cannot be written; KeyboardInterrupt, after saving, if stopped by a signal.
    """
    settings = settle_precision(settings, pick_device(device))
    keep_memory()
    trainer = prepare(settings, dataset, run, device=device, watcher=watcher or Watcher())
    begin = time.perf_counter()
    folder = claimed(run, overwrite=True if overwrite else None, busy=BUSY)  # no other run may write into it
    with folder if trainer.processes.first else nullcontext():
        restore(trainer, resume=resume)
        if stage0_of is not None and not trainer.step:
            copy_stage0(trainer, stage0_of)
        n_steps = trainer.schedule.stage0_steps if stage0_only else trainer.schedule.n_steps
        with stop_requests() as asked:
            _iterate(trainer, asked, n_steps)
        if trainer.bad_frames:
            trainer.watcher.on_note(trainer.bad_frames.summary())
        health = _finish(trainer) if trainer.processes.first and not stage0_only else None
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
        "health": health,
    }


def settle_precision(settings: Settings, device: torch.device) -> Settings:
    """The settings with precision "auto" replaced by the fast one on this machine, as the RUN records it."""
    if settings.train.precision != "auto":
        return settings
    precision = "bf16" if fast_bf16(device) else "fp32"
    return settings.model_copy(update={"train": settings.train.model_copy(update={"precision": precision})})


def restore(trainer: Trainer, *, resume: bool) -> None:
    """Resumes from the newest checkpoint, or marks the folder as a new RUN."""
    run, settings = trainer.run, trainer.settings
    trainer.progress = {
        "fingerprint": trainer.dataset.fingerprint,
        "numerics": numerics(fast_layers.state()),
        "n_clipped": 0,
        "defense_accuracy": 0.0,
        "seconds": 0.0,
        "best": None,
    }
    if not resume and trainer.processes.first and valid_steps(run):
        raise OutputError(f"{run} holds a run; resume it or choose another RUN")
    if resume:
        if (run / "VERSION").exists():
            check_version(run)
        found = newest_checkpoint(run)
        if found is None and not (run / "settings.yaml").is_file():
            raise CheckpointError(f"{run} holds no run to resume; leave out --resume to begin one")
        if found is not None:
            check_same_data(found.progress, trainer.dataset.fingerprint, run)
            average = trainer.average_model
            load_checkpoint(run, found.path, trainer.model, trainer.optimizer, average=average)
            then = found.progress.pop("numerics")
            for name, now in trainer.progress["numerics"].items():
                if then.get(name) != now:
                    note = f"resumed with {name} {now} instead of {then.get(name)}: the last bits may differ"
                    trainer.watcher.on_note(note)
            trainer.step = int(found.progress.pop("step"))
            trainer.progress.update(found.progress)
            trainer.watcher.on_note(f"resumed after iteration {trainer.step}")
    if trainer.processes.first:
        write_text(run / "VERSION", LAYOUT_VERSION + "\n")
        write_text(run / "settings.yaml", dump_settings(settings))


def _iterate(trainer: Trainer, asked: list[int], n_steps: int) -> None:
    settings, schedule = trainer.settings, trainer.schedule
    board = trainer.run / "tensorboard" if settings.train.tensorboard else None
    log = None
    if trainer.processes.first:
        log = Log(trainer.run / "log.csv", trainer.model.logged, keep_until=trainer.step, tensorboard=board)
    collapse = CollapseDetector(
        trainer.model.n_pids,
        settings.loss.margin,
        modalities_summed=trainer.model.modalities_summed(settings.loss),
        watched=trainer.model.watched,
    )
    watch = DeathWatch(
        trainer.model.logged,
        warmup=schedule.parts_judged_from,
        rows=[] if log is None else read_log(log.path),
        named=trainer.progress.setdefault("dead", []),
    )
    selection = Selection(trainer.final_model, settings, trainer.dataset, trainer.run, best=trainer.progress["best"])
    if not trainer.processes.first:
        selection.active = False  # only the first process evaluates; the others wait at the next gradient
    clock = time.perf_counter() - trainer.progress["seconds"]
    trainer.model.train()
    try:
        while trainer.step < n_steps:
            epoch, first = divmod(trainer.step, schedule.steps_per_epoch)
            for batch in epoch_batches(trainer, epoch, first):
                row = one_iteration(trainer, batch, clock)
                if trainer.average is not None:
                    trainer.average.follow(trainer.model, trainer.step)
                trainer.step += 1
                last_of_epoch = trainer.step % schedule.steps_per_epoch == 0
                if last_of_epoch and selection.due(epoch + 1, last=trainer.step == schedule.n_steps):
                    of_validation = header(trainer, step=trainer.step, selection="validation")
                    scores = selection.evaluate(trainer.step, of_validation)
                    trainer.progress["best"] = selection.best
                    row = {**(row or {"step": trainer.step, "epoch": epoch}), **scores}
                if row is not None and log is not None:
                    log.write(row)
                    for death in watch.update(row):
                        trainer.watcher.on_note(death)
                    sentence = collapse.update(row)
                    if sentence and not trainer.progress.get("collapsed"):
                        trainer.progress["collapsed"] = True
                        trainer.watcher.on_note(sentence)
                trainer.watcher.on_step(trainer.step, n_steps, row)
                if trainer.step % settings.train.checkpoint_every == 0 or trainer.step == n_steps or asked:
                    _save(trainer, clock)
                if asked:
                    raise KeyboardInterrupt(f"iteration {trainer.step} is saved; continue with --resume")
    finally:
        if log is not None:
            log.close()


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
        average=trainer.average_model,
    )


def _finish(trainer: Trainer) -> dict[str, Any]:
    """Writes the final weights and RUN/health.json; returns the content of the latter."""
    _write_final_weights(trainer)
    place = trainer.processes.device
    warmup = trainer.schedule.parts_judged_from
    return write_health(trainer.run, trainer.model, trainer.dataset, warmup=warmup, device=place)


def _write_final_weights(trainer: Trainer) -> None:
    """Writes RUN/model.safetensors: the last weights (or their average), recalibrated if set, or the best."""
    settings = trainer.settings
    if settings.train.recalibrate_steps:
        epochs = (epoch_batches(trainer, epoch, 0, as_at_test=True) for epoch in count())
        batches = list(islice(chain.from_iterable(epochs), settings.train.recalibrate_steps))
        recalibrate(trainer.final_model, batches, settings.data, centre=settings.train.centre)
        # state/ keeps the weights as trained: writing it again would first remove the checkpoint to resume from
        check_finite(trainer.final_model, trainer.step, trainer.run)
        write_model(
            trainer.run / "model.safetensors", trainer.final_model, header(trainer, step=trainer.step, selection="last")
        )
    best = trainer.run / "best.safetensors"
    if settings.train.selection == "validation" and best.is_file():
        if settings.train.recalibrate_steps:
            trainer.watcher.on_note("train.recalibrate_steps changes the last weights, not the best on validation")
        publish(best, trainer.run / "model.safetensors")
