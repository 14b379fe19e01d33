"""Temporal re-ranking against the literal definition, a case worked by hand, and what must always hold."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import (
    Halved,
    ReRanking,
    TemporalReRanking,
    evaluate_dataset,
    evaluate_embeddings,
    halves,
    rerank_temporally,
    score_distances,
    similarity,
    sparse,
)
from duskmatch.records import Embeddings, Tracklet
from tests.evaluation.people import FakeEmbedder, make_people
from tests.oracle import temporal as oracle

ORTHODOX = TemporalReRanking()


def side(vectors, modality="visible", pids=None):
    n = len(vectors)
    return Embeddings(np.asarray(vectors, np.float32), np.arange(n) if pids is None else pids, np.zeros(n), modality)


def halved(whole, first, second, modality="visible", pids=None):
    return Halved(*(side(part, modality, pids) for part in (whole, first, second)))


def people(seed, n_query, n_gallery, d=12, n_people=5, noise=0.6):
    """Two sides of vectors about a few centres, each three times."""
    rng = np.random.default_rng(seed)
    centres, pids = rng.standard_normal((n_people, d)), rng.integers(0, n_people, n_query + n_gallery)
    parts = [centres[pids] + noise * rng.standard_normal((len(pids), d)) for _ in range(3)]
    query, gallery = slice(0, n_query), slice(n_query, None)
    return (
        halved(*(part[query] for part in parts), "infrared", pids[query]),
        halved(*(part[gallery] for part in parts), "visible", pids[gallery]),
    )


def units(one):
    parts = [part.vectors.astype(np.float64) for part in (one.whole, one.first, one.second)]
    return [(part / np.linalg.norm(part, axis=1, keepdims=True)).tolist() for part in parts]


def literally(query, gallery, numbers):
    weights = numbers.plain_weight, numbers.halves_weight
    return oracle.rerank(units(query), units(gallery), numbers.k1, numbers.k2, *weights)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 14), st.integers(1, 18)),
    k1=st.integers(1, 12),
    k2=st.integers(1, 6),
    weights=st.sampled_from([(0.8, 0.1), (0.0, 0.5), (1.0, 0.0), (0.5, 0.0), (1.0, 2.0)]),
)
def test_distances_equal_the_literal_definition(seed, sizes, k1, k2, weights):
    query, gallery = people(seed, *sizes)
    k1 = min(k1, sum(sizes) - 1)
    numbers = TemporalReRanking(k1, min(k2, k1), *weights)
    got = rerank_temporally(query, gallery, numbers)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, literally(query, gallery, numbers), atol=1e-6)


@pytest.mark.parametrize("noise", [0.3, 1.5])
def test_the_programs_numbers_on_a_hundred_equal_the_definition(noise):
    query, gallery = people(3, 45, 60, d=24, n_people=8, noise=noise)
    np.testing.assert_allclose(rerank_temporally(query, gallery), literally(query, gallery, ORTHODOX), atol=1e-6)


def test_identical_vectors_are_taken_by_row_as_in_the_definition():
    axes = np.eye(4)  # distances are 0 or the root of 2: ties everywhere
    whole, first, second = ([0, 0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 0], [0, 0, 1, 1, 1, 2, 0, 0, 3, 2, 2, 0], [1] * 12)
    parts = [axes[list(part)] for part in (whole, first, second)]
    query, gallery = halved(*(part[:5] for part in parts)), halved(*(part[5:] for part in parts))
    for k1, k2 in ((1, 1), (3, 2), (5, 3), (11, 6)):
        numbers = TemporalReRanking(k1, k2)
        got = rerank_temporally(query, gallery, numbers)
        np.testing.assert_allclose(got, literally(query, gallery, numbers), atol=1e-6)


def test_a_case_worked_by_hand():
    # Angles 0 (query), 10, 21 and 180 degrees in all three parts, k1 = k2 = 1. As in plain re-ranking only 0 and 10 are
    # neighbours both ways; weights exp(-d / 2) for 0, whose farthest is at 2, and exp(-d / d(10, 180)) for 10.
    angles = np.radians([0, 10, 21, 180])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query, gallery = halved(points[:1], points[:1], points[:1]), halved(points[1:], points[1:], points[1:])
    d, farthest = 2 * math.sin(math.radians(5)), 2 * math.sin(math.radians(85))
    v0, v10 = 1 / (1 + math.exp(-d / 2)), 1 / (1 + math.exp(-d / farthest))
    smaller = min(v0, 1 - v10) + min(1 - v0, v10)
    J = 1 - smaller / (2 - smaller)
    expected = [0.8 * d + 0.4 * J, 0.8 * 2 * math.sin(math.radians(10.5)) + 0.4, 0.8 * 2 + 0.4]
    got = rerank_temporally(query, gallery, TemporalReRanking(k1=1, k2=1))
    np.testing.assert_allclose(got, [expected], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_a_side_and_which_half_is_called_first_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    query, gallery = people(seed, 20, 30, d=20)
    expected = rerank_temporally(query, gallery)
    at = rng.permutation(30)
    shuffled = Halved(*(part.take(at) for part in (gallery.whole, gallery.first, gallery.second)))
    np.testing.assert_allclose(rerank_temporally(query, shuffled), expected[:, at], atol=1e-6)
    turned = [Halved(one.whole, one.second, one.first) for one in (query, gallery)]
    np.testing.assert_allclose(rerank_temporally(*turned), expected, atol=1e-6)


def test_bands_do_not_change_a_digit(monkeypatch):
    query, gallery = people(5, 150, 140, n_people=40)
    whole = rerank_temporally(query, gallery)
    for module in (similarity, sparse):
        monkeypatch.setattr(module, "BAND_ENTRIES", 1)
    np.testing.assert_allclose(rerank_temporally(query, gallery), whole, atol=1e-7)


def test_vectors_that_are_all_the_same_are_equally_near():
    same = np.ones((12, 7))
    got = rerank_temporally(halved(same, same, same), halved(same, same, same), TemporalReRanking(k1=23))
    np.testing.assert_allclose(got, 0, atol=1e-6)


def test_halves_share_the_frames_in_order():
    def lengths(n):
        frames = tuple(Path(f"{i}.jpg") for i in range(n))
        first, second = halves(Tracklet(frames, 1, 2, "visible", "t"))
        assert first.frames + second.frames == (frames * 2 if n == 1 else frames)
        assert (first.tracklet_id, second.camid) == ("t", 2)
        return len(first), len(second)

    assert [lengths(n) for n in (1, 2, 5, 12)] == [(1, 1), (1, 1), (2, 3), (6, 6)]


class Measured(FakeEmbedder):
    """Vectors that depend on which frames were given; some halves hold no readable frame."""

    def __init__(self, blind=()):
        super().__init__(noise=0.5)
        self.asked, self.blind = [], blind

    def embed(self, tracklets, on_progress=None):
        self.asked.append([t.frames for t in tracklets])
        there = [t for t in tracklets if not (len(t) == 6 and t.tracklet_id in self.blind)]
        found = super().embed(there)
        firsts = [int(t.frames[0].stem) + len(t) for t in there]
        steps = np.stack([np.random.default_rng(seed).standard_normal(self.d) for seed in firsts])
        return replace(found, vectors=found.vectors + 0.3 * steps)


def test_a_data_set_is_embedded_whole_and_in_halves(tmp_path):
    data, embedder = make_people(tmp_path, n_people=5), Measured()
    both = evaluate_dataset(embedder.embed, data, re_ranking=ORTHODOX)
    whole, first, second = embedder.asked
    assert all(a + b == c and len(a) == 6 for a, b, c in zip(first, second, whole, strict=True))
    for direction, scores in both.scores.items():
        q, g = both.query[direction], both.gallery[direction]
        dist = rerank_temporally(q.halved(), g.halved(), ORTHODOX)
        labels = q.embeddings.pids, q.embeddings.camids, g.embeddings.pids, g.embeddings.camids
        again = score_distances(dist, *labels, camera_rule="same-pid-same-camera")
        assert (scores.rank1, scores.mean_average_precision) == (again.rank1, again.mean_average_precision)
        assert not np.array_equal(q.halved().first.vectors, q.halved().second.vectors)
    assert str(both.re_ranking) == (
        "temporal k-reciprocal, k1 5, k2 3, lambda 0, 0.8 plain + 0.2 whole + 0.1 for either order of halves"
    )


def test_tracks_that_cannot_be_read_are_left_out_of_the_halves_too(tmp_path):
    data = make_people(tmp_path, n_people=5)
    embedder = FakeEmbedder(unreadable=("0001v1t0",))
    both = evaluate_dataset(embedder.embed, data, re_ranking=ORTHODOX)
    assert list(both.unreadable) == ["0001v1t0"]
    assert len(both.query["visible_to_infrared"].halved().first) == 14


def test_a_half_without_a_readable_frame_is_refused(tmp_path):
    data = make_people(tmp_path, n_people=5)
    with pytest.raises(EvaluationError) as caught:
        evaluate_dataset(Measured(blind=("0002i1t0",)).embed, data, re_ranking=ORTHODOX)
    assert str(caught.value) == (
        "temporal re-ranking needs a readable frame in both halves; the first half of 1 tracklets has none, the first "
        "0002i1t0; copy the pictures again or leave the tracks out"
    )


def test_sets_of_single_pictures_are_refused(tmp_path):
    data = make_people(tmp_path, n_people=5)
    for split, tracklets in data.tracklets.items():
        data.tracklets[split] = [replace(t, frames=t.frames[:1]) for t in tracklets]
    with pytest.raises(EvaluationError) as caught:
        evaluate_dataset(FakeEmbedder().embed, data, re_ranking=ORTHODOX)
    assert str(caught.value) == (
        "temporal re-ranking compares halves of tracks, so they must have several frames; all 30 of the test split "
        "have one; use plain re-ranking (k-reciprocal) or none"
    )
    assert evaluate_dataset(FakeEmbedder().embed, data, re_ranking=ReRanking(5, 3)).re_ranking == ReRanking(5, 3)


ONE = halved(np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 3)))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (
            lambda: rerank_temporally(ONE, ONE),
            "re-ranking: k1 must be below the number of vectors, queries and gallery together (2); got 5; choose a "
            "smaller k1 and report it with the score",
        ),
        (
            lambda: halved(np.ones((2, 3)), np.ones((1, 3)), np.ones((2, 3))),
            "temporal re-ranking: row i of the first halves must be row i of the whole tracklets; got (1, 3) and "
            "(2, 3), or other people; embed the same tracklets",
        ),
        (
            lambda: evaluate_embeddings(ONE.whole, ONE.whole, re_ranking=ORTHODOX),
            "temporal re-ranking needs vectors of both halves of each tracklet, which come from pictures; score a RUN "
            "on a data set, or use plain re-ranking (k-reciprocal)",
        ),
        (lambda: TemporalReRanking(k1=0), "re-ranking: k1 must be at least 1; got 0; temporal re-ranking has 5"),
        (
            lambda: TemporalReRanking(k2=6),
            "re-ranking: k2 must be from 1 to k1 (5); got 6; temporal re-ranking has 3, 1 is no expansion",
        ),
        (
            lambda: TemporalReRanking(plain_weight=math.nan),
            "temporal re-ranking: the plain distance's weight must be from 0 to 1; got nan",
        ),
        (
            lambda: TemporalReRanking(halves_weight=-0.1),
            "temporal re-ranking: the halves' weight must be 0 or more; got -0.1",
        ),
    ],
)
def test_refusals_say_what_to_do(attempt, message):
    with pytest.raises(EvaluationError) as caught:
        attempt()
    assert str(caught.value) == message
