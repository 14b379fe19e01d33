"""Verification, open set and held-out calibration: held to loops over every pair and threshold, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from duskmatch.evaluation import evaluate_embeddings, score
from duskmatch.evaluation.answers import Collector
from duskmatch.evaluation.calibration import SimilarityShares, probability
from duskmatch.evaluation.held_out import HeldOut, held_out
from duskmatch.evaluation.intervals import people_draws
from duskmatch.evaluation.levels import LEAST, N_LEVELS, levels, similarity_of
from duskmatch.evaluation.open_set import open_set
from duskmatch.evaluation.operating_points import bears, interval_of, least_rate, share_of
from duskmatch.evaluation.pair_counts import FOLDS, PairCounter, people_of
from duskmatch.evaluation.protocol import Side, _evaluation
from duskmatch.evaluation.similarity import Similarity
from duskmatch.evaluation.verification import separation_of
from duskmatch.records import HITSZ_VCM, Embeddings
from tests.oracle import calibration as calibration_oracle
from tests.oracle import verification as oracle

RULES = ("none", "same-pid-same-camera", "camera-3-skips-camera-2")


def side(n, seed, modality="infrared", pids=40, noise=1.4, unknown=3):
    """Vectors about a point for each person; the last few show somebody unknown."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, pids, n)
    vectors = np.random.default_rng(9).standard_normal((pids, 8))[who] + noise * rng.standard_normal((n, 8))
    vectors[n // 2] = vectors[0]
    who[n - unknown :] = -1
    return Embeddings(vectors, who, rng.integers(-1, 4, n), modality)


def sides(seed=0, n=(110, 80), **options):
    return side(n[0], seed, **options), side(n[1], seed + 1, "visible", **options)


def collected(query, gallery, rule="same-pid-same-camera", **options):
    collector = Collector([(query, gallery)], rule, **options)
    scores = collector.score(query, gallery, camera_rule=rule)
    return collector, scores, collector.answers()


def literal(query, gallery, rule):
    level = levels(Similarity(query.vectors, gallery.vectors).negated(slice(0, len(query))))
    labels = query.pids, query.camids, gallery.pids, gallery.camids
    return oracle.pairs(level, *labels, rule), oracle.searches(level, *labels, rule)


def test_levels_are_similarities_to_a_millionth():
    sim = np.array([-1, -0.25, 0, 0.123456789, 1, 1.0000001], np.float32)
    level = levels(-sim)
    assert similarity_of(level) == pytest.approx(np.clip(sim, -1, 1), abs=1e-6)
    assert levels(np.array([np.inf, 1.0, -1.0], np.float32)).tolist() == [0, LEAST, N_LEVELS - 1]


@pytest.mark.parametrize("rule", RULES)
def test_every_figure_equals_the_literal_loop(rule):
    query, gallery = sides()
    collector, scores, answers = collected(query, gallery, rule)
    pairs, searches = literal(query, gallery, rule)
    table = oracle.rates(pairs)
    found = answers.verification
    assert found.n_same == sum(p == q for _, p, q in pairs) and found.n_others == len(pairs) - found.n_same
    assert (
        found.n_people
        == min(len(set(e.pids.tolist()) - {-1}) for e in (query, gallery))
        == collector.people.n_independent
    )
    assert found.eer.value == pytest.approx(oracle.equal_error(table), abs=1e-9)
    assert found.tar[0.1].value == pytest.approx(oracle.tar(table, 0.1))
    assert found.tar[0.01].value is None and found.tar[0.001].value is None
    points = np.array([(far, frr) for _, far, frr in table])
    for far, frr in zip(found.far, found.frr, strict=True):
        assert np.abs(points - (far, frr)).max(axis=1).min() < 1e-9
    unknown = answers.open_set
    fnir, rank1 = oracle.open_set(searches, 0.1)
    assert (unknown.fnir[0.1].value, unknown.rank1[0.1].value) == pytest.approx((fnir, rank1))
    assert unknown.n_searches == len(searches) == (query.pids >= 0).sum()
    known = gallery.pids[gallery.pids >= 0]
    assert (unknown.gallery_people, unknown.gallery_entries) == (len(set(known.tolist())), len(known))
    plain = score(query, gallery, camera_rule=rule)
    assert scores.rank1 == plain.rank1 and scores.mean_average_precision == plain.mean_average_precision
    assert separation_of(answers.counts).auc == pytest.approx(oracle.auc(pairs), abs=1e-12)


def test_without_a_threshold_identification_is_rank_1():
    query, gallery = sides(3)
    collector, scores, _ = collected(query, gallery)
    always = replace(collector.searches[0], nearest=replace(collector.searches[0].nearest, other=np.zeros(107, int)))
    found = open_set([always])
    assert found.rank1[0.1].value == pytest.approx(scores.rank1) and found.fnir[0.1].value == 0


def test_intervals_are_those_of_the_literal_draws():
    """Resamples at the thresholds of bins differ a little from those at every threshold."""
    query, gallery = sides(1, (60, 50))
    collector, _, answers = collected(query, gallery)
    pairs, _ = literal(query, gallery, "same-pid-same-camera")
    pids = collector.people.pids
    tars, errors = [], []
    for draw in people_draws(len(pids))[:150]:
        table = oracle.rates(pairs, oracle.draw_weight(draw, pids))
        tars.append(oracle.tar(table, 0.1))
        errors.append(oracle.equal_error(table))
    for figure, drawn in ((answers.verification.tar[0.1], tars), (answers.verification.eer, errors)):
        assert figure.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.04)
        assert figure.interval[0] <= figure.value <= figure.interval[1]


def test_intervals_of_the_open_set_are_those_of_the_literal_draws():
    query, gallery = sides(1, noise=0.7)
    _, _, answers = collected(query, gallery)
    _, searches = literal(query, gallery, "same-pid-same-camera")
    pids = sorted({p for _, _, p in searches})
    of_person = {pid: [s for s in searches if s[2] == pid] for pid in pids}
    drawn = np.array(
        [
            oracle.open_set([s for pid, m in zip(pids, draw, strict=True) for s in of_person[pid] * m], 0.1)
            for draw in people_draws(len(pids))[:200]
        ]
    )
    for column, figure in enumerate((answers.open_set.fnir[0.1], answers.open_set.rank1[0.1])):
        assert figure.interval == pytest.approx(np.quantile(drawn[:, column], [0.025, 0.975]), abs=0.04)


@pytest.mark.parametrize(("by_person", "least", "most"), [(1.0, 0.85, 1.2), (0.0, 1.0, 1.6)])
def test_resamples_vary_as_the_far_does_among_new_people(by_person, least, most):
    """Where people differ, as much as it; where every pair is a draw of its own, more, by a root of two."""
    rng = np.random.default_rng(0)
    n, draws, found, resampled = 50, people_draws(50)[:300], [], []
    others = ~np.eye(n, dtype=bool)
    for _ in range(120):
        person = by_person * rng.standard_normal(n)
        accepted = (person[:, None] + person + rng.standard_normal((n, n)) > 1.0 + by_person) & others
        both, total = (x.sum(axis=0) + x.sum(axis=1) for x in (accepted, others))
        found.append(accepted.sum() / others.sum())
        resampled.append(share_of(draws, both[:, None], total, once=1)[:, 0].std())
    assert least < np.mean(resampled) / np.std(found) < most


def test_swapped_sides_have_the_same_pairs_and_searches_of_their_own():
    infrared, visible = sides(2)
    found = evaluate_embeddings(infrared, visible, answers=True).answers
    there, back = found["infrared_to_visible"], found["visible_to_infrared"]
    assert back.verification is there.verification and back.counts is there.counts
    _, _, alone = collected(visible, infrared)
    assert alone.verification.eer.value == pytest.approx(there.verification.eer.value, abs=1e-12)
    assert alone.verification.tar == {**there.verification.tar, 0.1: alone.verification.tar[0.1]}
    assert alone.verification.tar[0.1].value == there.verification.tar[0.1].value
    assert back.open_set == alone.open_set and back.open_set.gallery_people != 0
    assert evaluate_embeddings(infrared, visible).answers == {}


def test_trials_are_counted_together():
    """Two trials with galleries of their own: all pairs of both, all searches of both."""
    query, gallery = sides(4)
    galleries = [gallery.take(np.arange(0, 60)), gallery.take(np.arange(30, 77))]
    protocol = replace(HITSZ_VCM, trials=(0, 1))
    trials = [(Side(query), Side(g)) for g in galleries]
    named = {"infrared_to_visible": trials, "visible_to_infrared": [(b, a) for a, b in trials]}
    answers = _evaluation(named, protocol, with_answers=True).answers
    pairs, searches = [], []
    for g in galleries:
        of_one = literal(query, g, "same-pid-same-camera")
        pairs, searches = pairs + of_one[0], searches + of_one[1]
    found = answers["infrared_to_visible"]
    assert found.verification.n_same == sum(p == q for _, p, q in pairs)
    assert found.verification.tar[0.1].value == pytest.approx(oracle.tar(oracle.rates(pairs), 0.1))
    assert found.open_set.fnir[0.1].value == pytest.approx(oracle.open_set(searches, 0.1)[0])
    assert found.open_set.gallery_entries == 60
    assert answers["visible_to_infrared"].counts is found.counts


def test_the_order_of_rows_and_of_bands_changes_nothing(monkeypatch):
    query, gallery = sides(6, (300, 80))
    order = np.random.default_rng(0).permutation(300)
    _, _, plain = collected(query, gallery)
    monkeypatch.setattr("duskmatch.evaluation.similarity.BAND_ENTRIES", 1)
    _, _, banded = collected(query, gallery)
    assert banded.verification.tar == plain.verification.tar and banded.open_set == plain.open_set
    assert banded.calibration.brier == pytest.approx(plain.calibration.brier, abs=1e-12)
    _, _, other = collected(query.take(order), gallery)
    assert other.verification.eer.value == pytest.approx(plain.verification.eer.value, abs=1e-4)


def answers_of(same, others, n_people=40):
    """Answers where similarities of matches and of other pairs are set by two unit vectors' angles."""
    pids = np.arange(n_people)
    vectors = np.zeros((n_people, n_people + 1))
    vectors[pids, pids] = 1
    gallery = vectors * same
    gallery[:, -1] = np.sqrt(1 - same**2)
    if others:
        gallery, vectors = np.ones_like(vectors), np.ones_like(vectors)
    make = lambda v, m, cam: Embeddings(v, pids, np.full(n_people, cam), m)  # noqa: E731
    return collected(make(vectors, "infrared", 1), make(gallery, "visible", 2))[2]


def test_perfect_separation_is_refused_below_what_the_people_bear_and_its_intervals_are_not_points():
    answers = answers_of(0.9, 0)
    found = answers.verification
    assert found.eer.value is None and found.eer.why == "EER is at most 7.5 %, the least rate that 40 people bear"
    assert found.tar[0.1].value == 1 and found.tar[0.1].interval == (1 - 3 / 40, 1.0)
    assert answers.open_set.fnir[0.1].value == 0 and answers.open_set.fnir[0.1].interval == (0.0, 3 / 40)
    assert found.tar[0.01].why == (
        "FAR 1 % needs 300 people, here are 40; at 7.5 %, the least they bear, TAR is 100 %, so here it is at most that"
    )
    assert answers.open_set.fnir[0.01].why.endswith("FNIR is 0 %, so here it is at least that")
    assert answers.open_set.rank1[0.01].why.endswith("rank 1 is 100 %, so here it is at most that")


def test_equal_similarities_accept_all_or_nobody():
    answers = answers_of(1, 1)
    assert answers.verification.eer.value == 0.5 and answers.verification.tar[0.1].value == 0
    assert answers.open_set.fnir[0.1].value == 1 and answers.open_set.rank1[0.1].value == 0
    assert separation_of(answers.counts).auc == 0.5
    assert answers.calibration.brier == pytest.approx(0.25) and answers.calibration.curve.error == pytest.approx(0)


@pytest.mark.parametrize("n_people", [1, 2, 25])
def test_too_few_people(n_people):
    answers = answers_of(0.9, 0, n_people)
    found = answers.verification
    assert all(
        figure.value is None and figure.why for figure in (found.eer, *found.tar.values()) if figure is not found.eer
    )
    assert all(figure.value is None for figure in (*answers.open_set.fnir.values(), *answers.open_set.rank1.values()))
    if n_people <= 2:
        assert "too few for any rate" in found.tar[0.1].why and len(found.far) == 0 and found.eer.value is None
        assert answers.calibration == f"calibration needs 20 people on both sides; here are {0 if n_people == 1 else 2}"


def test_the_rule_of_three():
    assert [bears(n, r) for n, r in ((30, 0.1), (29, 0.1), (300, 0.01), (299, 0.01), (3000, 0.001), (0, 0.5))] == [
        True, False, True, False, True, False,
    ]  # fmt: skip
    assert least_rate(0) == np.inf and least_rate(300) == 0.01
    assert interval_of(0.3, np.array([np.nan, 0.2, 0.4]), 10)[0] < 0.3 < interval_of(0.3, np.array([0.2, 0.4]), 10)[1]
    assert interval_of(0.3, np.array([np.nan]), 10) == (0.0, 1.0)


def test_people_in_neither_side_and_unknown_queries_count_for_nothing():
    query, gallery = sides(7)
    extra = side(20, 50, unknown=20)
    more = Embeddings(
        np.concatenate([query.vectors, extra.vectors]), np.concatenate([query.pids, extra.pids]),
        np.concatenate([query.camids, extra.camids]), "infrared",
    )  # fmt: skip
    _, _, a = collected(query, gallery)
    _, _, b = collected(more, gallery)
    assert a.open_set == b.open_set and a.verification.n_others == b.verification.n_others
    assert a.verification.eer.value == pytest.approx(b.verification.eer.value, abs=1e-9)


def test_a_person_who_is_not_in_the_gallery_is_searched_without_a_match():
    query, gallery = sides(8)
    fewer = gallery.take(gallery.pids != 5)
    _, scores, answers = collected(query, fewer)
    assert answers.open_set.n_searches == (query.pids >= 0).sum() > len(scores.scored)
    _, searches = literal(query, fewer, "same-pid-same-camera")
    assert answers.open_set.fnir[0.1].value == pytest.approx(oracle.open_set(searches, 0.1)[0])


def test_held_out_people_are_measured_by_a_ratio_fitted_without_them():
    query, gallery = sides(9, (200, 200), unknown=0)
    collector, _, answers = collected(query, gallery, "none")
    people, counts = collector.people, answers.counts
    pairs, _ = literal(query, gallery, "none")
    n_query, n_gallery = (np.bincount(e.pids, minlength=40) for e in (query, gallery))
    fold = dict(zip(people.pids.tolist(), people.fold.tolist(), strict=True))
    per_person = {p: sum(a == b == p for _, a, b in pairs) for p in fold}
    centre = {}
    for s, _, _ in pairs:
        centre.setdefault(int(people.bin_of[s]), []).append(float(similarity_of(s)))
    centre = {b: float(np.mean(values)) for b, values in centre.items()}
    promised, truth, weights = [], [], []
    for held in range(FOLDS):
        same, others = {}, {}
        for s, p, q in pairs:
            if fold[p] != held and fold[q] != held:
                kind, w = (same, 1 / per_person[p]) if p == q else (others, 1 / (n_query[p] * n_gallery[q]))
                kind[int(people.bin_of[s])] = kind.get(int(people.bin_of[s]), 0) + w
        bins = sorted({*same, *others})
        columns = [np.array([kind.get(b, 0.0) for b in bins]) / sum(kind.values()) for kind in (same, others)]
        outside = [p for p in fold if fold[p] != held]
        ratio = SimilarityShares(np.array([centre[b] for b in bins]), *columns).ratio(
            sum(per_person[p] for p in outside), 1, n_same_people=sum(per_person[p] > 0 for p in outside), n_people=32
        )
        for s, p, q in pairs:
            if fold[p] == fold[q] == held:
                promised.append(float(probability(ratio(np.array(centre[int(people.bin_of[s])])), 0.5)))
                truth.append(p == q)
                weights.append(1 / per_person[p] if p == q else 1 / (n_query[p] * n_gallery[q]))
    truth, weights = np.array(truth), np.array(weights)
    weights = np.where(truth, weights / weights[truth].sum(), weights / weights[~truth].sum())
    found = answers.calibration
    assert isinstance(found, HeldOut) and found.kind == "platt" and found.n_people == 40
    assert found.brier == pytest.approx(calibration_oracle.brier(promised, truth, weights))
    assert found.log_loss == pytest.approx(calibration_oracle.log_loss(promised, truth, weights))
    expected = calibration_oracle.calibration_error(np.round(promised, 12), truth, weights, 15)
    assert found.curve.error == pytest.approx(expected, abs=1e-6)
    assert held_out(counts, people).brier == found.brier


def test_bins_are_bounded_where_people_are_many():
    query = Embeddings(np.eye(4)[np.arange(400) % 4] + 0.1, np.arange(400), np.ones(400), "infrared")
    gallery = replace(query, camids=np.full(400, 2))
    assert people_of([(query, gallery)], "none").n_bins <= 257
    counter = PairCounter(query, gallery, None)
    assert counter.people is None
