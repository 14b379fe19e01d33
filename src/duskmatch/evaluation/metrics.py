"""CMC, mAP and mINP of one direction, with no loop over queries.

| figure | of one query with n matches at ranks r_1 < ... < r_n | of a direction |
|---|---|---|
| CMC at k | 1 where r_1 <= k | mean over the scored queries |
| mAP | mean of i / r_i | mean |
| mINP | n / r_n | mean |

"entries": CMC counts every gallery entry; "identities": only the first entry of each person. mAP and mINP are computed
on the full list either way.

Only the ranks of the matches matter, so the entries nearer than each match are counted, and nothing is sorted.
Source: docs/evaluation.md, "The figures".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.counting import counts
from duskmatch.evaluation.identities import IdentityRanks
from duskmatch.evaluation.matches import UNKNOWN_PID, SamePerson, SamePersonTable
from duskmatch.evaluation.ordering import stable_order
from duskmatch.evaluation.similarity import Similarity, in_bands
from duskmatch.records import COUNTED, CameraRule, CmcCounting, Embeddings, Ints, Scores

CMC_LENGTH = 20
Numbers = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


@runtime_checkable
class Addable(Protocol):
    """What `+` joins."""

    def __add__(self, more: Any) -> Any: ...


A = TypeVar("A", bound=Addable)
Observer = Callable[[slice, Numbers, SamePerson], A]


def score(
    query: Embeddings,
    gallery: Embeddings,
    *,
    camera_rule: CameraRule = "same-pid-same-camera",
    cmc: CmcCounting = "entries",
) -> Scores:
    """CMC, mAP and mINP by the cosine of L2-normalised vectors, ranked in fp32, ties by gallery row.

    EvaluationError if sides cannot be compared or no query has a match. Source: docs/evaluation.md, "The protocol".
    """
    return _score(*_cosines(query, gallery), camera_rule, cmc)[0]


def score_and_observe(
    query: Embeddings, gallery: Embeddings, observe: Observer[A], *, camera_rule: CameraRule, cmc: CmcCounting
) -> tuple[Scores, A]:
    """The scores, and the sum of what `observe` finds in each band: the queries, their negated cosines, their matches.

    In a band removed entries and junk are infinite; `observe` may overwrite it. Bands are summed in order of queries.
    """
    scores, found = _score(*_cosines(query, gallery), camera_rule, cmc, observe)
    assert found is not None
    return scores, found


def _cosines(query: Embeddings, gallery: Embeddings) -> tuple[Callable[[slice], Numbers], _Labels]:
    check_sides(query, gallery)
    _check_known(query.pids)
    labels = _Labels(query.pids, query.camids, gallery.pids, gallery.camids)
    return Similarity(query.vectors, gallery.vectors).negated, labels


def score_distances(
    dist: Float[np.ndarray, "q g"],
    query_pids: Int64[np.ndarray, " q"],
    query_camids: Int64[np.ndarray, " q"],
    gallery_pids: Int64[np.ndarray, " g"],
    gallery_camids: Int64[np.ndarray, " g"],
    *,
    camera_rule: CameraRule,
    cmc: CmcCounting = "entries",
) -> Scores:
    """The same figures as `score`, from any finite distances (smaller is nearer), for example after re-ranking."""
    labels = _Labels(*(np.asarray(x, np.int64) for x in (query_pids, query_camids, gallery_pids, gallery_camids)))
    n_query, n_gallery = len(labels.query_pids), len(labels.gallery_pids)
    if dist.shape != (n_query, n_gallery) or (len(labels.query_camids), len(labels.gallery_camids)) != dist.shape:
        raise EvaluationError(
            f"distances must be (queries, gallery entries), with a pid and a camid for each; got {dist.shape} "
            f"and {', '.join(str(len(x)) for x in labels)} labels"
        )
    _check_filled(n_query, n_gallery)
    _check_known(labels.query_pids)
    return _score(lambda rows: _copy(dist, rows), labels, camera_rule, cmc)[0]


def check_sides(query: Embeddings, gallery: Embeddings) -> None:
    """Refuses sides that cannot be compared: one is empty, or their vectors differ in width."""
    _check_filled(len(query), len(gallery))
    if query.vectors.shape[1] != gallery.vectors.shape[1]:
        raise EvaluationError(
            f"query and gallery vectors must be of one width; got {query.vectors.shape[1]} and "
            f"{gallery.vectors.shape[1]}; embed both with the same model"
        )


class _Labels(NamedTuple):
    query_pids: Ints
    query_camids: Ints
    gallery_pids: Ints
    gallery_camids: Ints


@dataclass(frozen=True, slots=True)
class _BandScores:
    """The figures of one band of queries; undefined for queries without a match."""

    n_matches: Ints
    n_kept: Ints
    tied: Mask
    first_hit: Ints
    average_precision: npt.NDArray[np.float64]
    inp: npt.NDArray[np.float64]


def _score(
    distances: Callable[[slice], Numbers],
    labels: _Labels,
    camera_rule: CameraRule,
    cmc: CmcCounting,
    observe: Observer[A] | None = None,
) -> tuple[Scores, A | None]:
    if cmc not in COUNTED:
        raise EvaluationError(f"CMC must count {' or '.join(COUNTED)}; got {cmc!r}")
    query_pids, query_camids, gallery_pids, gallery_camids = labels
    identities = IdentityRanks(gallery_pids) if cmc == "identities" else None
    table = SamePersonTable(gallery_pids, gallery_camids, camera_rule)

    def of_band(rows: slice) -> tuple[_BandScores, A | None]:
        same = table.of(query_pids[rows], query_camids[rows])
        dist = distances(rows)
        found = _score_band(dist, same, whole=len(query_pids) * len(gallery_pids))
        if identities is not None:
            found = replace(found, first_hit=identities.first_hits(dist, query_pids[rows]))
        return found, observe and observe(rows, dist, same)

    parts: list[_BandScores] = []
    observed: A | None = None
    for of_one, seen in in_bands(of_band, len(query_pids), len(gallery_pids)):
        parts.append(of_one)
        observed = seen if observed is None or seen is None else observed + seen
    return _scores(_joined(parts), labels, camera_rule, len(table.junk)), observed


def _scores(found: _BandScores, labels: _Labels, camera_rule: CameraRule, n_junk: int) -> Scores:
    query_pids, _, gallery_pids, _ = labels
    scored = np.flatnonzero(found.n_matches)
    if not len(scored):
        raise EvaluationError(_no_match(query_pids, gallery_pids, camera_rule))
    first = found.first_hit[scored]
    return Scores(
        cmc=_cmc(first, max(CMC_LENGTH, len(gallery_pids))),
        mean_average_precision=float(found.average_precision[scored].mean()),
        mean_inp=float(found.inp[scored].mean()),
        n_queries=len(query_pids),
        n_gallery=len(gallery_pids),
        n_left_out=len(query_pids) - len(scored),
        n_junk=n_junk,
        n_ties=int(found.tied[scored].sum()),
        chance=float((found.n_matches[scored] / found.n_kept[scored]).mean()),
        camera_rule=camera_rule,
        scored=scored,
        left_out=np.flatnonzero(found.n_matches == 0),
        first_hit=first,
        average_precision=found.average_precision[scored],
        inp=found.inp[scored],
        query_pids=query_pids[scored],
    )


def _score_band(dist: Numbers, same: SamePerson, *, whole: int) -> _BandScores:
    """The figures of one band's queries, from the ranks of their matches; changes `dist` as `take_away` does."""
    take_away(dist, same)
    n_matches = same.matches.sum(axis=1)
    there, ranks, tied = match_ranks(dist, same, whole=whole)
    hits = 1 + np.arange(ranks.shape[1])
    last = np.take_along_axis(ranks, np.maximum(n_matches - 1, 0)[:, None], axis=1)[:, 0]
    return _BandScores(
        n_matches=n_matches,
        n_kept=dist.shape[1] - same.n_excluded(),
        tied=tied,
        first_hit=ranks[:, 0],
        average_precision=np.where(there, hits / ranks, 0.0).sum(axis=1) / np.maximum(n_matches, 1),
        inp=n_matches / last,
    )


def take_away(dist: Numbers, same: SamePerson, *, junk: bool = True) -> None:
    """Sets the distances of entries that the camera rule removes, and of junk, to infinity."""
    if junk:
        dist[:, same.junk] = np.inf
    row, place = np.nonzero(same.removed)
    dist[row, same.columns[row, place]] = np.inf
    if same.skipped is not None:
        dist[same.skipped] = np.inf


def match_ranks(dist: Numbers, same: SamePerson, *, whole: int) -> tuple[Mask, Ints, Mask]:
    """(filled, ranks, tied): which places (q m) hold a rank, the ranks (1: nearest), and the rows with ambiguous ties.

    Ranks rise along a row. `whole`: entries of the matrix of which `dist` is a band.
    """
    there = np.arange(same.matches.shape[1]) < same.matches.sum(axis=1)[:, None]
    own = np.sort(match_distances(dist, same), axis=1)
    nearer, up_to = counts(dist, own, there.sum(axis=1), whole=whole)
    own_nearer, own_up_to = _places(own)
    ranks = np.maximum(1 + nearer + np.arange(own.shape[1]) - own_nearer, 1)
    tied = (there & (up_to - nearer != own_up_to - own_nearer)).any(axis=1)
    if tied.any():
        ranks[tied] = _stable_ranks(dist[tied], same.columns[tied], same.matches[tied], there[tied])
    return there, ranks, tied


def match_distances(dist: Numbers, same: SamePerson) -> Numbers:
    """Distances (q m) of the matches in gallery order, padded with infinity."""
    return np.where(same.matches, np.take_along_axis(dist, same.columns, axis=1), np.inf)


def _places(rows: Numbers) -> tuple[Ints, Ints]:
    """For each entry of a sorted row the number of entries below it, and at or below it."""
    haystack = torch.from_numpy(rows)
    below, at = (torch.searchsorted(haystack, haystack, side=side).numpy() for side in ("left", "right"))
    return below, at


def _stable_ranks(dist: Numbers, columns: Ints, matches: Mask, there: Mask) -> Ints:
    """The ranks of the matches (q m), ties by gallery row."""
    is_match = np.zeros(dist.shape, bool)
    row, place = np.nonzero(matches)
    is_match[row, columns[row, place]] = True
    in_order = np.take_along_axis(is_match, stable_order(dist), axis=1)
    ranks = np.ones(there.shape, np.int64)
    ranks[there] = 1 + np.nonzero(in_order)[1]  # both run row by row, nearest first
    return ranks


def _cmc(first_hit: Ints, length: int) -> npt.NDArray[np.float64]:
    return np.cumsum(np.bincount(first_hit - 1, minlength=length)[:length]) / len(first_hit)


def _joined(parts: list[_BandScores]) -> _BandScores:
    return _BandScores(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _BandScores.__slots__})


def _copy(dist: Numbers, rows: slice) -> Numbers:
    """A copy of a band of distances, in fp64 if they are fp64, else in fp32; refused if one is not finite."""
    band: Numbers = np.array(dist[rows], np.float64 if dist.dtype == np.float64 else np.float32)
    if not np.isfinite(band).all():
        row = rows.start + int(np.flatnonzero(~np.isfinite(band).all(axis=1))[0])
        raise EvaluationError(f"distances must be finite; row {row} holds NaN or infinity; correct it or leave it out")
    return band


def _check_filled(n_query: int, n_gallery: int) -> None:
    for role, n in (("query", n_query), ("gallery", n_gallery)):
        if not n:
            raise EvaluationError(f"the {role} must hold at least one embedding; it is empty; choose other tracklets")


def _check_known(query_pids: Ints) -> None:
    if (query_pids == UNKNOWN_PID).all():
        raise EvaluationError(
            f"queries must have a known pid to be scored; all {len(query_pids)} have -1 (unknown); "
            "give them pids, or use `duskmatch rank`, which needs none"
        )


def _no_match(query_pids: Ints, gallery_pids: Ints, camera_rule: CameraRule) -> str:
    query_pids, gallery_pids = (pids[pids != UNKNOWN_PID] for pids in (query_pids, gallery_pids))
    shared = int(np.isin(query_pids, gallery_pids).sum())
    if not shared:
        return (
            f"no query has a match: none of the {len(np.unique(query_pids))} query pids is among the "
            f"{len(gallery_pids)} gallery entries; check that both sides show the same people under the same pids"
        )
    origin = "camera" if camera_rule == "same-pid-same-camera" else "place"
    return (
        f"no query has a match left: {shared} of {len(query_pids)} queries had some, and the camera rule {camera_rule} "
        f"removed them all, since each is from its query's {origin}; use --camera-rule none if you have only one camera"
    )
