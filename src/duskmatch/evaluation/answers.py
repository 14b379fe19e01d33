"""What a pair of a protocol answers beyond ranks: the same person or not, somebody unknown, and how sure.

One pass serves both directions where the second swaps the sides of the first, as in HITSZ-VCM: the pairs are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from duskmatch.evaluation.held_out import HeldOut, held_out
from duskmatch.evaluation.matches import UNKNOWN_PID
from duskmatch.evaluation.metrics import score_and_observe
from duskmatch.evaluation.open_set import OpenSet, Searches, open_set
from duskmatch.evaluation.pair_counts import PairCounter, PairCounts, people_of
from duskmatch.evaluation.verification import Verification, verification
from duskmatch.records import CameraRule, CmcCounting, Embeddings, Scores

Sides = tuple[Embeddings, Embeddings]


@dataclass(frozen=True, slots=True)
class Answers:
    """The figures of one pair of a protocol, all its trials together.

    calibration: its figures, or why there are none; counts: of the pairs, by similarity.
    """

    verification: Verification
    open_set: OpenSet
    calibration: HeldOut | str
    counts: PairCounts


class Collector:
    """Scores the trials of one pair, and collects what its answers need while the similarities are there."""

    def __init__(self, sides: Sequence[Sides], camera_rule: CameraRule, swapped: Answers | None = None) -> None:
        """`swapped`: the answers of the pair that has these queries as gallery and the reverse, if there is one."""
        self.swapped = swapped
        self.people = None if swapped else people_of(sides, camera_rule)
        self.searches: list[Searches] = []
        self.counts: PairCounts | None = None

    def score(
        self, query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule, cmc: CmcCounting = "entries"
    ) -> Scores:
        """The scores of one trial, as `metrics.score`."""
        counter = PairCounter(query, gallery, self.people)
        scores, found = score_and_observe(query, gallery, counter, camera_rule=camera_rule, cmc=cmc)
        if found.counts is not None:
            self.counts = found.counts if self.counts is None else self.counts + found.counts
        first = np.zeros(len(query), np.bool_)
        first[scores.scored] = scores.first_hit == 1
        pids = gallery.pids[gallery.pids != UNKNOWN_PID]
        searches = Searches(found.nearest, first[query.pids != UNKNOWN_PID], len(np.unique(pids)), len(pids))
        self.searches.append(searches)
        return scores

    def answers(self) -> Answers:
        """The answers of all trials scored so far."""
        unknown = open_set(self.searches)
        if self.swapped is not None:
            return replace(self.swapped, open_set=unknown)
        assert self.counts is not None and self.people is not None
        return Answers(verification(self.counts, self.people), unknown, held_out(self.counts, self.people), self.counts)
