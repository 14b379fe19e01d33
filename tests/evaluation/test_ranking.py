"""The ranking against a sorted list, with ties, removed entries and unknown people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import rank, rank_distances
from duskmatch.evaluation.ordering import nearest_columns, stable_order
from duskmatch.records import Embeddings

EMPTY = Embeddings(np.zeros((0, 2)), [], [], "visible")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from(["none", "same-pid-same-camera"]))
def test_the_ranking_is_the_sorted_row_without_what_the_rule_removes(seed, k, rule):
    rng = np.random.default_rng(seed)
    axes = np.vstack([np.eye(4), -np.eye(4)])  # similarities -1, 0 and 1: ties everywhere
    query = Embeddings(axes[rng.integers(0, 8, 6)], rng.integers(-1, 3, 6), rng.integers(0, 2, 6), "infrared")
    gallery = Embeddings(axes[rng.integers(0, 8, 20)], rng.integers(-1, 3, 20), rng.integers(0, 2, 20), "visible")
    got = rank(query, gallery, camera_rule=rule, k=k)
    assert got.indices.shape == got.dist.shape == got.matches.shape == (6, k)
    dist = 1 - query.vectors @ gallery.vectors.T
    for q in range(6):
        kept = [
            g
            for g in range(20)
            if rule == "none"
            or query.pids[q] == -1
            or (query.pids[q], query.camids[q]) != (gallery.pids[g], gallery.camids[g])
        ]
        expected = sorted(kept, key=lambda g, q=q: (dist[q, g], g))[:k]
        padding = [-1] * (k - len(expected))
        assert got.indices[q].tolist() == expected + padding
        np.testing.assert_allclose(got.dist[q, : len(expected)], dist[q, expected], atol=1e-6)
        assert np.isinf(got.dist[q, len(expected) :]).all()
        known = query.pids[q] != -1
        assert got.matches[q].tolist() == [bool(known and gallery.pids[g] == query.pids[q]) for g in expected] + [
            False
        ] * len(padding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_order_of_signs_zeros_and_infinities(dtype):
    dist = np.array([[0.0, -0.0, -1.5, np.inf, 2.0, -np.inf, -1.5, 1e-45]], dtype)
    assert stable_order(dist).tolist() == [[5, 2, 6, 0, 1, 7, 4, 3]]
    assert nearest_columns(dist, 4).tolist() == [[5, 2, 6, 0]]


def test_distances_of_real_vectors_rise_along_a_row():
    rng = np.random.default_rng(0)
    query = Embeddings(rng.standard_normal((300, 12)), np.arange(300), np.zeros(300), "infrared")
    gallery = Embeddings(rng.standard_normal((500, 12)), np.arange(500), np.zeros(500), "visible")
    got = rank(query, gallery, camera_rule="none", k=500)
    assert (np.diff(got.dist, axis=1) >= 0).all()
    assert (np.sort(got.indices, axis=1) == np.arange(500)).all()


def test_ranking_by_given_distances_is_the_sorted_row():
    rng = np.random.default_rng(4)
    query = Embeddings(np.ones((5, 2)), rng.integers(0, 3, 5), rng.integers(0, 2, 5), "infrared")
    gallery = Embeddings(np.ones((30, 2)), rng.integers(0, 3, 30), rng.integers(0, 2, 30), "visible")
    dist = rng.integers(0, 4, (5, 30)).astype(np.float32)
    got = rank_distances(dist, query, gallery, camera_rule="none", k=40)
    expected = np.argsort(dist, axis=1, kind="stable")
    np.testing.assert_array_equal(got.indices[:, :30], expected)
    np.testing.assert_array_equal(got.dist[:, :30], np.sort(dist, axis=1))
    np.testing.assert_array_equal(got.matches[:, :30], gallery.pids[expected] == query.pids[:, None])
    assert (got.indices[:, 30:] == -1).all() and not got.matches[:, 30:].any()
    with pytest.raises(EvaluationError) as caught:
        rank_distances(dist[:, :29], query, gallery, camera_rule="none")
    assert str(caught.value) == "distances must be (queries, gallery entries); got (5, 29) for 5 and 30"


@pytest.mark.parametrize(
    ("query", "gallery", "k", "message"),
    [
        (EMPTY, EMPTY, 1, "the query must hold at least one embedding; it is empty; choose other tracklets"),
        (EMPTY, EMPTY, 0, "k must be at least 1; got 0"),
    ],
)
def test_refusals(query, gallery, k, message):
    with pytest.raises(EvaluationError) as caught:
        rank(query, gallery, camera_rule="none", k=k)
    assert str(caught.value) == message
