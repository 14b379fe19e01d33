"""k-reciprocal re-ranking against the literal definition, a case worked by hand, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import ReRanking, evaluate_embeddings, rerank, score, score_distances, similarity, sparse
from duskmatch.evaluation.neighbours import _largest, neighbours
from duskmatch.evaluation.similarity import Similarity, unit_vectors
from duskmatch.records import Embeddings
from tests.oracle import reranking as oracle


def side(vectors, modality="visible", pids=None):
    n = len(vectors)
    return Embeddings(np.asarray(vectors, np.float32), np.arange(n) if pids is None else pids, np.zeros(n), modality)


def people(seed, n_query, n_gallery, d=12, n_people=5, noise=0.6):
    """Two sides of vectors about a few centres."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_people, d))
    pids = rng.integers(0, n_people, n_query + n_gallery)
    vectors = centres[pids] + noise * rng.standard_normal((len(pids), d))
    return side(vectors[:n_query], "infrared", pids[:n_query]), side(vectors[n_query:], "visible", pids[n_query:])


def units(query, gallery):
    vectors = np.concatenate([query.vectors, gallery.vectors]).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 14), st.integers(1, 18)),
    k1=st.integers(1, 25),
    k2=st.integers(1, 8),
    lambda_value=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_distances_equal_the_literal_definition(seed, sizes, k1, k2, lambda_value):
    query, gallery = people(seed, *sizes)
    k1 = min(k1, sum(sizes) - 1)
    k2 = min(k2, k1)
    expected = oracle.rerank(units(query, gallery).tolist(), len(query), k1, k2, lambda_value)
    got = rerank(query, gallery, k1=k1, k2=k2, lambda_value=lambda_value)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.5])
def test_the_papers_numbers_on_a_hundred_equal_the_definition(noise):
    query, gallery = people(3, 45, 60, d=24, n_people=8, noise=noise)
    expected = oracle.rerank(units(query, gallery).tolist(), 45, 20, 6, 0.3)
    np.testing.assert_allclose(rerank(query, gallery), expected, atol=1e-6)


def test_a_case_worked_by_hand():
    # Angles 0 (query), 10, 20 and 180 degrees, k1 = 1: each has itself and its nearest.
    # N: 0 {0, 10}, 10 {10, 0} (the smaller row of two nearly equal ones would be 0 or 20: made unequal), 20 {20, 10}.
    angles = np.radians([0, 10, 21, 180])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query, gallery = side(points[:1], "infrared"), side(points[1:])
    # R(0) = {0, 10} both ways; R(20) = {20}, since 10 prefers 0; R(180) = {180}, since 21 prefers 10.
    # R(q, k1 / 2) with k1 / 2 rounded to 0 is {q}: nothing joins. Weights exp(-d / 4) for 0, whose farthest is at 4,
    # and exp(-d / d(10, 180)) for 10.
    d = 2 - 2 * np.cos(np.radians(10))
    farthest = 2 - 2 * np.cos(np.radians(170))
    v0, v10 = 1 / (1 + math.exp(-d / 4)), 1 / (1 + math.exp(-d / farthest))
    smaller = min(v0, 1 - v10) + min(1 - v0, v10)  # columns 0 and 10
    expected = [1 - smaller / (2 - smaller), 1.0, 1.0]
    got = rerank(query, gallery, k1=1, k2=1, lambda_value=0.0)
    np.testing.assert_allclose(got, [expected], atol=1e-6)
    mixed = rerank(query, gallery, k1=1, k2=1, lambda_value=0.5)
    original = [d / 4, (2 - 2 * np.cos(np.radians(21))) / 4, 1.0]
    np.testing.assert_allclose(mixed, [[(a + b) / 2 for a, b in zip(expected, original, strict=True)]], atol=1e-6)


def test_lambda_one_is_the_original_order():
    query, gallery = people(1, 30, 40)
    got = rerank(query, gallery, lambda_value=1.0)
    cosine = query.vectors @ gallery.vectors.T
    cosine /= np.linalg.norm(query.vectors, axis=1)[:, None] * np.linalg.norm(gallery.vectors, axis=1)
    np.testing.assert_array_equal(np.argsort(got, axis=1), np.argsort(-cosine, axis=1))


def smallest_gap(query, gallery, k):
    """Between the similarities of two of the k nearest of any vector: a rounding apart, either may be the nearer."""
    vectors = units(query, gallery)
    nearest = -np.sort(-(vectors @ vectors.T), axis=1)[:, : k + 2]
    return -np.diff(nearest, axis=1).max()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_either_side_and_the_lengths_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    query, gallery = people(seed, 30, 50, d=20)
    assume(smallest_gap(query, gallery, k=8) > 1e-6)
    at_query, at_gallery = rng.permutation(30), rng.permutation(50)
    lengths = np.exp2(rng.integers(-9, 9, (50, 1))).astype(np.float32)
    shuffled = rerank(query.take(at_query), side((lengths * gallery.vectors)[at_gallery]), k1=8, k2=3)
    np.testing.assert_allclose(shuffled, rerank(query, gallery, k1=8, k2=3)[at_query][:, at_gallery], atol=1e-6)


def test_bands_do_not_change_a_digit(monkeypatch):
    query, gallery = people(5, 300, 290, n_people=40)
    whole = rerank(query, gallery)
    for module in (similarity, sparse):
        monkeypatch.setattr(module, "BAND_ENTRIES", 1)
    np.testing.assert_array_equal(rerank(query, gallery), whole)


def test_identical_vectors_are_taken_by_row_as_in_the_definition():
    axes = np.eye(4)[[0, 0, 0, 0, 1, 1, 2, 3, 0, 0, 1, 2, 2, 0]]  # similarities are 0 or 1: ties everywhere
    query, gallery = side(axes[:5], "infrared"), side(axes[5:])
    for k1, k2 in ((1, 1), (3, 2), (4, 3), (13, 6)):
        expected = oracle.rerank(axes.tolist(), 5, k1, k2, 0.3)
        np.testing.assert_allclose(rerank(query, gallery, k1=k1, k2=k2), expected, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 300), st.integers(1, 4000))
def test_the_largest_of_a_row_are_those_of_a_stable_sort(seed, n, k, n_values):
    rng = np.random.default_rng(seed)
    band = (rng.integers(-n_values, n_values + 1, (3, n)) / 7).astype(np.float32)  # few values: ties, -0 and 0
    band[0, rng.integers(0, n)] = np.inf
    band[1] *= -1
    k = min(k, n)
    np.testing.assert_array_equal(_largest(band, k), np.argsort(-band, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize(("n_query", "n_gallery"), [(513, 600), (600, 513), (511, 1025)])
def test_copies_of_a_vector_are_taken_by_row_whatever_tile_they_are_in(n_query, n_gallery):
    rng = np.random.default_rng(n_query)
    n, k = n_query + n_gallery, 12
    vectors = rng.standard_normal((n, 32)).astype(np.float32)
    copies = np.array([0, 1, n_query - 1, n_query, n - 1])  # first and last tile of either side
    vectors[copies] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near, kept = neighbours(vectors, k, n_query)
    sim = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.testing.assert_allclose(kept, sim[:n_query, n_query:], atol=1e-6)
    np.testing.assert_allclose(near.farthest, sim.min(axis=1), atol=1e-6)
    np.testing.assert_allclose(near.sim, -np.sort(-sim, axis=1)[:, : k + 1], atol=1e-6)
    for p, row in enumerate(near.columns):
        assert row[0] == p
        found = [column for column in row[1:] if column in copies]
        assert found == sorted(found)
        assert p not in copies or len(found) == len(copies) - 1


def test_vectors_that_are_all_the_same_are_equally_near():
    got = rerank(side(np.ones((3, 7)), "infrared"), side(np.full((40, 7), 0.3)), k1=42)
    np.testing.assert_allclose(got, 0, atol=1e-6)


@pytest.mark.parametrize(("n_query", "n_gallery"), [(1, 1), (1, 30), (30, 1)])
def test_one_element_sides(n_query, n_gallery):
    query, gallery = people(2, n_query, n_gallery)
    k1 = min(5, n_query + n_gallery - 1)
    expected = oracle.rerank(units(query, gallery).tolist(), n_query, k1, 1, 0.3)
    np.testing.assert_allclose(rerank(query, gallery, k1=k1, k2=1), expected, atol=1e-6)


def test_some_hundreds_equal_the_definition_on_the_same_similarities():
    """Near ties are decided by fp32 products, so the definition is given the same ones."""
    query, gallery = people(9, 140, 160, d=32, n_people=30, noise=1.0)
    vectors = np.concatenate([unit_vectors(query, "query"), unit_vectors(gallery, "gallery")])
    sim = Similarity(vectors, vectors)(slice(0, len(vectors))).astype(np.float64)
    np.fill_diagonal(sim, 1)
    expected = oracle.rerank_distances(np.maximum(2 - 2 * sim, 0).tolist(), 140, 20, 6, 0.3)
    np.testing.assert_allclose(rerank(query, gallery), expected, atol=1e-6)


def test_it_brings_people_together_who_share_neighbours():
    query, gallery = people(11, 120, 150, d=24, n_people=12, noise=1.6)
    plain = score(query, gallery, camera_rule="none")
    labels = query.pids, query.camids, gallery.pids, gallery.camids
    again = score_distances(rerank(query, gallery, k1=10, k2=4), *labels, camera_rule="none")
    assert again.mean_average_precision > plain.mean_average_precision + 0.05
    both = evaluate_embeddings(query, gallery, camera_rule="none", re_ranking=ReRanking(10, 4))
    assert both.scores["infrared_to_visible"].mean_average_precision == again.mean_average_precision
    assert (both.rankings["infrared_to_visible"].matches[:, 0].mean()) == again.rank1


EMPTY = side(np.zeros((0, 3)))
ONE = side(np.ones((1, 3)))


@pytest.mark.parametrize(
    ("sides", "numbers", "message"),
    [
        ((EMPTY, ONE), {}, "the query must hold at least one embedding; it is empty; choose other tracklets"),
        ((ONE, EMPTY), {}, "the gallery must hold at least one embedding; it is empty; choose other tracklets"),
        (
            (ONE, side(np.ones((1, 4)))),
            {},
            "query and gallery vectors must be of one width; got 3 and 4; embed both with the same model",
        ),
        (
            (ONE, side([[0, 0, 0]])),
            {"k1": 1, "k2": 1},
            "gallery vectors must not be zero, a zero vector has no direction; 1 of 1 are, the first in row 0; "
            "leave them out or embed them again",
        ),
        (
            (ONE, ONE),
            {},
            "re-ranking: k1 must be below the number of vectors, queries and gallery together (2); got 20; "
            "choose a smaller k1 and report it with the score",
        ),
        ((ONE, ONE), {"k1": 0}, "re-ranking: k1 must be at least 1; got 0; the paper has 20"),
        (
            (ONE, ONE),
            {"k1": 5},
            "re-ranking: k2 must be from 1 to k1 (5); got 6; the paper has 6, 1 is no expansion",
        ),
        (
            (ONE, ONE),
            {"lambda_value": 1.5},
            "re-ranking: lambda must be from 0 (Jaccard alone) to 1 (no re-ranking); got 1.5",
        ),
        (
            (ONE, ONE),
            {"lambda_value": math.nan},
            "re-ranking: lambda must be from 0 (Jaccard alone) to 1 (no re-ranking); got nan",
        ),
    ],
)
def test_refusals_say_what_to_do(sides, numbers, message):
    with pytest.raises(EvaluationError) as caught:
        rerank(*sides, **numbers)
    assert str(caught.value) == message
