"""Both directions of one evaluation: every tracklet of one side is looked for among all of the other.

Source: REFERENCE.md 1.3; the second direction is the same two sets swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import numpy as np

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.metrics import score, score_distances
from duskmatch.evaluation.ranking import rank, rank_distances
from duskmatch.evaluation.reranking import ReRanking, rerank
from duskmatch.records import DIRECTIONS, CameraRule, Direction, Embeddings, Ranking, Scores, Tracklet

RANKED = 10
ScoredSplit = Literal["test", "validation"]
Embed = Callable[[list[Tracklet]], Embeddings]


class Pair(Protocol):
    """Who is looked for, and among whom."""

    @property
    def query(self) -> list[Tracklet]: ...
    @property
    def gallery(self) -> list[Tracklet]: ...


class HasDirections(Protocol):
    """A data set, as far as scoring needs it."""

    def direction(self, direction: Direction, split: ScoredSplit = "test") -> Pair: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One set of people: their vectors, and their tracklets where there are pictures."""

    embeddings: Embeddings
    tracklets: Sequence[Tracklet] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores and rankings of both directions, and what they were made from.

    `unreadable` names the tracklets that no direction holds because none of their frames could be read.
    """

    scores: Mapping[Direction, Scores]
    rankings: Mapping[Direction, Ranking]
    query: Mapping[Direction, Side]
    gallery: Mapping[Direction, Side]
    camera_rule: CameraRule
    split: str = "test"
    unreadable: Sequence[str] = field(default_factory=tuple)
    re_ranking: ReRanking | None = None


def evaluate_embeddings(
    infrared: Embeddings,
    visible: Embeddings,
    *,
    camera_rule: CameraRule = "same-pid-same-camera",
    re_ranking: ReRanking | None = None,
) -> Evaluation:
    """Both directions of two sides, for vectors made by any program."""
    query: dict[Direction, Side] = {"infrared_to_visible": Side(infrared), "visible_to_infrared": Side(visible)}
    gallery: dict[Direction, Side] = {"infrared_to_visible": Side(visible), "visible_to_infrared": Side(infrared)}
    return _evaluation(query, gallery, camera_rule, re_ranking=re_ranking)


def evaluate_dataset(
    embed: Embed,
    dataset: HasDirections,
    *,
    split: ScoredSplit = "test",
    camera_rule: CameraRule = "same-pid-same-camera",
    re_ranking: ReRanking | None = None,
    k: int = RANKED,
) -> Evaluation:
    """Both directions of a data set's split; each tracklet is embedded once."""
    pairs = {direction: dataset.direction(direction, split) for direction in DIRECTIONS}
    everyone = list(dict.fromkeys(t for pair in pairs.values() for side in (pair.query, pair.gallery) for t in side))
    if not everyone:
        raise EvaluationError(
            f"the {split} split holds no tracklet to score; check the data set or choose another split"
        )
    embeddings = embed(everyone)
    place = _places(everyone, embeddings)

    def side(tracklets: list[Tracklet]) -> Side:
        there = [t for t in tracklets if t in place]
        return Side(embeddings.take(np.array([place[t] for t in there], np.int64)), tuple(there))

    query = {direction: side(pair.query) for direction, pair in pairs.items()}
    gallery = {direction: side(pair.gallery) for direction, pair in pairs.items()}
    unreadable = tuple(t.tracklet_id for t in everyone if t not in place)
    return _evaluation(query, gallery, camera_rule, split=split, unreadable=unreadable, re_ranking=re_ranking, k=k)


def _evaluation(
    query: Mapping[Direction, Side],
    gallery: Mapping[Direction, Side],
    camera_rule: CameraRule,
    *,
    split: str = "test",
    unreadable: Sequence[str] = (),
    re_ranking: ReRanking | None = None,
    k: int = RANKED,
) -> Evaluation:
    scores, rankings = {}, {}
    for d in DIRECTIONS:
        sides = query[d].embeddings, gallery[d].embeddings
        scores[d], rankings[d] = _found(*sides, camera_rule, re_ranking, k)
    return Evaluation(scores, rankings, query, gallery, camera_rule, split, unreadable, re_ranking)


def _found(
    query: Embeddings, gallery: Embeddings, camera_rule: CameraRule, re_ranking: ReRanking | None, k: int
) -> tuple[Scores, Ranking]:
    """One direction, by cosine or by what re-ranking makes of it."""
    if re_ranking is None:
        return score(query, gallery, camera_rule=camera_rule), rank(query, gallery, camera_rule=camera_rule, k=k)
    dist = rerank(query, gallery, **asdict(re_ranking))
    labels = query.pids, query.camids, gallery.pids, gallery.camids
    scores = score_distances(dist, *labels, camera_rule=camera_rule)
    return scores, rank_distances(dist, query, gallery, camera_rule=camera_rule, k=k)


def _places(tracklets: list[Tracklet], embeddings: Embeddings) -> dict[Tracklet, int]:
    """Each tracklet's row; an embedder that left unreadable ones out names the rest in `sources`."""
    if len(embeddings) == len(tracklets):
        return {tracklet: row for row, tracklet in enumerate(tracklets)}
    rows = {name: row for row, name in enumerate(embeddings.sources)}
    places = {t: rows[t.tracklet_id] for t in tracklets if t.tracklet_id in rows}
    if len(places) != len(embeddings) or len(rows) != len(embeddings):
        raise EvaluationError(
            f"an embedder must return a row for each tracklet, or name the ones it returns by tracklet_id in sources; "
            f"got {len(embeddings)} rows for {len(tracklets)} tracklets"
        )
    return places
