"""CMC, mAP and mINP against the literal loop, scikit-learn, cases worked by hand, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import duskmatch
from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation import score, score_distances, similarity
from duskmatch.records import Embeddings
from tests.oracle import metrics as oracle

RULES = ["none", "same-pid-same-camera"]


def embeddings(vectors, pids, camids=None, modality="visible"):
    return Embeddings(vectors, pids, np.zeros(len(pids)) if camids is None else camids, modality)


def by_distance(dist, *labels, camera_rule):
    return score_distances(dist, *(np.asarray(x, np.int64) for x in labels), camera_rule=camera_rule)


@st.composite
def problems(draw):
    """A matrix with few distinct distances (so that ties abound), labels on both sides, at least one match."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_query, n_gallery = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    n_pids, n_cams = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    levels = draw(st.sampled_from([1, 2, 5, 1000, 10**6]))
    dist = (rng.integers(-levels, levels + 1, (n_query, n_gallery)) / levels).astype(np.float32)
    labels = [rng.integers(0, high, n) for n in (n_query, n_gallery) for high in (n_pids, n_cams)]
    return dist, *labels


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from(RULES))
def test_every_figure_equals_the_literal_loop_ties_included(problem, rule):
    expected = oracle.evaluate(*problem, rule)
    if not len(expected["first_hit"]):
        with pytest.raises(EvaluationError, match="no query has a match"):
            by_distance(*problem, camera_rule=rule)
        return
    got = by_distance(*problem, camera_rule=rule)
    np.testing.assert_array_equal(got.first_hit, expected["first_hit"])
    np.testing.assert_array_equal(got.left_out, expected["left_out"])
    np.testing.assert_allclose(got.cmc, expected["cmc"], atol=1e-12)
    for name in ("mean_average_precision", "mean_inp", "chance"):
        assert getattr(got, name) == pytest.approx(expected[name], abs=1e-12)
    assert got.n_ties == expected["n_ties"]
    assert (got.n_queries, got.n_gallery) == problem[0].shape
    assert got.n_left_out == len(expected["left_out"]) == got.n_queries - len(got.scored)
    np.testing.assert_array_equal(got.query_pids, problem[1][got.scored])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gallery_of_some_thousands_equals_the_loop(rule, dtype):
    rng = np.random.default_rng(5)
    dist = rng.random((60, 3000)).astype(np.float16).astype(dtype)  # ties in most rows
    labels = rng.integers(0, 50, 60), rng.integers(0, 6, 60), rng.integers(0, 50, 3000), rng.integers(0, 6, 3000)
    expected, got = oracle.evaluate(dist, *labels, rule), by_distance(dist, *labels, camera_rule=rule)
    np.testing.assert_allclose(got.cmc, expected["cmc"], atol=1e-12)
    assert got.mean_average_precision == pytest.approx(expected["mean_average_precision"], abs=1e-12)
    assert got.mean_inp == pytest.approx(expected["mean_inp"], abs=1e-12)
    assert got.n_ties == expected["n_ties"] > 30


def test_average_precision_equals_scikit_learns():
    rng = np.random.default_rng(1)
    dist = rng.permutation(30 * 200).reshape(30, 200) / 6000.0
    query_pids, gallery_pids = rng.integers(0, 9, 30), rng.integers(0, 9, 200)
    got = by_distance(dist, query_pids, np.zeros(30), gallery_pids, np.zeros(200), camera_rule="none")
    for row, pid, ap in zip(dist, query_pids, got.average_precision, strict=True):
        assert ap == pytest.approx(average_precision_score(gallery_pids == pid, -row), abs=1e-12)


def test_a_case_worked_by_hand():
    # Order by distance: x7 x9 7 9 7 for pid 7 in camera 1; the first (pid 7, camera 1) is removed by the rule.
    dist = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
    labels = [7], [1], [7, 9, 7, 9, 7], [1, 1, 2, 2, 3]
    by_rule = by_distance(dist, *labels, camera_rule="same-pid-same-camera")  # left: 9 7 9 7, hits at 2 and 4
    assert by_rule.first_hit.tolist() == [2]
    assert by_rule.cmc[:3].tolist() == [0, 1, 1]
    assert by_rule.mean_average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert by_rule.mean_inp == pytest.approx(2 / 4)
    assert by_rule.chance == pytest.approx(2 / 4)
    without = by_distance(dist, *labels, camera_rule="none")  # hits at 1, 3, 5
    assert without.rank1 == 1
    assert without.mean_average_precision == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert without.mean_inp == pytest.approx(3 / 5)
    assert without.chance == pytest.approx(3 / 5)


def test_ties_go_to_the_smaller_gallery_row_and_are_counted():
    labels = [1], [0], [2, 1, 1], [1, 1, 1]
    other_first = by_distance(np.zeros((1, 3), np.float32), *labels, camera_rule="none")
    assert other_first.first_hit.tolist() == [2] and other_first.n_ties == 1
    assert other_first.mean_average_precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    only_matches_tied = by_distance(np.array([[1, 0, 0]], np.float32), *labels, camera_rule="none")
    assert only_matches_tied.n_ties == 0 and only_matches_tied.mean_average_precision == 1


def test_a_tie_with_a_removed_entry_is_none():
    got = by_distance(np.zeros((1, 2), np.float32), [1], [5], [1, 1], [5, 6], camera_rule="same-pid-same-camera")
    assert got.n_ties == 0 and got.rank1 == 1 and got.chance == 1


def test_cmc_is_at_least_twenty_long_and_ends_flat():
    got = by_distance(np.array([[0.2, 0.1]], np.float32), [1], [0], [1, 2], [1, 1], camera_rule="none")
    assert len(got.cmc) == 20 and got.cmc[0] == 0 and (got.cmc[1:] == 1).all()


def test_queries_without_a_match_are_left_out_by_row():
    dist = np.zeros((3, 2), np.float32)
    got = by_distance(dist, [1, 2, 3], [0, 0, 0], [1, 3], [9, 0], camera_rule="same-pid-same-camera")
    assert got.left_out.tolist() == [1, 2] and got.scored.tolist() == [0]
    assert (got.n_queries, got.n_left_out) == (3, 2)


def test_cosine_scores_equal_the_loop_on_the_product():
    rng = np.random.default_rng(2)
    query = embeddings(rng.standard_normal((150, 16)), rng.integers(0, 20, 150), rng.integers(0, 4, 150), "infrared")
    gallery = embeddings(rng.standard_normal((170, 16)), rng.integers(0, 20, 170), rng.integers(0, 4, 170))
    unit = [x.vectors.astype(np.float64) for x in (query, gallery)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in unit]
    labels = query.pids, query.camids, gallery.pids, gallery.camids
    expected = oracle.evaluate(-unit[0] @ unit[1].T, *labels, "same-pid-same-camera")
    got = duskmatch.score(query, gallery)
    assert got.mean_average_precision == pytest.approx(expected["mean_average_precision"], abs=1e-6)
    assert got.mean_inp == pytest.approx(expected["mean_inp"], abs=1e-6)
    np.testing.assert_allclose(got.cmc, expected["cmc"], atol=1e-6)


def test_a_perfect_ranking_scores_one_and_a_reversed_one_its_floor():
    pids = np.arange(6)
    perfect = score(embeddings(np.eye(6), pids), embeddings(3 * np.eye(6), pids), camera_rule="none")
    assert perfect.rank1 == perfect.mean_average_precision == perfect.mean_inp == 1
    worst = score(embeddings(np.eye(6), pids), embeddings(-np.eye(6), pids), camera_rule="none")
    assert worst.rank1 == 0 and worst.mean_average_precision == pytest.approx(1 / 6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(RULES))
def test_gallery_order_and_vector_length_do_not_matter(seed, rule):
    rng = np.random.default_rng(seed)
    query = embeddings(rng.standard_normal((9, 8)), rng.integers(0, 4, 9), rng.integers(0, 3, 9))
    vectors, pids = rng.standard_normal((40, 8)), np.arange(40) % 4
    camids = rng.integers(0, 3, 40)
    plain = score(query, embeddings(vectors, pids, camids), camera_rule=rule)
    lengths, order = np.exp2(rng.integers(-9, 9, (40, 1))), rng.permutation(40)
    other = score(query, embeddings((lengths * vectors)[order], pids[order], camids[order]), camera_rule=rule)
    np.testing.assert_array_equal(plain.first_hit, other.first_hit)
    np.testing.assert_allclose(plain.average_precision, other.average_precision, atol=1e-12)


def test_the_camera_rule_removes_same_pid_and_same_camera_only():
    # The stranger in the query's camera stays and is nearer than the only match left.
    query = embeddings([[1, 0]], [1], [4])
    gallery = embeddings([[1, 0], [1, 0.1], [1, 0.2]], [1, 2, 1], [4, 4, 5])
    assert score(query, gallery).first_hit.tolist() == [2]
    assert score(query, gallery, camera_rule="none").first_hit.tolist() == [1]


def test_the_band_a_query_falls_into_does_not_change_its_digits(monkeypatch):
    rng = np.random.default_rng(3)
    query = embeddings(rng.standard_normal((700, 33)), rng.integers(0, 30, 700))
    gallery = embeddings(rng.standard_normal((210, 33)), rng.integers(0, 30, 210))
    whole = score(query, gallery, camera_rule="none")
    monkeypatch.setattr(similarity, "BAND_ENTRIES", 1)
    banded = score(query, gallery, camera_rule="none")
    np.testing.assert_array_equal(whole.average_precision, banded.average_precision)
    sim = similarity.Similarity(query.vectors, gallery.vectors)
    np.testing.assert_array_equal(sim(slice(640, 700)), sim(slice(0, 700))[640:])
    alone = similarity.Similarity(sim.query[:641], gallery.vectors)  # one query in the last tile, then sixty
    together = similarity.Similarity(sim.query, gallery.vectors)
    np.testing.assert_array_equal(alone(slice(640, 641)), together(slice(640, 700))[:1])
    np.testing.assert_array_equal(sim.negated(slice(128, 300)), -sim(slice(128, 300)))


@pytest.mark.parametrize("exponent", [120, 60, -60, -120])
def test_lengths_near_the_ends_of_fp32_change_nothing(exponent):
    rng = np.random.default_rng(6)
    query = embeddings(rng.standard_normal((40, 16)), rng.integers(0, 9, 40))
    vectors, pids = rng.standard_normal((90, 16)).astype(np.float32), rng.integers(0, 9, 90)
    far = vectors.copy()
    far[::2] *= np.float32(2.0**exponent)
    plain, other = (score(query, embeddings(v, pids), camera_rule="none") for v in (vectors, far))
    np.testing.assert_array_equal(plain.average_precision, other.average_precision)
    long = embeddings(query.vectors * np.float32(2.0**exponent), query.pids)
    turned = score(long, embeddings(far, pids), camera_rule="none")
    np.testing.assert_array_equal(plain.average_precision, turned.average_precision)


def test_a_gallery_of_several_blocks_equals_one_product(monkeypatch):
    monkeypatch.setattr(similarity, "BLOCK_ROWS", 50)
    rng = np.random.default_rng(8)
    query, gallery = (rng.standard_normal((n, 24)).astype(np.float32) for n in (200, 333))
    unit = [x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (query, gallery)]
    got = similarity.Similarity(query, gallery)(slice(0, 200))
    np.testing.assert_allclose(got, unit[0] @ unit[1].T, atol=1e-6)


def test_the_given_matrix_is_left_as_it_was():
    dist = np.array([[0.1, 0.2, 0.3]], np.float32)
    by_distance(dist, [1], [0], [1, 1, 2], [0, 1, 0], camera_rule="same-pid-same-camera")
    assert dist.tolist() == np.array([[0.1, 0.2, 0.3]], np.float32).tolist()


ONE = embeddings([[1.0, 0.0]], [1], [1])


@pytest.mark.parametrize(
    ("query", "gallery", "rule", "message"),
    [
        (
            embeddings(np.zeros((0, 2)), []),
            ONE,
            "none",
            "the query must hold at least one embedding; it is empty; choose other tracklets",
        ),
        (
            ONE,
            embeddings(np.zeros((0, 2)), []),
            "none",
            "the gallery must hold at least one embedding; it is empty; choose other tracklets",
        ),
        (
            ONE,
            embeddings([[1.0, 0.0, 0.0]], [1]),
            "none",
            "query and gallery vectors must be of one width; got 2 and 3; embed both with the same model",
        ),
        (
            ONE,
            embeddings([[1.0, 0.0], [0.0, 0.0]], [1, 2]),
            "none",
            "gallery vectors must not be zero, a zero vector has no direction; 1 of 2 are, the first in row 1; "
            "leave them out or embed them again",
        ),
        (
            embeddings([[1.0, 0.0], [1.0, 0.0]], [-1, -1]),
            ONE,
            "none",
            "queries must have a known pid to be scored; all 2 have -1 (unknown); "
            "give them pids, or use `duskmatch rank`, which needs none",
        ),
        (
            embeddings([[1.0, 0.0], [1.0, 0.0]], [1, -1]),
            embeddings([[1.0, 0.0]], [-1]),
            "none",
            "no query has a match: none of the 1 query pids is among the 0 gallery entries; "
            "check that both sides show the same people under the same pids",
        ),
        (
            ONE,
            embeddings([[1.0, 0.0]], [2]),
            "none",
            "no query has a match: none of the 1 query pids is among the 1 gallery entries; "
            "check that both sides show the same people under the same pids",
        ),
        (
            ONE,
            ONE,
            "same-pid-same-camera",
            "no query has a match left: 1 of 1 queries had some, and the camera rule same-pid-same-camera removed "
            "them all, since each is from its query's camera; use --camera-rule none if you have only one camera",
        ),
    ],
)
def test_refusals_say_what_to_do(query, gallery, rule, message):
    with pytest.raises(EvaluationError) as caught:
        score(query, gallery, camera_rule=rule)
    assert str(caught.value) == message


def test_an_unknown_camera_rule_is_refused():
    with pytest.raises((EvaluationError, TypeError), match="market"):  # TypeError where types are checked at run time
        score(ONE, ONE, camera_rule="market")


def test_nan_is_refused_in_vectors_and_in_distances():
    with pytest.raises(DataError, match="1 of 2 hold NaN or infinity, the first in row 1"):
        embeddings([[0.0, 1.0], [np.nan, 1.0]], [1, 1])
    with pytest.raises(EvaluationError) as caught:
        by_distance(np.array([[0.0], [np.inf]]), [1, 1], [0, 0], [1], [1], camera_rule="none")
    assert str(caught.value) == "distances must be finite; row 1 holds NaN or infinity; correct it or leave it out"


def test_a_matrix_of_the_wrong_shape_is_refused():
    unchecked = getattr(score_distances, "__wrapped__", score_distances)  # without run-time checks of shapes
    labels = [np.array(x) for x in ([1, 1], [0, 0], [1, 2], [1, 1])]
    with pytest.raises(EvaluationError) as caught:
        unchecked(np.zeros((2, 3), np.float32), *labels, camera_rule="none")
    assert str(caught.value) == (
        "distances must be (queries, gallery entries), with a pid and a camid for each; "
        "got (2, 3) and 2, 2, 2, 2 labels"
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("nearest", "rank1", "precision"), [(-1, 1.0, 1.0), (0, 0.0, 0.5), (9, 0.0, 0.5)])
def test_minus_one_is_passed_over_and_zero_counts_as_wrong(rule, nearest, rank1, precision):
    """By hand: a list of somebody else or nobody known, the match, a stranger, two of them from the query's camera."""
    got = by_distance(np.array([[0.1, 0.2, 0.3]]), [5], [1], [nearest, 5, 6], [1, 2, 1], camera_rule=rule)
    assert (got.rank1, got.mean_average_precision) == (rank1, precision)
    assert (got.n_gallery, got.n_junk) == (3, int(nearest == -1))
    assert got.chance == pytest.approx(1 / (3 - got.n_junk))


def test_unknown_queries_are_left_out_and_counted():
    query = embeddings([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], [1, -1, 2])
    gallery = embeddings([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [1, 2, -1], [2, 2, 2])
    got = score(query, gallery)
    assert got.left_out.tolist() == [1] and got.scored.tolist() == [0, 2] and got.rank1 == 1
