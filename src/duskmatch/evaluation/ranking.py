"""The nearest gallery entries of each query."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.matches import UNKNOWN_PID, SamePersonTable
from duskmatch.evaluation.metrics import check_sides, take_away
from duskmatch.evaluation.ordering import nearest_columns
from duskmatch.evaluation.similarity import Similarity, map_bands
from duskmatch.records import CameraRule, Embeddings, Floats, Ints, Ranking


def rank(query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule, k: int = 10) -> Ranking:
    """The k nearest gallery entries of each query, best first, ties by gallery row; pids may be unknown (-1)."""
    _check_length(k)
    check_sides(query, gallery)
    sim = Similarity(query.vectors, gallery.vectors)
    indices, negated = _nearest(sim.negated, query, gallery, camera_rule, k)
    return _ranking(indices, np.clip(1 + negated, 0, 2), query, gallery, camera_rule)


def rank_distances(
    dist: Float[np.ndarray, "q g"], query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule, k: int = 10
) -> Ranking:
    """The same as `rank`, by any finite distances between the sides, for example after re-ranking."""
    _check_length(k)
    check_sides(query, gallery)
    if dist.shape != (len(query), len(gallery)):
        raise EvaluationError(
            f"distances must be (queries, gallery entries); got {dist.shape} for {len(query)} and {len(gallery)}"
        )
    indices, found = _nearest(lambda rows: np.array(dist[rows], np.float32), query, gallery, camera_rule, k)
    return _ranking(indices, found, query, gallery, camera_rule)


def _nearest(
    distances: Callable[[slice], Floats], query: Embeddings, gallery: Embeddings, camera_rule: CameraRule, k: int
) -> tuple[Ints, Floats]:
    """(columns, dist), each (q k): if fewer entries are left, padded with -1 and infinity."""
    table = SamePersonTable(gallery.pids, gallery.camids, camera_rule)
    width = min(k, len(gallery))

    def of_band(rows: slice) -> tuple[Ints, Floats]:
        dist = distances(rows)
        same = table.of(query.pids[rows], query.camids[rows])
        take_away(dist, same, junk=False)
        columns = nearest_columns(dist, width)
        return columns, np.take_along_axis(dist, columns, axis=1)

    bands = map_bands(of_band, len(query), len(gallery))
    indices, dist = (np.pad(np.concatenate(x), ((0, 0), (0, k - width))) for x in zip(*bands, strict=True))
    there = np.isfinite(dist) & (np.arange(k) < width)
    return np.where(there, indices, -1), np.where(there, dist, np.float32(np.inf))


def _ranking(indices: Ints, dist: Floats, query: Embeddings, gallery: Embeddings, camera_rule: CameraRule) -> Ranking:
    there = indices >= 0
    known = (query.pids != UNKNOWN_PID)[:, None]
    return Ranking(
        indices=indices,
        dist=np.where(there, dist, np.inf).astype(np.float32),
        matches=there & known & (gallery.pids[indices] == query.pids[:, None]),
        camera_rule=camera_rule,
    )


def _check_length(k: int) -> None:
    if k < 1:
        raise EvaluationError(f"k must be at least 1; got {k}")
