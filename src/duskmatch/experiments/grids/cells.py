"""One cell of a grid: a row with one seed, trained, scored, and written down as SPLIT.json when all of it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duskmatch.config import Settings, parse_settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.embedding import Embedder, load_embedder
from duskmatch.embedding.cost import count_flops
from duskmatch.embedding.machine import describe, pick_device, set_threads, versions
from duskmatch.embedding.run import build_model, fill_model, read_weights
from duskmatch.errors import DataError, OutputError, SettingsError
from duskmatch.evaluation import Evaluation, dataset_facts, direction_scores, evaluate_dataset
from duskmatch.evaluation.document import DataFacts, DirectionScores
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.evaluation.trials import pooled
from duskmatch.experiments.grids.earlier import check_same_settings, is_the_run, weights_digest
from duskmatch.files import refusal, write_json
from duskmatch.records import DIRECTIONS, Direction, Scores
from duskmatch.training import Watcher, train
from duskmatch.training.checkpoint import only_writer, valid_steps
from duskmatch.training.loop import settle_precision
from duskmatch.training.monitor import read_log
from duskmatch.training.schedule import Schedule
from duskmatch.training.trainer import make_sampler

SelectionHabit = Literal["last", "validation", "test_best_legacy"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = get_args(ScoredSplit)
CELL_VERSION = 1
BUSY = "is being run by another process; the same command picks the cell up later"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class People(Part):
    """Each test person's queries in all trials: how many, how many found first, their average precisions' sum."""

    pids: list[int]
    n: list[int]
    hits: list[int]
    precision: list[float]


class LegacyBest(Part):
    """The best of several checkpoints chosen on the test people themselves, figure by figure: no honest score."""

    rank1: float
    rank1_step: int
    mAP: float
    mAP_step: int


class CellResult(Part):
    """test.json or validation.json: a cell scored on the people of that split."""

    schema_version: int
    row: str
    seed: int
    split: str
    selection: str
    settings: dict[str, Any]
    data: DataFacts
    synthetic: bool
    directions: dict[Direction, DirectionScores]
    people: dict[Direction, People]
    test_best_legacy: dict[Direction, LegacyBest] | None
    parameters: dict[str, int]
    flops: int
    seconds: float = Field(ge=0)  # of training: its iterations times their median, so that pauses do not count
    frames_per_s: float = Field(ge=0)
    machine: str
    threads: int
    versions: dict[str, str]
    weights_sha256: str | None = None  # of the RUN's model.safetensors; None: written before there was this entry


@dataclass(frozen=True, slots=True)
class Cell:
    """What is to be run; `folder` holds its RUN and the results of the splits that it was scored on."""

    row: str
    settings: Settings
    folder: Path

    @property
    def seed(self) -> int:
        return self.settings.seed

    def result_path(self, split: ScoredSplit) -> Path:
        return self.folder / f"{split}.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What is the same for all cells of an experiment."""

    data: Path
    split: ScoredSplit
    selection: SelectionHabit
    device: str
    threads: int | None

    def __post_init__(self) -> None:
        if self.selection == "test_best_legacy" and self.split != "test":
            raise SettingsError(
                f"--selection test_best_legacy is a choice on test people; got --split {self.split}; leave out --split "
                "or choose another --selection"
            )


def find_result(cell: Cell, order: Order, fingerprint: str, split: ScoredSplit | None = None) -> CellResult | None:
    """The cell's result on the order's split, or on another, where it is done.

    OutputError where the folder holds that of another cell.
    """
    path = cell.result_path(split or order.split)
    if not path.is_file():
        return None
    try:
        result = CellResult.model_validate_json(path.read_text(encoding="utf-8"))
        settings = parse_settings(result.settings)
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise OutputError(f"{path} is damaged: {' '.join(str(error).split())[:120]}; delete it") from error
    except SettingsError as error:
        raise OutputError(f"{path} holds settings of another duskmatch: {error}; delete it") from error
    same = {
        "settings": settings == cell.settings,
        "data": result.data.fingerprint == fingerprint,
        "selection": result.selection == order.selection,
    }
    if not all(same.values()):
        other = next(name for name, agrees in same.items() if not agrees)
        raise OutputError(f"{cell.folder} holds a cell of other {other}; choose another --out")
    return result


def elsewhere(cell: Cell, order: Order, fingerprint: str) -> list[CellResult]:
    """The same cell's results on the other splits; one of another selection or other data is refused."""
    others = (find_result(cell, order, fingerprint, split) for split in SCORED_SPLITS if split != order.split)
    return [result for result in others if result is not None]


def run_cell(cell: Cell, order: Order, on_step: Callable[[int, int], None] = lambda done, total: None) -> CellResult:
    """Trains the cell, going on where it was stopped, scores it, and writes its result last.

    What is done already is not done again: a cell with its result is returned, one that was scored on another split is
    not trained again while its RUN is there. While it lasts no other process runs this cell.
    """
    threads = set_threads(order.threads)
    dataset = open_dataset(order.data)
    try:
        cell.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(cell.folder, error) from error
    with only_writer(cell.folder, BUSY):
        done = find_result(cell, order, dataset.fingerprint)
        return done or _run(cell, order, dataset, threads, on_step)


def _run(cell: Cell, order: Order, dataset: Dataset, threads: int, on_step: Callable[[int, int], None]) -> CellResult:
    run = cell.folder / "run"
    others = elsewhere(cell, order, dataset.fingerprint)
    settings = with_selection(cell.settings, order.selection, dataset)
    took = took_before(run, others, settings, order, dataset)
    if took is None:
        outcome = trained(run, settings, order, dataset, on_step)
        took = speed(run, outcome["steps"], settings)
    digest = weights_digest(run)
    embedder = load_embedder(run, device=order.device, on_bad_frame=settings.data.on_bad_frame)
    evaluation = evaluated(embedder, dataset, order.split, settings)
    result = CellResult(
        schema_version=CELL_VERSION,
        row=cell.row,
        seed=cell.seed,
        split=order.split,
        selection=order.selection,
        settings=cell.settings.model_dump(mode="json"),
        data=dataset_facts(dataset, evaluation),
        synthetic=dataset.synthetic,
        directions={d: direction_scores(evaluation.scores[d], evaluation.trials[d]) for d in DIRECTIONS},
        people={d: people_of(pooled(evaluation.trials[d])) for d in DIRECTIONS},
        test_best_legacy=legacy_best(run, dataset, settings, order) if order.selection == "test_best_legacy" else None,
        parameters=embedder.known["parameters"],
        flops=flops_of(embedder),
        **took,
        machine=describe(),
        threads=threads,
        versions=versions(),
        weights_sha256=digest,
    )
    write_json(cell.result_path(order.split), result.model_dump(mode="json"))
    shutil.rmtree(run / "state", ignore_errors=True)  # a finished cell is never gone on with
    return result


def took_before(
    run: Path, others: list[CellResult], settings: Settings, order: Order, dataset: Dataset
) -> dict[str, float] | None:
    """How long the RUN took whose weights another split was scored with, where it is still there; else None: train.

    The field's habit needs the states, which are gone.
    """
    if not others or order.selection == "test_best_legacy":
        return None
    last = last_step(settings, dataset) if order.selection == "last" else None
    known = next((result for result in others if is_the_run(run, result.weights_sha256, last)), None)
    return None if known is None else {"seconds": known.seconds, "frames_per_s": known.frames_per_s}


def trained(
    run: Path, settings: Settings, order: Order, dataset: Dataset, on_step: Callable[[int, int], None]
) -> dict[str, Any]:
    """The cell's RUN, from where it was stopped; one that was begun with other settings is refused."""
    resume = (run / "settings.yaml").is_file()
    if resume:
        check_same_settings(run, settle_precision(settings, pick_device(order.device)))
    watcher = Watcher(on_step=lambda done, total, _: on_step(done, total))
    return train(settings, dataset, run, resume=resume, device=order.device, watcher=watcher)


def last_step(settings: Settings, dataset: Dataset) -> int:
    return Schedule(settings.train, make_sampler(settings, dataset).steps_per_epoch).n_steps


def with_selection(settings: Settings, selection: SelectionHabit, dataset: Dataset) -> Settings:
    """The settings that make the checkpoints a selection chooses from; a cell's own keep the last."""
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


def people_of(scores: Scores) -> People:
    """The scored queries of each person, added up."""
    pids, whose = np.unique(scores.query_pids, return_inverse=True)
    hits = np.bincount(whose, weights=(scores.first_hit == 1).astype(float))
    precision = np.bincount(whose, weights=scores.average_precision)
    return People(
        pids=[int(p) for p in pids],
        n=[int(n) for n in np.bincount(whose)],
        hits=[int(h) for h in hits],
        precision=[round(float(p), 6) for p in precision],
    )


def legacy_best(run: Path, dataset: Dataset, settings: Settings, order: Order) -> dict[Direction, LegacyBest]:
    """The field's habit: every checkpoint is scored on the test people, the best of each figure is taken.

    Source: REFERENCE 1.6, trap 3. Two directions, and rank-1 and mAP, may come from different checkpoints. Those that
    an interruption left between two of `train.checkpoint_every` do not count: they would be further tries.
    """
    seen: dict[Direction, list[tuple[float, float, int]]] = {d: [] for d in DIRECTIONS}
    every, last = settings.train.checkpoint_every, last_step(settings, dataset)
    steps = [step for step in valid_steps(run) if step % every == 0 or step == last]
    kept = [run / "state" / f"{step:09d}" / "model.safetensors" for step in steps]
    for path in [*kept, run / "model.safetensors"]:  # the last twice: as trained, and as the RUN is known by
        weights = read_weights(path)
        model = build_model(settings, int(weights.header["n_pids"]))
        fill_model(model, weights.tensors, path)
        embedder = Embedder(model, settings, device=order.device, on_bad_frame=settings.data.on_bad_frame)
        found = evaluated(embedder, dataset, order.split, settings)
        for direction in DIRECTIONS:
            scores = found.scores[direction]
            seen[direction].append((scores.rank1, scores.mean_average_precision, int(weights.header["step"])))
    return {direction: _best(rows) for direction, rows in seen.items()}


def _best(rows: list[tuple[float, float, int]]) -> LegacyBest:
    by_rank1 = max(rows, key=lambda row: row[0])
    by_map = max(rows, key=lambda row: row[1])
    return LegacyBest(rank1=by_rank1[0], rank1_step=by_rank1[2], mAP=by_map[1], mAP_step=by_map[2])


def flops_of(embedder: Embedder) -> int:
    """Operations for one tracklet at test."""
    assert embedder.model is not None
    return count_flops(embedder.model, embedder.settings.data.frames_per_clip, *embedder.size)


def speed(run: Path, n_steps: int, settings: Settings) -> dict[str, float]:
    """How long the iterations take by their median, whatever else the machine did and however often it was stopped."""
    seen = [row["frames_per_s"] for row in read_log(run / "log.csv") if row.get("frames_per_s")]
    per_step = 2 * settings.train.pids_per_batch * settings.train.tracklets_per_pid * settings.data.training_frames
    rate = float(np.median(seen)) if seen else 0.0
    return {"seconds": n_steps * per_step / rate if rate else 0.0, "frames_per_s": rate}
