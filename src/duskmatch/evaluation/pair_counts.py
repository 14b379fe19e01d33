"""How many pairs of one person, and of two people, have each similarity: counted while the queries are scored.

`score` computes the similarities of a band of queries; `PairCounter` counts them before they are dropped. So the
figures of `verification` and `held_out` cost no second pass, and the (q g) matrix is never held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.calibration import one_over_count
from duskmatch.evaluation.levels import LARGEST, LEAST, N_LEVELS, levels
from duskmatch.evaluation.matches import UNKNOWN_PID, SamePerson, SamePersonTable
from duskmatch.evaluation.metrics import take_away
from duskmatch.evaluation.similarity import BAND_ENTRIES, TILE_ROWS, Similarity
from duskmatch.records import CameraRule, Embeddings, Ints

FOLDS = 5  # parts of the people, one measured by a calibration fitted on the others
FEWEST_BINS, MOST_BINS = 32, 256
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Counts by level of similarity (`levels`), and by bins of levels for each person.

    same, others (levels): pairs of one person, of two people; same_people, others_people (people bins): the pairs in
    which a person takes part, those of two people counted for both; others_folds (folds folds bins): the weight of
    pairs of two people by the folds of both, each two people alike. Bin 0, like level 0, holds what is left out.
    """

    same: Ints
    others: Ints
    same_people: Ints
    others_people: Ints
    others_folds: Doubles

    def __add__(self, more: PairCounts) -> PairCounts:
        return PairCounts(*(getattr(self, f.name) + getattr(more, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of each query of a known person the level of its nearest match (0: none) and of its nearest other person."""

    own: Ints
    other: Ints
    pids: Ints

    def __add__(self, more: Nearest) -> Nearest:
        return Nearest(*(np.concatenate([getattr(self, f.name), getattr(more, f.name)]) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Observed:
    """The pairs and nearest entries of some queries; counts are None if they were not asked for."""

    counts: PairCounts | None
    nearest: Nearest

    def __add__(self, more: Observed) -> Observed:
        both = None if self.counts is None or more.counts is None else self.counts + more.counts
        return Observed(both, self.nearest + more.nearest)


@dataclass(frozen=True, slots=True)
class People:
    """The known people of both sides, in all trials of a pair: pids ascending, the fold of each, each bin's levels.

    bin_of (levels): the bin of each level; n_query, n_gallery: how many known people are on either side.
    """

    pids: Ints
    fold: Ints
    bin_of: Ints
    n_query: int
    n_gallery: int

    @property
    def n_independent(self) -> int:
        """The people on the side with fewer: so many pairs of two people share nobody."""
        return min(self.n_query, self.n_gallery) if len(self.pids) > 1 else 0

    @property
    def n_bins(self) -> int:
        return int(self.bin_of[-1]) + 1

    def row_of(self, pids: Ints) -> Ints:
        """The row of each pid; any row for an unknown person."""
        return np.minimum(np.searchsorted(self.pids, pids), len(self.pids) - 1)


def people_of(sides: Sequence[tuple[Embeddings, Embeddings]], camera_rule: CameraRule, seed: int = 0) -> People:
    """The people of query and gallery of each trial; bins are chosen by the similarities of a few queries."""
    known = [np.unique(np.concatenate([pair[i].pids for pair in sides])) for i in (0, 1)]
    query, gallery = (pids[pids != UNKNOWN_PID] for pids in known)
    pids = np.union1d(query, gallery)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(pids))
    n_bins = int(np.clip(BAND_ENTRIES // max(1, len(pids)), FEWEST_BINS, MOST_BINS))
    bin_of = _bins(*_sample(*sides[0], camera_rule), n_bins)
    return People(pids, order % FOLDS, bin_of, len(query), len(gallery))


def _sample(query: Embeddings, gallery: Embeddings, camera_rule: CameraRule) -> tuple[Ints, Ints]:
    """The levels of matching and of other pairs of a tile of queries from the middle."""
    first = len(query) // TILE_ROWS // 2 * TILE_ROWS
    rows = slice(first, min(first + TILE_ROWS, len(query)))
    same = SamePersonTable(gallery.pids, gallery.camids, camera_rule).of(query.pids[rows], query.camids[rows])
    dist = Similarity(query.vectors, gallery.vectors).negated(rows)
    take_away(dist, same)
    dist[query.pids[rows] == UNKNOWN_PID] = np.inf
    _, own = _take_matches(dist, same)
    same_levels, other_levels = levels(own), levels(dist)
    return same_levels[same_levels >= LEAST], other_levels[other_levels >= LEAST]


def _bins(same: Ints, others: Ints, n_bins: int) -> Ints:
    """(levels,) the bin of each level: fine where few pairs of two people remain, and among matching pairs."""
    n_tail, n_match, n_above = 5 * n_bins // 8, n_bins // 4, n_bins // 8 - 2
    cuts = [np.linspace(others.max(initial=LEAST), LARGEST, n_above)]
    if len(others):
        tail = np.unique(np.geomspace(1, len(others), n_tail).astype(np.int64))
        cuts.append(np.sort(others)[len(others) - tail])
    if len(same):
        cuts.append(np.quantile(same, np.linspace(0, 1, n_match), method="nearest"))
    starts = np.unique(np.concatenate(cuts).astype(np.int64))
    found = 1 + np.searchsorted(starts, np.arange(N_LEVELS), side="right")
    found[:LEAST] = 0
    return found


def _take_matches(dist: Numbers, same: SamePerson) -> tuple[Ints, Numbers]:
    """(rows, distances) of the matches, whose places in `dist` become infinite."""
    row, place = np.nonzero(same.matches)
    column = same.columns[row, place]
    own = dist[row, column]
    dist[row, column] = np.inf
    return row, own


class PairCounter:
    """Counts the pairs of bands of queries against one gallery."""

    def __init__(self, query: Embeddings, gallery: Embeddings, people: People | None) -> None:
        """`people` None: only each query's nearest entries are found."""
        self.people, self.query_pids = people, query.pids
        if people is not None:
            self.query, self.gallery = (people.row_of(side.pids) for side in (query, gallery))
            self.weights = tuple(one_over_count(side.pids) for side in (query, gallery))

    def __call__(self, rows: slice, dist: Numbers, same: SamePerson) -> Observed:
        """The counts of a band whose removed entries and junk are infinite; overwrites `dist`."""
        known = self.query_pids[rows] != UNKNOWN_PID
        dist[~known] = np.inf
        row, own = _take_matches(dist, same)
        nearest_own = np.full(len(dist), np.inf, dist.dtype)
        np.minimum.at(nearest_own, row, own)
        nearest = Nearest(levels(nearest_own)[known], levels(dist.min(axis=1))[known], self.query_pids[rows][known])
        counts = None if self.people is None else self._counts(self.people, rows, dist, row, own)
        return Observed(counts, nearest)

    def _counts(self, people: People, rows: slice, dist: Numbers, row: Ints, own: Numbers) -> PairCounts:
        n_bins, n_people = people.n_bins, len(people.pids)
        query, own_level, level = self.query[rows], levels(own), levels(dist)
        bins = people.bin_of[level]  # (rows g)
        by_query = np.bincount((bins + n_bins * query[:, None]).ravel(), minlength=n_people * n_bins)
        by_gallery = np.bincount((bins + n_bins * self.gallery).ravel(), minlength=n_people * n_bins)
        folds = FOLDS * people.fold[query][:, None] + people.fold[self.gallery]
        weights = self.weights[0][rows][:, None] * self.weights[1]
        by_fold = np.bincount((bins + n_bins * folds).ravel(), weights.ravel(), FOLDS**2 * n_bins)
        same = np.bincount(people.bin_of[own_level] + n_bins * query[row], minlength=n_people * n_bins)
        found = PairCounts(
            same=np.bincount(own_level, minlength=N_LEVELS),
            others=np.bincount(level.ravel(), minlength=N_LEVELS),
            same_people=same.reshape(n_people, n_bins),
            others_people=(by_query + by_gallery).reshape(n_people, n_bins),
            others_folds=by_fold.reshape(FOLDS, FOLDS, n_bins).astype(np.float64),
        )
        found.others[:LEAST] = 0
        found.others_people[:, 0] = 0
        found.others_folds[:, :, 0] = 0
        return found
