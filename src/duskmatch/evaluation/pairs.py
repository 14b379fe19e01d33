"""Scores by groups of matches, for example by view difference or by pair of cameras.

A pair is a query and one of its matches; strangers are gallery entries of other people. How many strangers are nearer
than a match does not depend on the other matches, so one pass gives the scores for any choice of matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64

from duskmatch.evaluation.matches import SamePersonTable
from duskmatch.evaluation.metrics import check_sides, match_distances, match_ranks, take_away
from duskmatch.evaluation.similarity import Similarity, map_bands
from duskmatch.records import CameraRule, Embeddings, Ints


@dataclass(frozen=True, slots=True)
class MatchPairs:
    """Every (query, match) left by the camera rule: their rows, and how many strangers are nearer than the match."""

    query: Ints
    gallery: Ints
    strangers_nearer: Ints


def match_pairs(query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule) -> MatchPairs:
    """All pairs, in order of queries; ties in distance go by gallery row, as in `score`."""
    check_sides(query, gallery)
    table = SamePersonTable(gallery.pids, gallery.camids, camera_rule)
    sim = Similarity(query.vectors, gallery.vectors)

    def of_band(rows: slice) -> Ints:
        dist, same = sim.negated(rows), table.of(query.pids[rows], query.camids[rows])
        take_away(dist, same)
        there, ranks, _ = match_ranks(dist, same, whole=len(query) * len(gallery))
        nearest_first = np.argsort(match_distances(dist, same), axis=1, kind="stable")
        row, place = np.nonzero(there)
        columns = same.columns[row, nearest_first[row, place]]
        return np.stack([row + rows.start, columns, ranks[row, place] - 1 - place])  # (3 pairs)

    return MatchPairs(*np.concatenate(map_bands(of_band, len(query), len(gallery)), axis=1))


def first_hits(pairs: MatchPairs, chosen: npt.NDArray[np.bool_]) -> tuple[Int64[np.ndarray, " n"], Ints]:
    """(query rows, rank of the first hit) if the gallery held only the chosen matches, and all strangers."""
    rows, whose = np.unique(pairs.query[chosen], return_inverse=True)
    nearer = np.full(len(rows), np.iinfo(np.int64).max)
    np.minimum.at(nearer, whose, pairs.strangers_nearer[chosen])
    return rows, 1 + nearer
