"""Training and scoring of one cell; what is done already is not repeated."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.config import Settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.embedding import load_embedder
from duskmatch.errors import CheckpointError, OutputError
from duskmatch.evaluation import dataset_facts, direction_scores
from duskmatch.evaluation.trials import pooled
from duskmatch.experiments.grids.cells import (
    CELL_VERSION,
    Cell,
    CellResult,
    People,
    Scoring,
    elsewhere,
    find_result,
    key_of,
)
from duskmatch.experiments.grids.earlier import check_same_settings, is_the_run
from duskmatch.experiments.grids.selection import evaluated, last_step, legacy_best, with_selection
from duskmatch.files import file_hash, make_folder, only_writer, write_json
from duskmatch.health import Health, read_health
from duskmatch.machine import describe, pick_device, set_threads, versions
from duskmatch.records import DIRECTIONS, Scores
from duskmatch.training import Watcher, train
from duskmatch.training.checkpoint import RESUME, valid_steps
from duskmatch.training.loop import settle_precision
from duskmatch.training.monitor import read_log
from duskmatch.training.schedule import stage_frames
from duskmatch.training.shared_stage import baseline_of

BUSY = "is being run by another process; the same command picks the cell up later"
OnStep = Callable[[int, int], None]  # iterations done, of how many


def run_cell(cell: Cell, scoring: Scoring, on_step: OnStep = lambda done, total: None) -> CellResult:
    """Trains the cell, or resumes its training, scores it, and writes its result last.

    A cell that has its result is not run, and one that was scored on another split is not trained again if its RUN
    still exists. A lock on its folder keeps other processes from running the cell meanwhile.
    """
    threads = set_threads(scoring.threads)
    dataset = open_dataset(scoring.data)
    make_folder(cell.folder)
    with only_writer(cell.folder, BUSY):
        done = find_result(cell, scoring, dataset.fingerprint)
        return done or _run(cell, scoring, dataset, threads, on_step)


def _run(cell: Cell, scoring: Scoring, dataset: Dataset, threads: int, on_step: OnStep) -> CellResult:
    run = cell.folder / "run"
    others = elsewhere(cell, scoring, dataset.fingerprint)
    settings = with_selection(cell.settings, scoring.selection, dataset)
    training_time = previous_time(run, others, settings, scoring, dataset)
    if training_time is None:
        outcome = train_cell(cell, settings, scoring, dataset, on_step)
        training_time = time_of(run, outcome["steps"], settings)
    weights = file_hash(run / "model.safetensors")
    embedder = load_embedder(run, device=scoring.device, on_bad_frame=settings.data.on_bad_frame)
    evaluation = evaluated(embedder, dataset, scoring.split, settings)
    cost, health, legacy = embedder.cost(), read_health(run), scoring.selection == "test_best_legacy"
    result = CellResult(
        schema_version=CELL_VERSION,
        row=cell.row,
        seed=cell.seed,
        split=scoring.split,
        selection=scoring.selection,
        settings=cell.settings.model_dump(mode="json"),
        data=dataset_facts(dataset, evaluation),
        synthetic=dataset.synthetic,
        directions={d: direction_scores(evaluation.scores[d], evaluation.trials[d]) for d in DIRECTIONS},
        people={d: people_of(pooled(evaluation.trials[d])) for d in DIRECTIONS},
        test_best_legacy=legacy_best(run, dataset, settings, scoring) if legacy else None,
        parameters=cost["parameters"],
        flops=cost["flops"],
        **training_time,
        machine=describe(),
        threads=threads,
        versions=versions(),
        health=None if health is None else Health.model_validate(health),
        weights_sha256=weights,
    )
    write_json(cell.result_path(scoring.split), result.model_dump(mode="json"))
    shutil.rmtree(run / "state", ignore_errors=True)  # a finished cell is never trained further
    return result


def previous_time(
    run: Path, others: list[CellResult], settings: Settings, scoring: Scoring, dataset: Dataset
) -> dict[str, float] | None:
    """The training time of a RUN that was scored on another split; None if there is none, so that it must be trained.

    test_best_legacy always trains, as it needs all checkpoints, which are deleted when a cell is done.
    """
    if not others or scoring.selection == "test_best_legacy":
        return None
    last = last_step(settings, dataset) if scoring.selection == "last" else None
    known = next((result for result in others if is_the_run(run, result.weights_sha256, last)), None)
    return None if known is None else {"seconds": known.seconds, "frames_per_s": known.frames_per_s}


def train_cell(cell: Cell, settings: Settings, scoring: Scoring, dataset: Dataset, on_step: OnStep) -> dict[str, Any]:
    """Trains or resumes the cell's RUN; one that was started with other settings is refused."""
    run, settings = cell.folder / "run", settle_precision(settings, pick_device(scoring.device))
    started = _is_started(run, settings)
    stage0 = None if valid_steps(run) else shared_stage0(cell, settings, scoring, dataset, on_step)
    watcher = _watcher(on_step)
    with in_words_of_a_grid(run):
        return train(settings, dataset, run, resume=started, device=scoring.device, watcher=watcher, stage0_of=stage0)


def shared_stage0(cell: Cell, settings: Settings, scoring: Scoring, dataset: Dataset, on_step: OnStep) -> Path | None:
    """The RUN of the cell's stage 0, which cells that differ only in later stages share; the first trains it.

    The cell's results are bit-identical to those of its own stage 0. None if there is nothing to share.
    """
    if scoring.selection != "last":
        return None
    baseline = baseline_of(settings, len({tracklet.pid for tracklet in dataset.train}))
    if baseline is None:
        return None
    folder = cell.folder.parents[2] / "stage0" / key_of(baseline) / cell.folder.name
    make_folder(folder)
    run, watcher = folder / "run", _watcher(on_step)
    with only_writer(folder, busy=None):
        started = _is_started(run, baseline)
        with in_words_of_a_grid(run):
            train(baseline, dataset, run, resume=started, device=scoring.device, watcher=watcher, stage0_only=True)
    return run


@contextmanager
def in_words_of_a_grid(run: Path) -> Iterator[None]:
    """Adds to training's errors the next step in a grid, whose commands have neither --resume nor --overwrite."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{error}; to train from the beginning delete {run}") from error
    except OutputError as error:
        raise OutputError(str(error).replace(RESUME, "run the same command again")) from error


def _is_started(run: Path, settings: Settings) -> bool:
    """True if training was started there; refused if that was with other settings."""
    started = (run / "settings.yaml").exists() or bool(valid_steps(run))
    if started:
        check_same_settings(run, settings)
    return started


def _watcher(on_step: OnStep) -> Watcher:
    return Watcher(on_step=lambda done, total, _: on_step(done, total))


def people_of(scores: Scores) -> People:
    """The numbers and sums of each person's scored queries."""
    pids, whose = np.unique(scores.query_pids, return_inverse=True)
    hits = np.bincount(whose, weights=(scores.first_hit == 1).astype(float))
    precision = np.bincount(whose, weights=scores.average_precision)
    return People(
        pids=[int(p) for p in pids],
        n=[int(n) for n in np.bincount(whose)],
        hits=[int(h) for h in hits],
        precision=[round(float(p), 6) for p in precision],
    )


def time_of(run: Path, n_steps: int, settings: Settings) -> dict[str, float]:
    """Seconds and frames per second of training, from each stage's median speed, so that pauses do not count."""
    train = settings.train
    seen = [row for row in read_log(run / "log.csv") if row.get("frames_per_s")]
    clips = 2 * train.pids_per_batch * train.tracklets_per_pid
    epochs = {0: train.stage0_epochs, 1: train.stage1_epochs, 2: train.stage2_epochs}
    frames, seconds = 0.0, 0.0
    for stage, n_epochs in epochs.items():
        rates = [row["frames_per_s"] for row in seen if row.get("stage") == stage]
        if not n_epochs or not seen:
            continue
        share = n_steps * n_epochs / train.n_epochs * clips * stage_frames(stage, settings)
        frames += share
        seconds += share / float(np.median(rates or [row["frames_per_s"] for row in seen]))
    return {"seconds": seconds, "frames_per_s": frames / seconds if seconds else 0.0}
