"""Both directions of one evaluation: every tracklet of one side is looked for among all of the other.

Source: REFERENCE.md 1.3; the second direction is the same two sets swapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import numpy as np

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.metrics import score, score_distances
from duskmatch.evaluation.ranking import rank, rank_distances
from duskmatch.evaluation.reranking import ReRanking, rerank
from duskmatch.evaluation.temporal import Embed, Halved, TemporalReRanking, embed_halves, rerank_temporally
from duskmatch.records import DIRECTIONS, CameraRule, Direction, Embeddings, Ranking, Scores, Tracklet

RANKED = 10
ScoredSplit = Literal["test", "validation"]
AnyReRanking = ReRanking | TemporalReRanking


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
    """One set of people: their vectors, and their tracklets where there are pictures.

    halves: vectors of the tracklets' first and second halves, where temporal re-ranking asked for them.
    """

    embeddings: Embeddings
    tracklets: Sequence[Tracklet] = ()
    halves: tuple[Embeddings, Embeddings] | None = None

    def halved(self) -> Halved:
        """The side as temporal re-ranking takes it."""
        if self.halves is None:
            raise EvaluationError(
                "temporal re-ranking needs vectors of both halves of each tracklet, which come from pictures; "
                "score a RUN on a data set, or use plain re-ranking (k-reciprocal)"
            )
        return Halved(self.embeddings, *self.halves)


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
    re_ranking: AnyReRanking | None = None


def evaluate_embeddings(
    infrared: Embeddings,
    visible: Embeddings,
    *,
    camera_rule: CameraRule = "same-pid-same-camera",
    re_ranking: AnyReRanking | None = None,
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
    re_ranking: AnyReRanking | None = None,
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

    parts = [embeddings]
    if isinstance(re_ranking, TemporalReRanking):
        parts += embed_halves(embed, sorted(place, key=place.__getitem__), split)

    def side(tracklets: list[Tracklet]) -> Side:
        there = [t for t in tracklets if t in place]
        rows = np.array([place[t] for t in there], np.int64)
        whole, *halves = (part.take(rows) for part in parts)
        return Side(whole, tuple(there), (halves[0], halves[1]) if halves else None)

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
    re_ranking: AnyReRanking | None = None,
    k: int = RANKED,
) -> Evaluation:
    scores, rankings = {}, {}
    for d in DIRECTIONS:
        scores[d], rankings[d] = _found(query[d], gallery[d], camera_rule, re_ranking, k)
    return Evaluation(scores, rankings, query, gallery, camera_rule, split, unreadable, re_ranking)


def _found(
    query: Side, gallery: Side, camera_rule: CameraRule, re_ranking: AnyReRanking | None, k: int
) -> tuple[Scores, Ranking]:
    """One direction, by cosine or by what re-ranking makes of it."""
    q, g = query.embeddings, gallery.embeddings
    if re_ranking is None:
        return score(q, g, camera_rule=camera_rule), rank(q, g, camera_rule=camera_rule, k=k)
    if isinstance(re_ranking, TemporalReRanking):
        dist = rerank_temporally(query.halved(), gallery.halved(), re_ranking)
    else:
        dist = rerank(q, g, **asdict(re_ranking))
    scores = score_distances(dist, q.pids, q.camids, g.pids, g.camids, camera_rule=camera_rule)
    return scores, rank_distances(dist, q, g, camera_rule=camera_rule, k=k)


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
