"""Distances between clips of the same person and of different people, and how well they separate the two (AUC)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.matches import UNKNOWN_PID, SamePersonTable
from duskmatch.evaluation.metrics import check_sides, take_away
from duskmatch.evaluation.similarity import Similarity, map_bands
from duskmatch.records import CameraRule, Embeddings, Floats, Ints

FEWEST_BINS, MOST_BINS = 10, 60
LEAST_RANGE = 1e-6  # of a histogram, if all distances are equal
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Separation:
    """Histograms of the distance, 1 - cosine, of same-person pairs and of other pairs, and their AUC.

    edges (bins + 1), same and others (bins): how many pairs lie between two edges; auc: the chance that a same-person
    pair is nearer than another pair, ties counted half; None if one of the two kinds has no pair.
    """

    edges: npt.NDArray[np.float64]
    same: Ints
    others: Ints
    auc: float | None

    @property
    def n_same(self) -> int:
        return int(self.same.sum())

    @property
    def n_others(self) -> int:
        return int(self.others.sum())


def separation(
    query: Embeddings, gallery: Embeddings, *, camera_rule: CameraRule, bins: int | None = None
) -> Separation:
    """The separation of all pairs of query and gallery, without removed entries and unknown people."""
    return PairBands(query, gallery, camera_rule, within=False).separation(bins)


def separation_within(side: Embeddings, *, camera_rule: CameraRule, bins: int | None = None) -> Separation:
    """The separation of all pairs within one side, each counted once."""
    return PairBands(side, side, camera_rule, within=True).separation(bins)


def rice_bins(n: int) -> int:
    """Bins of a histogram of n numbers. Source: Rice's rule."""
    return int(np.clip(2 * n ** (1 / 3), FEWEST_BINS, MOST_BINS))


class PairBands:
    """The counted pairs, by bands of queries: the (q g) matrix is never held, so each pass computes distances anew."""

    def __init__(self, query: Embeddings, gallery: Embeddings, camera_rule: CameraRule, *, within: bool) -> None:
        check_sides(query, gallery)
        self.query, self.gallery, self.within = query, gallery, within
        self.table = SamePersonTable(gallery.pids, gallery.camids, camera_rule)
        self.sim = Similarity(query.vectors, gallery.vectors)
        self.shape = len(query), len(gallery)

    def separation(self, bins: int | None) -> Separation:
        """Exact: the first pass collects same-person pairs, the second compares every other pair with all of them."""
        found = map_bands(self.same_and_ends, *self.shape)
        same = np.sort(np.concatenate([of_one for of_one, _, _ in found]))
        low, high = min(low for _, low, _ in found), max(high for _, _, high in found)
        if low > high:  # no pair at all
            low, high = -1.0, 1.0
        edges = np.linspace(low, max(high, low + LEAST_RANGE), (bins or rice_bins(len(same))) + 1)
        counted = map_bands(partial(self.against, same, edges), *self.shape)
        others = np.sum([histogram for histogram, _ in counted], axis=0)
        below = sum(n for _, n in counted)
        n_pairs = len(same) * int(others.sum())
        auc = below / (2 * n_pairs) if n_pairs else None
        return Separation(np.clip(1 + edges, 0, 2), np.histogram(same, edges)[0], others, auc)

    def same_and_ends(self, rows: slice) -> tuple[Floats, float, float]:
        """The band's same-person distances, and the smallest and largest of all its distances."""
        same, others = self.negated(rows)
        both = np.concatenate([same, others])
        return same, float(both.min(initial=np.inf)), float(both.max(initial=-np.inf))

    def against(self, same: Floats, edges: npt.NDArray[np.float64], rows: slice) -> tuple[Ints, int]:
        """The histogram of the band's other pairs, and twice the number of same-person pairs nearer than each."""
        _, others = self.negated(rows)
        below = sum(int(np.searchsorted(same, others, side).sum()) for side in ("left", "right"))
        return np.histogram(others, edges)[0], below

    def negated(self, rows: slice) -> tuple[Floats, Floats]:
        """Negated cosines of the band's same-person pairs, and of the others; adding 1 would round small distances."""
        negated, same, others = self.masks(rows)
        return negated[same], negated[others]

    def masks(self, rows: slice) -> tuple[Floats, Mask, Mask]:
        """Negated cosines of the band (rows g), and where same-person pairs and other pairs stand."""
        pids, negated = self.query.pids[rows], self.sim.negated(rows)
        take_away(negated, self.table.of(pids, self.query.camids[rows]))
        kept = np.isfinite(negated) & (pids != UNKNOWN_PID)[:, None]
        if self.within:
            kept &= np.arange(len(self.gallery)) > np.arange(len(self.query))[rows, None]
        same = pids[:, None] == self.gallery.pids
        return negated, kept & same, kept & ~same
