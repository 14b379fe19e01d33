"""The checkpoint with which a cell is scored: the last, the best on validation people, or also that on test people."""

from __future__ import annotations

from pathlib import Path

from duskmatch.config import Settings
from duskmatch.data import Dataset
from duskmatch.embedding import Embedder
from duskmatch.errors import DataError
from duskmatch.evaluation import Evaluation, evaluate_dataset
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.experiments.grids.cells import LegacyBest, Scoring, SelectionHabit
from duskmatch.models.building import build_model
from duskmatch.records import DIRECTIONS, Direction
from duskmatch.training.checkpoint import valid_steps
from duskmatch.training.schedule import Schedule
from duskmatch.training.trainer import make_sampler
from duskmatch.weights import fill_model, read_weights


def last_step(settings: Settings, dataset: Dataset) -> int:
    return Schedule(settings.train, make_sampler(settings, dataset).steps_per_epoch).n_steps


def with_selection(settings: Settings, selection: SelectionHabit, dataset: Dataset) -> Settings:
    """The settings with which training keeps the checkpoints that the selection needs."""
    if selection == "last":
        return settings
    if selection == "validation":
        need_validation(dataset)
        return settings.model_copy(update={"train": settings.train.model_copy(update={"selection": "validation"})})
    every = settings.train.validate_every * make_sampler(settings, dataset).steps_per_epoch
    kept = {"checkpoint_every": every, "keep_checkpoints": 10**9}
    return settings.model_copy(update={"train": settings.train.model_copy(update=kept)})


def need_validation(dataset: Dataset) -> None:
    if not dataset.validation:
        raise DataError(f"{dataset.root} has no validation people; pass --selection last")


def evaluated(embedder: Embedder, dataset: Dataset, split: ScoredSplit, settings: Settings) -> Evaluation:
    return evaluate_dataset(embedder.embed, dataset, split=split, camera_rule=settings.evaluate.camera_rule)


def legacy_best(run: Path, dataset: Dataset, settings: Settings, scoring: Scoring) -> dict[Direction, LegacyBest]:
    """The best of every figure over all checkpoints, scored on the test people, as many papers of this field report it.

    Source: MITML's public code; docs/reproduce.md. Directions, rank-1 and mAP may come from different checkpoints.
    Checkpoints that an interruption left between two of `train.checkpoint_every` do not count: they would be additional
    tries.
    """
    seen: dict[Direction, list[tuple[float, float, int]]] = {d: [] for d in DIRECTIONS}
    every, last = settings.train.checkpoint_every, last_step(settings, dataset)
    steps = [step for step in valid_steps(run) if step % every == 0 or step == last]
    kept = [run / "state" / f"{step:09d}" / "model.safetensors" for step in steps]
    for path in [*kept, run / "model.safetensors"]:  # the last and the RUN's own weights are the same
        weights = read_weights(path)
        model = build_model(settings, int(weights.header["n_pids"]))
        fill_model(model, weights.tensors, path)
        embedder = Embedder(model, settings, device=scoring.device, on_bad_frame=settings.data.on_bad_frame)
        found = evaluated(embedder, dataset, scoring.split, settings)
        for direction in DIRECTIONS:
            scores = found.scores[direction]
            seen[direction].append((scores.rank1, scores.mean_average_precision, int(weights.header["step"])))
    return {direction: _best(rows) for direction, rows in seen.items()}


def _best(rows: list[tuple[float, float, int]]) -> LegacyBest:
    by_rank1 = max(rows, key=lambda row: row[0])
    by_map = max(rows, key=lambda row: row[1])
    return LegacyBest(rank1=by_rank1[0], rank1_step=by_rank1[2], mAP=by_map[1], mAP_step=by_map[2])
