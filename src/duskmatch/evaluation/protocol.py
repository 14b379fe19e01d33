"""Evaluation by a data set's protocol: every pair and trial is scored, and the trials are averaged.

A protocol is a record (`records.Protocol`): pairs of query and gallery, camera rule, how CMC counts, trials.
Source: docs/datasets.md, "Protocols".
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.answers import Answers, Collector
from duskmatch.evaluation.metrics import check_sides, score, score_distances
from duskmatch.evaluation.ranking import rank, rank_distances
from duskmatch.evaluation.reranking import ReRanking, rerank
from duskmatch.evaluation.temporal import Embed, Halved, TemporalReRanking, embed_halves, rerank_temporally
from duskmatch.evaluation.trials import mean_of_trials
from duskmatch.records import (
    DIRECTIONS,
    HITSZ_VCM,
    CameraRule,
    CmcCounting,
    Direction,
    Embeddings,
    PairName,
    Protocol,
    Ranking,
    Scores,
    Tracklet,
)

RANKED = 10
ScoredSplit = Literal["test", "validation"]
AnyReRanking = ReRanking | TemporalReRanking


class Pair(typing.Protocol):
    """The query and gallery tracklets of one pair."""

    @property
    def query(self) -> list[Tracklet]: ...
    @property
    def gallery(self) -> list[Tracklet]: ...


class HasPairs(typing.Protocol):
    """The part of a data set that scoring needs: its protocol, and the sides of each pair and trial."""

    @property
    def protocol(self) -> Protocol: ...
    def pair(self, name: PairName, split: ScoredSplit = "test", trial: int = 0) -> Pair: ...


@dataclass(frozen=True, slots=True)
class Side:
    """A query or gallery: its vectors, and its tracklets if there are pictures.

    halves: vectors of the tracklets' first and second halves, only for temporal re-ranking.
    """

    embeddings: Embeddings
    tracklets: Sequence[Tracklet] = ()
    halves: tuple[Embeddings, Embeddings] | None = None

    def halved(self) -> Halved:
        """The vectors of whole tracklets and of their halves; EvaluationError if there are none of halves."""
        if self.halves is None:
            raise EvaluationError(
                "temporal re-ranking needs vectors of both halves of each tracklet, which come from pictures; "
                "score a RUN on a data set, or use plain re-ranking (k-reciprocal)"
            )
        return Halved(self.embeddings, *self.halves)


QueryAndGallery = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of every pair of a protocol, with the rankings and sides from which they were computed.

    With several trials `scores` holds their means and `trials` each of them; `rankings`, `query` and `gallery` are the
    first trial's. `public` holds the trials of pairs for which public code has another camera rule, scored by it.
    `unreadable` names the tracklets that were left out because none of their frames could be read. `answers` holds
    verification, open set and calibration of each pair, if they were asked for and nothing was re-ranked.
    """

    scores: Mapping[PairName, Scores]
    rankings: Mapping[PairName, Ranking]
    query: Mapping[PairName, Side]
    gallery: Mapping[PairName, Side]
    camera_rule: CameraRule
    split: str = "test"
    unreadable: Sequence[str] = field(default_factory=tuple)
    re_ranking: AnyReRanking | None = None
    protocol: Protocol = HITSZ_VCM
    trials: Mapping[PairName, Sequence[Scores]] = field(default_factory=dict)
    public: Mapping[PairName, Sequence[Scores]] = field(default_factory=dict)
    answers: Mapping[PairName, Answers] = field(default_factory=dict)


def evaluate_embeddings(
    infrared: Embeddings,
    visible: Embeddings,
    *,
    camera_rule: CameraRule = "same-pid-same-camera",
    cmc: CmcCounting = "entries",
    re_ranking: AnyReRanking | None = None,
    directions: Sequence[Direction] = DIRECTIONS,
    answers: bool = False,
) -> Evaluation:
    """Scores of both directions, or of the chosen ones, from any program's vectors; `answers` as in `Evaluation`."""
    protocol = replace(HITSZ_VCM, camera_rule=camera_rule, cmc=cmc)
    sides: dict[PairName, list[QueryAndGallery]] = {
        "infrared_to_visible": [(Side(infrared), Side(visible))],
        "visible_to_infrared": [(Side(visible), Side(infrared))],
    }
    return _evaluation(
        {name: sides[name] for name in directions}, protocol, re_ranking=re_ranking, with_answers=answers
    )


def evaluate_dataset(
    embed: Embed,
    dataset: HasPairs,
    *,
    split: ScoredSplit = "test",
    camera_rule: CameraRule | None = None,
    re_ranking: AnyReRanking | None = None,
    k: int = RANKED,
    answers: bool = False,
) -> Evaluation:
    """Scores of every pair and trial of a data set's protocol; each tracklet is embedded once.

    `camera_rule` replaces the protocol's; `k` is the length of the rankings; `answers` as in `Evaluation`.
    """
    protocol = dataset.protocol if camera_rule is None else replace(dataset.protocol, camera_rule=camera_rule)
    asked = {p.name: [dataset.pair(p.name, split, trial) for trial in protocol.trials] for p in protocol.pairs}
    of_pairs = [side for pairs in asked.values() for pair in pairs for side in (pair.query, pair.gallery)]
    everyone = list(dict.fromkeys(t for side in of_pairs for t in side))
    if not everyone:
        raise EvaluationError(
            f"the {split} split holds no tracklet to score; check the data set or choose another split"
        )
    embeddings = embed(everyone)
    row_of = _rows(everyone, embeddings)

    parts = [embeddings]
    if isinstance(re_ranking, TemporalReRanking):
        parts += embed_halves(embed, sorted(row_of, key=row_of.__getitem__), split)

    def side(tracklets: list[Tracklet]) -> Side:
        there = [t for t in tracklets if t in row_of]
        rows = np.array([row_of[t] for t in there], np.int64)
        whole, *halves = (part.take(rows) for part in parts)
        return Side(whole, tuple(there), (halves[0], halves[1]) if halves else None)

    sides = {name: [(side(pair.query), side(pair.gallery)) for pair in pairs] for name, pairs in asked.items()}
    unreadable = tuple(t.tracklet_id for t in everyone if t not in row_of)
    return _evaluation(
        sides, protocol, split=split, unreadable=unreadable, re_ranking=re_ranking, k=k, with_answers=answers
    )


def _evaluation(
    sides: Mapping[PairName, Sequence[QueryAndGallery]],
    protocol: Protocol,
    *,
    split: str = "test",
    unreadable: Sequence[str] = (),
    re_ranking: AnyReRanking | None = None,
    k: int = RANKED,
    with_answers: bool = False,
) -> Evaluation:
    """`sides` holds query and gallery of each trial of each pair."""
    found: dict[PairName, list[tuple[Scores, Ranking]]] = {}
    answers: dict[PairName, Answers] = {}
    for name, pairs in sides.items():
        collector = _collector(name, sides, protocol, answers) if with_answers and re_ranking is None else None
        found[name] = [_score_pair(*pair, protocol, re_ranking, k, collector) for pair in pairs]
        if collector:
            answers[name] = collector.answers()
    trials = {name: [scores for scores, _ in of_trials] for name, of_trials in found.items()}
    rules = {p.name: p.public_rule for p in protocol.pairs if p.public_rule not in (None, protocol.camera_rule)}
    public = {
        name: [_score_pair(*pair, replace(protocol, camera_rule=rule), re_ranking, k)[0] for pair in sides[name]]
        for name, rule in rules.items()
        if rule is not None
    }
    return Evaluation(
        scores={name: mean_of_trials(scores) for name, scores in trials.items()},
        rankings={name: of_trials[0][1] for name, of_trials in found.items()},
        query={name: pairs[0][0] for name, pairs in sides.items()},
        gallery={name: pairs[0][1] for name, pairs in sides.items()},
        camera_rule=protocol.camera_rule,
        split=split,
        unreadable=unreadable,
        re_ranking=re_ranking,
        protocol=protocol,
        trials=trials,
        public=public,
        answers=answers,
    )


def _collector(
    name: PairName,
    sides: Mapping[PairName, Sequence[QueryAndGallery]],
    protocol: Protocol,
    answers: Mapping[PairName, Answers],
) -> Collector:
    """The collector of a pair, which knows the answers of its swap if that was scored before."""
    swapped = next((done for done in answers if _are_swapped(sides[name], sides[done])), None)
    embeddings = [(query.embeddings, gallery.embeddings) for query, gallery in sides[name]]
    for pair in embeddings:
        check_sides(*pair)
    return Collector(embeddings, protocol.camera_rule, answers[swapped] if swapped else None)


def _are_swapped(some: Sequence[QueryAndGallery], others: Sequence[QueryAndGallery]) -> bool:
    """True if each trial's query is the other's gallery, and the reverse."""
    return len(some) == len(others) and all(
        _are_one(a[0], b[1]) and _are_one(a[1], b[0]) for a, b in zip(some, others, strict=True)
    )


def _are_one(a: Side, b: Side) -> bool:
    return a.embeddings is b.embeddings or (bool(a.tracklets) and a.tracklets == b.tracklets)


def _score_pair(
    query_side: Side,
    gallery_side: Side,
    protocol: Protocol,
    re_ranking: AnyReRanking | None,
    k: int,
    collector: Collector | None = None,
) -> tuple[Scores, Ranking]:
    """Scores and ranking of one pair in one trial, by cosine or by re-ranked distances."""
    query, gallery = query_side.embeddings, gallery_side.embeddings
    rule, cmc = protocol.camera_rule, protocol.cmc
    if re_ranking is None:
        scores = (collector.score if collector else score)(query, gallery, camera_rule=rule, cmc=cmc)
        return scores, rank(query, gallery, camera_rule=rule, k=k)
    if isinstance(re_ranking, TemporalReRanking):
        dist = rerank_temporally(query_side.halved(), gallery_side.halved(), re_ranking)
    else:
        dist = rerank(query, gallery, **asdict(re_ranking))
    labels = query.pids, query.camids, gallery.pids, gallery.camids
    scores = score_distances(dist, *labels, camera_rule=rule, cmc=cmc)
    return scores, rank_distances(dist, query, gallery, camera_rule=rule, k=k)


def _rows(tracklets: list[Tracklet], embeddings: Embeddings) -> dict[Tracklet, int]:
    """The row of each tracklet; if unreadable tracklets were left out, the others are found by `sources`."""
    if len(embeddings) == len(tracklets):
        return {tracklet: row for row, tracklet in enumerate(tracklets)}
    rows = {name: row for row, name in enumerate(embeddings.sources)}
    found = {t: rows[t.tracklet_id] for t in tracklets if t.tracklet_id in rows}
    if len(found) != len(embeddings) or len(rows) != len(embeddings):
        raise EvaluationError(
            f"an embedder must return a row for each tracklet, or name the ones it returns by tracklet_id in sources; "
            f"got {len(embeddings)} rows for {len(tracklets)} tracklets"
        )
    return found
