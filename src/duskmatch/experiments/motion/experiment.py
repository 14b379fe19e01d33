"""The motion test: scores of the same clips with frames in order, shuffled, reversed, or one frame repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from duskmatch.data import Dataset
from duskmatch.embedding import Embedder
from duskmatch.errors import DataError
from duskmatch.evaluation import Evaluation, evaluate_dataset
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.experiments.document import difference, estimate, run_facts, set_facts
from duskmatch.experiments.motion.document import (
    SCHEMA_VERSION,
    Among,
    MotionDocument,
    MotionResult,
    MotionSet,
    OrderScores,
)
from duskmatch.experiments.motion.orders import ORDERS, Order, frame_places, reordered
from duskmatch.experiments.motion.twins import TwinScores, among_twins, twin_groups
from duskmatch.experiments.subjects import note_read, tracklets_of
from duskmatch.machine import describe, versions
from duskmatch.records import DIRECTIONS, Direction, Embeddings, Floats, Scores, Tracklet

AMONG_TWINS: dict[Among, bool] = {"twins": False, "twins_other_cameras": True}  # True: without the query's camera
Evaluations = Mapping[Order, Evaluation]
Found = Scores | TwinScores


def motion(
    embedders: Mapping[str, Embedder],
    sets: Mapping[str, Dataset],
    *,
    split: ScoredSplit = "test",
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> MotionDocument:
    """The scores of every RUN on every data set; `seed` is that of the shuffling; `on_step` is called at each scoring.

    Test people count as read once for each RUN and data set.
    """
    for embedder in embedders.values():  # refuses what cannot be scored before anything is
        frame_places("in_order", embedder.settings.data.frames_per_clip, "", 0)
    for dataset in sets.values():
        check_order(dataset, split)
    facts = {
        name: MotionSet(**set_facts(name, dataset, split).model_dump(), camera_rule=dataset.protocol.camera_rule)
        for name, dataset in sets.items()
    }
    rules = {dataset.protocol.camera_rule for dataset in sets.values()}
    groups = {name: twin_groups(dataset, split) for name, dataset in sets.items() if dataset.facts.get("twins")}
    results = []
    for run, embedder in embedders.items():
        for name, dataset in sets.items():
            found: dict[Order, Evaluation] = {}
            for order in ORDERS:
                found[order] = evaluate_order(embedder, dataset, order, split, seed)
                on_step()
            facts[name] = facts[name].model_copy(update={"test_reads": note_read(dataset, split)})
            results += results_of(run, name, found, groups.get(name))
    return MotionDocument(
        schema_version=SCHEMA_VERSION,
        synthetic=any(dataset.synthetic for dataset in sets.values()),
        split=split,
        camera_rule=rules.pop() if len(rules) == 1 else None,
        orders=ORDERS,
        seed=seed,
        machine=describe(),
        versions=versions(),
        runs=[run_facts(name, embedder) for name, embedder in embedders.items()],
        data=list(facts.values()),
        results=results,
    )


def check_order(dataset: Dataset, split: ScoredSplit) -> None:
    """Refuses data whose frames have no order, and protocols of several trials, which cannot be paired by query."""
    if all(len(tracklet) == 1 for tracklet in tracklets_of(dataset, split)):
        raise DataError(
            f"{dataset.root} must hold tracks, whose frames have an order; {dataset.name} data are single pictures; "
            "name a set of tracks"
        )
    trials = dataset.protocol.trials
    if len(trials) > 1:
        raise DataError(
            f"{dataset.root} must be scored in one trial, since orders are compared query by query; its protocol "
            f"{dataset.protocol.variant} draws {len(trials)}; choose another --protocol or data set"
        )


def evaluate_order(
    embedder: Embedder, dataset: Dataset, order: Order, split: ScoredSplit = "test", seed: int = 0
) -> Evaluation:
    """The evaluation by the data set's own protocol, with the frames of every clip in this order."""
    how = embedder.settings.data.frames_per_clip, seed, embedder.settings.data.sampling

    def embed(tracklets: list[Tracklet]) -> Embeddings:
        return embedder.embed([reordered(tracklet, order, *how) for tracklet in tracklets])

    return evaluate_dataset(embed, dataset, split=split)


def results_of(run: str, data: str, found: Evaluations, groups: Mapping[int, int] | None) -> list[MotionResult]:
    """The results of both directions, and those among twins if there are groups."""
    results = []
    for direction in DIRECTIONS:
        everyone = {order: one.scores[direction] for order, one in found.items()}
        results.append(_result(run, data, direction, "everyone", found, everyone))
        if groups:
            for among, other_cameras in AMONG_TWINS.items():
                twins = {order: _of_twins(one, direction, groups, other_cameras) for order, one in found.items()}
                results.append(_result(run, data, direction, among, found, twins))
    return results


def _of_twins(
    evaluation: Evaluation, direction: Direction, groups: Mapping[int, int], other_cameras: bool
) -> TwinScores:
    query, gallery = evaluation.query[direction].embeddings, evaluation.gallery[direction].embeddings
    return among_twins(query, gallery, groups, evaluation.camera_rule, other_cameras=other_cameras)


def _result(
    run: str, data: str, direction: Direction, among: Among, found: Evaluations, scores: Mapping[Order, Found]
) -> MotionResult:
    plain = scores["in_order"]
    vectors = {order: one.query[direction].embeddings.vectors for order, one in found.items()}
    return MotionResult(
        run=run,
        data=data,
        direction=direction,
        among=among,
        chance=plain.chance,
        n_queries=plain.n_queries,
        n_left_out=plain.n_left_out,
        n_people=len(np.unique(plain.query_pids)),
        orders={order: _scores(one, plain, vectors[order], vectors["in_order"]) for order, one in scores.items()},
    )


def _scores(one: Found, plain: Found, vectors: Floats, before: Floats) -> OrderScores:
    """The scores of one order and their differences to `plain`, the frames in order; vectors (q d) are of queries."""
    first, first_plain = ((side.first_hit == 1).astype(np.float64) for side in (one, plain))
    pairs = (first, first_plain), (one.average_precision, plain.average_precision)
    rank1, mean_precision = (estimate(values, one.query_pids) for values, _ in pairs)
    of_rank1, of_map = (None if one is plain else difference(mine, others, one.query_pids) for mine, others in pairs)
    return OrderScores(
        rank1=rank1.value,
        rank1_interval=rank1.interval,
        rank1_difference=of_rank1,
        mAP=mean_precision.value,
        mAP_interval=mean_precision.interval,
        mAP_difference=of_map,
        similarity=float((before * vectors).sum(axis=1).mean()),
    )
