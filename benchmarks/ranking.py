"""Scoring and re-ranking at the sizes of HITSZ-VCM: python -m benchmarks.harness ranking.

Alternatives are the literal forms that are run in this field, written here anew: one query at a time with a full sort
and a list of precisions, and k-reciprocal re-ranking on dense matrices.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.harness import Goal, Numbers, Work, meter

N_PEOPLE, N_CAMERAS = 427, 12  # test people and cameras of HITSZ-VCM
SAMPLE = 200  # queries the literal evaluator answers; its seconds a query do not depend on how many there are
RULE = "same-pid-same-camera"
Floats = npt.NDArray[np.float32]


def people(n_query: int, n_gallery: int, width: int, noise: float) -> Any:
    """(query, gallery): vectors about a point for each person, shifted by their cameras."""
    from duskmatch.records import Embeddings

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_PEOPLE, width), dtype=np.float32)
    shifts = 0.5 * rng.standard_normal((2 * N_CAMERAS, width), dtype=np.float32)
    sides = []
    for n, modality, first in ((n_query, "infrared", 0), (n_gallery, "visible", N_CAMERAS)):
        pids, camids = rng.integers(0, N_PEOPLE, n), rng.integers(0, N_CAMERAS, n)
        vectors = noise * rng.standard_normal((n, width), dtype=np.float32)
        for start in range(0, n, 4096):
            some = slice(start, start + 4096)
            vectors[some] += centres[pids[some]] + shifts[first + camids[some]]
        sides.append(Embeddings(vectors, pids, camids, modality))
    return sides[0], sides[1]


def matrix(n_query: int, n_gallery: int) -> tuple[Floats, Any]:
    query, gallery = people(n_query, n_gallery, 256, 2.0)
    unit = [side.vectors / np.linalg.norm(side.vectors, axis=1, keepdims=True) for side in (query, gallery)]
    return -unit[0] @ unit[1].T, (query.pids, query.camids, gallery.pids, gallery.camids)


def score_matrix(n_query: int, n_gallery: int, *, compiled: bool) -> Numbers:
    os.environ["DUSKMATCH_COMPILED"] = "on" if compiled else "off"
    from duskmatch.evaluation import compiled as machine_code
    from duskmatch.evaluation import score_distances

    dist, labels = matrix(n_query, n_gallery)
    if compiled and not machine_code.kernel(dist.dtype, dist.size):
        raise SystemExit("numba must be installed to measure compiled scoring: pip install 'duskmatch[speed]'")
    score_distances(dist[:SAMPLE], *(x[:SAMPLE] for x in labels[:2]), *labels[2:], camera_rule=RULE)
    with meter(n_query) as numbers:
        scores = score_distances(dist, *labels, camera_rule=RULE)
    numbers |= figures(scores.first_hit, scores.average_precision, scores.inp, scores.scored)
    return numbers | {"rank1": round(scores.rank1, 4), "mAP": round(scores.mean_average_precision, 4)}


def score_literally(n_query: int, n_gallery: int) -> Numbers:
    dist, labels = matrix(n_query, n_gallery)
    with meter(SAMPLE) as numbers:
        found = literal(dist[:SAMPLE], *labels)
    return numbers | figures(*found)


def literal(
    dist: Floats,
    query_pids: npt.NDArray[Any],
    query_camids: npt.NDArray[Any],
    gallery_pids: npt.NDArray[Any],
    gallery_camids: npt.NDArray[Any],
) -> list[npt.NDArray[Any]]:
    """(first hit, average precision, INP, row) of the queries with a match: sort, remove, walk down."""
    rows = []
    for q in range(len(dist)):
        order = np.argsort(dist[q], kind="stable")
        same = gallery_pids[order] == query_pids[q]
        matches = same[~(same & (gallery_camids[order] == query_camids[q]))].astype(np.int32)
        if not matches.any():
            continue
        hits = matches.cumsum()
        precision = np.asarray([n / (place + 1.0) for place, n in enumerate(hits)])
        last = np.flatnonzero(matches)[-1]
        rows.append((np.argmax(matches) + 1, (precision * matches).sum() / matches.sum(), hits[-1] / (last + 1), q))
    return [np.array(column) for column in zip(*rows, strict=True)]


def figures(
    first_hit: npt.NDArray[Any], average_precision: npt.NDArray[Any], inp: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> Numbers:
    """The sample's figures, which both must agree in."""
    among = rows < SAMPLE
    means = {"rank1": (first_hit == 1)[among], "map": average_precision[among], "minp": inp[among]}
    return {f"sample_{name}": round(float(values.mean()), 9) for name, values in means.items()}


FEATURES = 5159, 56430, 2048


def features_to_metrics() -> Numbers:
    from duskmatch.evaluation import score

    query, gallery = people(*FEATURES, noise=4.0)
    score(query.take(np.arange(SAMPLE)), gallery.take(np.arange(30_000)))  # loads what is loaded once
    with meter(FEATURES[0]) as numbers:
        scores = score(query, gallery)
    return numbers | {"rank1": round(scores.rank1, 4), "mAP": round(scores.mean_average_precision, 4)}


def product_alone() -> Numbers:
    query, gallery = people(*FEATURES, noise=4.0)
    out = np.empty((512, FEATURES[1]), np.float32)
    np.matmul(query.vectors[:8], gallery.vectors[:512].T)
    with meter(FEATURES[0]) as numbers:
        for start in range(0, FEATURES[0], len(out)):
            some = query.vectors[start : start + len(out)]
            np.matmul(some, gallery.vectors.T, out=out[: len(some)])
    return numbers


def rerank_sparse(n_query: int, n_gallery: int, width: int) -> Numbers:
    from duskmatch.evaluation import rerank

    query, gallery = people(n_query, n_gallery, width, 2.5)
    rerank(query.take(np.arange(100)), gallery.take(np.arange(100)))
    with meter(n_query) as numbers:
        dist = rerank(query, gallery)
    return numbers | {"mean": mean_of_sample(dist)}


def rerank_dense(n_query: int, n_gallery: int, width: int) -> Numbers:
    query, gallery = people(n_query, n_gallery, width, 2.5)
    with meter(n_query) as numbers:
        dist = dense(query.vectors, gallery.vectors)
    return numbers | {"mean": mean_of_sample(dist)}


def mean_of_sample(dist: Floats) -> float:
    return round(float(dist[::7].mean(dtype=np.float64)), 5)


def dense(query: Floats, gallery: Floats, k1: int = 20, k2: int = 6, share: float = 0.3) -> Floats:
    """Dense distances, dense order, dense V, a loop over people and an inverted list for each column."""
    vectors = np.concatenate([query, gallery])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    original = np.maximum(2 - 2 * vectors @ vectors.T, 0)
    original /= original.max(axis=1, keepdims=True)
    np.fill_diagonal(original, -1)
    order = np.argsort(original, axis=1)
    np.fill_diagonal(original, 0)
    V = np.zeros_like(original)
    half = round(k1 / 2)
    for p in range(len(V)):
        members = base = reciprocal(order, p, k1)
        for candidate in base:
            theirs = reciprocal(order, candidate, half)
            if len(np.intersect1d(theirs, base)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weights = np.exp(-original[p, members])
        V[p, members] = weights / weights.sum()
    V = np.stack([V[order[p, :k2]].mean(axis=0) for p in range(len(V))])
    holders = [np.flatnonzero(column) for column in V.T]
    jaccard = np.empty((len(query), len(V)), np.float32)
    for p in range(len(query)):
        smaller = np.zeros(len(V), np.float32)
        for column in np.flatnonzero(V[p]):
            who = holders[column]
            smaller[who] += np.minimum(V[p, column], V[who, column])
        jaccard[p] = 1 - smaller / (2 - smaller)
    return ((1 - share) * jaccard + share * original[: len(query)])[:, len(query) :]


def reciprocal(order: npt.NDArray[Any], p: int, k: int) -> npt.NDArray[Any]:
    theirs = order[p, : k + 1]
    return theirs[(order[theirs, : k + 1] == p).any(axis=1)]


def scoring(name: str, sizes: tuple[int, int], *, compiled: bool) -> Work:
    what = f"CMC, mAP, mINP of a {sizes[0]:,} x {sizes[1]:,} matrix"
    ratio = 400 if compiled else 100
    return Work(
        name=f"scoring_{name}_compiled" if compiled else f"scoring_{name}",
        what=what + (", extra `speed`" if compiled else ""),
        unit="queries",
        ours=lambda: score_matrix(*sizes, compiled=compiled),
        alternative=lambda: score_literally(*sizes),
        ours_is="duskmatch, numba" if compiled else "duskmatch",
        alternative_is="a sort and a list of precisions for each query",
        goal=Goal(f"{ratio} times the literal evaluator", ratio=ratio),
        rounds=3,
        cost=("GB copied", 4 * sizes[1] / 1e9),  # a row of distances read once
        same=("sample_rank1", "sample_map", "sample_minp"),
    )


def everyone(n_query: int, n_gallery: int, width: int) -> float:
    """GFLOP for each query of all products of two vectors, those of query and gallery once."""
    pairs = n_query**2 + n_gallery**2 + n_query * n_gallery
    return 2 * pairs * width / n_query / 1e9


def reranking(name: str, sizes: tuple[int, int, int], goal: Goal, rounds: int) -> Work:
    return Work(
        name=f"reranking_{name}",
        what=f"k-reciprocal re-ranking, {sizes[0]:,} x {sizes[1]:,} x {sizes[2]:,}",
        unit="queries",
        ours=lambda: rerank_sparse(*sizes),
        alternative=lambda: rerank_dense(*sizes),
        ours_is="duskmatch",
        alternative_is="dense matrices, a loop over people",
        goal=goal,
        cost=("fp32 GFLOP", everyone(*sizes)),
        rounds=rounds,
        same=("mean",),
    )


VCM, PROTOCOL = (5159, 5643), (4584, 5099)
WORKS = [
    *(
        scoring(name, sizes, compiled=c)
        for name, sizes in (("vcm", VCM), ("protocol", PROTOCOL))
        for c in (False, True)
    ),
    Work(
        name="features_to_metrics",
        what=f"features to metrics, {FEATURES[0]:,} x {FEATURES[1]:,} x {FEATURES[2]:,}",
        unit="queries",
        ours=features_to_metrics,
        alternative=product_alone,
        ours_is="duskmatch",
        alternative_is="the fp32 product alone",
        goal=Goal("at most 1.6 times the product, 0.3 GB", ratio=1 / 1.6, peak_mib=286),
        rounds=2,
        cost=("fp32 GFLOP", 2 * FEATURES[1] * FEATURES[2] / 1e9),
    ),
    reranking("2000", (2000, 2000, 512), Goal("8 times the dense form", ratio=8), 3),
    reranking("vcm", (4584, 5099, 2048), Goal("1 GB above the inputs", peak_mib=953), 1),
]
