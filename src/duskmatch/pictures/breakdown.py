"""Scores of groups of matches: by view difference, by pair of cameras, within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import Evaluation, MatchPairs, first_hits, match_pairs, score
from duskmatch.pictures.curves import number
from duskmatch.records import Direction, Embeddings, Ints, Modality, Scores

VIEW_BINS = (0, 30, 60, 90, 120, 150, 180)
CMC_RANKS = 20


@dataclass(frozen=True, slots=True)
class Group:
    """The CMC if the gallery held only the matches of one group, and all entries of other people."""

    name: str
    n_queries: int
    cmc: npt.NDArray[np.float64]

    @property
    def rank1(self) -> float:
        return float(self.cmc[0])


def pairs_of(evaluation: Evaluation, direction: Direction) -> MatchPairs:
    """All pairs of a query and one of its matches."""
    query, gallery = evaluation.query[direction].embeddings, evaluation.gallery[direction].embeddings
    return match_pairs(query, gallery, camera_rule=evaluation.camera_rule)


def by_view(
    evaluation: Evaluation, direction: Direction, pairs: MatchPairs, walks: Mapping[str, Mapping[str, Any]]
) -> list[Group]:
    """Groups by the angle between the two views, 0 to 180 degrees; empty if the views are unknown."""
    query = _views(evaluation.query[direction].tracklets, walks)
    gallery = _views(evaluation.gallery[direction].tracklets, walks)
    if query is None or gallery is None:
        return []
    turn = np.abs(query[pairs.query] - gallery[pairs.gallery]) % 360
    turn = np.minimum(turn, 360 - turn)
    bins = np.clip(np.digitize(turn, VIEW_BINS) - 1, 0, len(VIEW_BINS) - 2)  # 180 joins the last
    groups = []
    for place, (low, high) in enumerate(pairwise(VIEW_BINS)):
        chosen = np.isfinite(turn) & (bins == place)
        if chosen.any():
            groups.append(group(f"{low} to {high}°", pairs, chosen))
    return groups


def by_cameras(evaluation: Evaluation, direction: Direction, pairs: MatchPairs) -> dict[tuple[int, int], Group]:
    """(query's camera, match's camera) -> group."""
    query = evaluation.query[direction].embeddings.camids[pairs.query]
    gallery = evaluation.gallery[direction].embeddings.camids[pairs.gallery]
    together = np.unique(np.stack([query, gallery]), axis=1).T if len(query) else np.zeros((0, 2), np.int64)
    return {(int(a), int(b)): group(f"{a} → {b}", pairs, (query == a) & (gallery == b)) for a, b in together}


def group(name: str, pairs: MatchPairs, chosen: npt.NDArray[np.bool_]) -> Group:
    """One group's CMC."""
    rows, first = first_hits(pairs, chosen)
    return Group(name, len(rows), cmc(first))


def cmc(first_hit: Ints, length: int = CMC_RANKS) -> npt.NDArray[np.float64]:
    """The share of queries with a hit among the first k, k = 1 .. length."""
    return np.array([(first_hit <= k).mean() for k in range(1, length + 1)])


def same_modality(evaluation: Evaluation) -> dict[Modality, Scores | str]:
    """Scores of each modality searched within itself under the camera rule, or why there are none."""
    sides: dict[Modality, Embeddings] = {
        "visible": evaluation.query["visible_to_infrared"].embeddings,
        "infrared": evaluation.query["infrared_to_visible"].embeddings,
    }
    return {modality: _score_or_reason(side) for modality, side in sides.items()}


def _score_or_reason(side: Embeddings) -> Scores | str:
    try:
        return score(side, side, camera_rule="same-pid-same-camera")
    except EvaluationError:
        return "nobody is seen by two cameras in this modality"


def _views(tracklets: Any, walks: Mapping[str, Mapping[str, Any]]) -> npt.NDArray[np.float64] | None:
    views = np.array([number(walks.get(t.tracklet_id, {}).get("view_degrees")) for t in tracklets])
    return views if len(views) and np.isfinite(views).any() else None
