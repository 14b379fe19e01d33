"""Distances of pairs: who is counted, and an area under the ROC held to its definition."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import separation, separation_within
from duskmatch.evaluation.similarity import Similarity
from duskmatch.records import Embeddings
from tests.oracle.separation import auc


def made(n, seed, modality="infrared", pids=6, noise=1.0):
    """Vectors about one of a few points, some of them exactly alike, some of nobody known."""
    rng = np.random.default_rng(seed)
    who, cameras = rng.integers(-1, pids, n), rng.integers(0, 3, n)
    vectors = np.random.default_rng(9).standard_normal((pids + 1, 5))[who] + noise * rng.standard_normal((n, 5))
    vectors[n // 2] = vectors[0]
    return Embeddings(vectors, who, cameras, modality)


@pytest.mark.parametrize("rule", ["none", "same-pid-same-camera"])
def test_across_equals_the_literal_count(rule):
    query, gallery = made(140, 0), made(33, 1, "visible")  # more queries than one tile
    found = separation(query, gallery, camera_rule=rule)
    cosine = Similarity(query.vectors, gallery.vectors)(slice(0, 140))
    share, n_same, n_others = auc(cosine, query.pids, query.camids, gallery.pids, gallery.camids, rule, within=False)
    assert found.auc == pytest.approx(share, abs=1e-12) and 0.5 < found.auc < 1
    assert (found.n_same, found.n_others) == (n_same, n_others)


@pytest.mark.parametrize("rule", ["none", "same-pid-same-camera"])
def test_within_counts_each_pair_once_and_never_an_entry_with_itself(rule):
    side = made(60, 2)
    found = separation_within(side, camera_rule=rule)
    cosine = Similarity(side.vectors, side.vectors)(slice(0, 60))
    share, n_same, n_others = auc(cosine, side.pids, side.camids, side.pids, side.camids, rule, within=True)
    assert found.auc == pytest.approx(share, abs=1e-12)
    assert (found.n_same, found.n_others) == (n_same, n_others)
    if rule == "none":
        known = (side.pids >= 0).sum()
        assert n_same + n_others == known * (known - 1) / 2


def test_it_is_scikit_learns_area():
    metrics = pytest.importorskip("sklearn.metrics")
    query, gallery = made(50, 3), made(40, 4, "visible")
    cosine = Similarity(query.vectors, gallery.vectors)(slice(0, 50))
    there = (query.pids[:, None] >= 0) & (gallery.pids >= 0)
    truth = (query.pids[:, None] == gallery.pids)[there]
    expected = metrics.roc_auc_score(truth, cosine[there])
    assert separation(query, gallery, camera_rule="none").auc == pytest.approx(expected, abs=1e-9)


def test_one_case_worked_by_hand():
    """Person 1 at 0 and 60 degrees, person 2 at 0: cosines of one person 0.5; of two 1 and 0.5. Half a win of two."""
    side = Embeddings([[1, 0], [0.5, np.sqrt(0.75)], [1, 0]], [1, 1, 2], [1, 2, 3], "visible")
    found = separation_within(side, camera_rule="same-pid-same-camera", bins=2)
    assert found.auc == 0.25
    assert found.edges == pytest.approx([0, 0.25, 0.5], abs=1e-7)
    assert found.same.tolist() == [0, 1] and found.others.tolist() == [1, 1]


def test_perfect_and_reversed_and_blind():
    pids, camids = [1, 1, 2, 2], [1, 2, 1, 2]
    for vectors, expected in ((np.eye(4)[[0, 0, 1, 1]], 1.0), (np.eye(4)[[0, 1, 0, 1]], 0.25), (np.ones((4, 2)), 0.5)):
        side = Embeddings(vectors, pids, camids, "visible")
        assert separation_within(side, camera_rule="none").auc == expected


def test_the_rows_order_and_the_vectors_lengths_change_nothing():
    side = made(80, 5)
    order = np.random.default_rng(0).permutation(80)
    longer = Embeddings(side.vectors[order] * 8, side.pids[order], side.camids[order], "infrared")
    a, b = (separation_within(x, camera_rule="none") for x in (side, longer))
    assert a.auc == pytest.approx(b.auc, abs=1e-4) and (a.n_same, a.n_others) == (b.n_same, b.n_others)


def test_where_nobody_is_seen_twice_there_is_no_area():
    side = Embeddings(np.eye(3), [1, 2, 3], [1, 1, 1], "visible")
    found = separation_within(side, camera_rule="none")
    assert found.auc is None and found.n_same == 0 and found.n_others == 3
    alone = separation_within(side.take([0]), camera_rule="none")
    assert alone.auc is None and alone.n_others == 0 and np.isfinite(alone.edges).all()


def test_refusals():
    side = made(4, 6)
    with pytest.raises(
        EvaluationError, match=r"^camera rule must be one of none, .*, camera-3-skips-camera-2; got 'market'$"
    ):
        separation_within(side, camera_rule="market")
    with pytest.raises(EvaluationError, match="gallery must hold at least one embedding; it is empty"):
        separation(side, side.take(np.zeros(0, np.int64)), camera_rule="none")
    with pytest.raises(EvaluationError, match="must be of one width; got 5 and 3"):
        separation(side, Embeddings(np.eye(3), [1, 2, 3], [1, 1, 1], "visible"), camera_rule="none")
