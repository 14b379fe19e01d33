"""Who was found: the nearest gallery entries of each query."""

from __future__ import annotations

import numpy as np

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.matches import UNKNOWN_PID, SamePersonTable
from duskmatch.evaluation.metrics import check_widths
from duskmatch.evaluation.ordering import nearest
from duskmatch.evaluation.similarity import Similarity, map_bands, unit_vectors
from duskmatch.records import CameraRule, Embeddings, Floats, Ints, Ranking


def rank(query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule, k: int = 10) -> Ranking:
    """The k nearest gallery entries of each query, best first, ties by gallery row; pids may be unknown (-1)."""
    if k < 1:
        raise EvaluationError(f"k must be at least 1; got {k}")
    for role, side in (("query", query), ("gallery", gallery)):
        if not len(side):
            raise EvaluationError(f"the {role} must hold at least one embedding; it is empty; choose other tracklets")
    check_widths(query, gallery)
    table = SamePersonTable(gallery.pids, gallery.camids, camera_rule)
    sim = Similarity(unit_vectors(query, "query"), unit_vectors(gallery, "gallery"))
    width = min(k, len(gallery))

    def of_band(rows: slice) -> tuple[Ints, Floats]:
        dist = -sim(rows)
        same = table.of(query.pids[rows], query.camids[rows])
        row, place = np.nonzero(same.removed & (query.pids[rows] != UNKNOWN_PID)[:, None])
        dist[row, same.columns[row, place]] = np.inf  # two unknown people are not the same person: those stay
        columns = nearest(dist, width)
        return columns, np.take_along_axis(dist, columns, axis=1)

    bands = map_bands(of_band, len(query), len(gallery))
    indices, negated = (np.pad(np.concatenate(x), ((0, 0), (0, k - width))) for x in zip(*bands, strict=True))
    there = np.isfinite(negated) & (np.arange(k) < width)
    return Ranking(
        indices=np.where(there, indices, -1),
        dist=np.where(there, np.clip(1 + negated, 0, 2), np.inf).astype(np.float32),
        matches=there & (gallery.pids[indices] == query.pids[:, None]) & (query.pids != UNKNOWN_PID)[:, None],
        camera_rule=camera_rule,
    )
