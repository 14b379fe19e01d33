"""Calibration: every figure held to a loop, what the data bear, and what is refused."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import calibration
from duskmatch.evaluation.calibration import (
    Calibration,
    LikelihoodRatio,
    SimilarityShares,
    bounds,
    brier,
    calibration_error,
    fit,
    fit_calibration,
    log_loss,
    pair_of,
    probability,
    reliability,
)
from duskmatch.evaluation.similarity import map_bands, reduce_bands
from duskmatch.records import Embeddings
from tests.oracle import calibration as oracle


def samples(n_same, n_others, n_people=40, seed=0, digits=2):
    """Similarities of matching pairs, rounded so that many are equal, with their pids; and of other pairs."""
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, n_people, n_same)
    same = np.round(rng.normal(0.6, 0.15, n_same) + rng.normal(0, 0.1, n_people)[pids], digits)
    return same, pids, np.round(rng.normal(0.2, 0.15, n_others), digits)


def people(n=60, seed=0, modality=None, pids=8):
    rng = np.random.default_rng(seed)
    who = rng.integers(-1, pids, n)
    vectors = np.random.default_rng(9).standard_normal((pids + 1, 6))[who] + rng.standard_normal((n, 6))
    words = modality or [("visible", "infrared")[i] for i in rng.integers(0, 2, n)]
    return Embeddings(vectors, who, rng.integers(-1, 3, n), words)


def test_pair_of_is_the_same_in_either_order():
    assert pair_of("infrared", "visible") == pair_of("visible", "infrared") == "visible-infrared"
    assert [pair_of(m, m) for m in ("visible", "infrared")] == ["visible-visible", "infrared-infrared"]


def test_isotonic_equals_pooling_one_pair_of_neighbours_at_a_time():
    same, pids, others = samples(1200, 900)
    weights = np.random.default_rng(1).uniform(0.1, 1, len(others))
    found = fit(same, pids, others, 40, weights_others=weights)
    table = oracle.shares(same, pids, others, weights)
    ends = oracle.bounds(table, len(set(pids)), 40 * 39 / 2)
    knots = np.array(oracle.isotonic(table, *ends))
    assert found.kind == "isotonic" and (found.n_same, found.n_others, found.n_people) == (1200, 900, 40)
    assert found.similarity == pytest.approx(knots[:, 0]) and found.log_ratio == pytest.approx(knots[:, 1], abs=1e-9)
    assert len(knots) > 5 and (np.diff(found.log_ratio) >= 0).all()
    assert found.log_ratio[0] == pytest.approx(ends[0]) and found.log_ratio[-1] == pytest.approx(ends[1])


def test_platt_equals_newtons_method_and_is_cut_off_at_what_the_data_bear():
    same, pids, others = samples(200, 300, seed=2)
    found = fit(same, pids, others, 40)
    table = oracle.shares(same, pids, others, np.ones(len(others)))
    least, largest = oracle.bounds(table, len(set(pids)), 40 * 39 / 2)
    start, slope = oracle.platt(table, len(set(pids)), 40 * 39 / 2)
    x = np.linspace(-0.5, 1.2, 60)
    ends = min(same.min(), others.min()), max(same.max(), others.max())
    assert found.kind == "platt"
    assert found(x) == pytest.approx(np.clip(start + slope * np.clip(x, *ends), least, largest), abs=1e-4)


def test_isotonic_begins_at_1000_matching_pairs():
    same, pids, others = samples(1000, 500)
    assert fit(same, pids, others, 40).kind == "isotonic"
    assert fit(same[1:], pids[1:], others, 40).kind == "platt"


def test_no_ratio_beyond_what_the_people_show():
    """All matching pairs above all others: a ratio of one third of the pairs of people, and of 3 to the people."""
    for n_pairs_each in (5, 60):
        pids = np.repeat(np.arange(20), n_pairs_each)
        found = fit(np.linspace(0.8, 0.9, len(pids)), pids, np.linspace(0, 0.1, 5000), 20)
        least, largest = math.log(3 / 20), math.log(20 * 19 / 2 / 3)
        assert least - 1e-9 <= found.log_ratio[0] < -1 and 3 < found.log_ratio[-1] <= largest + 1e-9
        if found.kind == "isotonic":
            assert found.log_ratio[[0, -1]] == pytest.approx([least, largest])
        assert found(np.array([-1.0, 1.0])) == pytest.approx(found.log_ratio[[0, -1]])


def test_bounds_are_those_of_every_threshold():
    same, pids, others = samples(80, 120, seed=4)
    table = oracle.shares(same, pids, others, np.ones(len(others)))
    columns = np.array(table).T
    found = bounds(columns[1], columns[2], n_same_people=40, n_pairs_of_people=780.0)
    assert found == pytest.approx(oracle.bounds(table, 40, 780.0))
    assert bounds(columns[1], columns[2], n_same_people=2, n_pairs_of_people=1.0) == (0.0, 0.0)


@pytest.mark.parametrize("n", [300, 1500])
def test_a_person_with_many_pairs_weighs_as_much_as_another(n):
    """One person's 50-fold pairs change nothing."""
    same, pids, others = samples(n, 400, seed=5)
    rows = np.concatenate([np.arange(n), *[np.flatnonzero(pids == 3)] * 49])
    plain, more = (fit(s, p, others, 40) for s, p in ((same, pids), (same[rows], pids[rows])))
    if plain.kind == more.kind:
        x = np.linspace(0, 1, 50)
        assert more(x) == pytest.approx(plain(x), abs=1e-5)
    assert more.n_same == len(rows)


@pytest.mark.parametrize("n", [10, 1200])
def test_equal_similarities_say_nothing(n):
    found = fit(np.full(n, 0.5), np.arange(n) % 7, np.full(50, 0.5), 9)
    assert found(np.array([0.1, 0.5, 0.9])) == pytest.approx([0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("n", [40, 1200])
def test_a_model_that_is_worse_than_blind_gets_a_flat_ratio_not_a_falling_one(n):
    rng = np.random.default_rng(0)
    found = fit(rng.uniform(0, 0.5, n), np.arange(n) % 30, rng.uniform(0.4, 1, 3000), 30)
    assert (np.diff(found.log_ratio) >= 0).all()
    assert np.abs(found(np.linspace(0, 1, 9))).max() < 0.2


def test_two_people_show_nothing():
    found = fit(np.array([0.9, 0.8]), np.array([1, 2]), np.array([0.1]), 2)
    assert found(np.array([0.0, 1.0])).tolist() == [0, 0]


REFUSED = [
    (([0.5], [1], [], 1), "needs pairs of two different people; got 0 pairs, and people: 1"),
    (([0.5], [1], [0.1], 1), "needs pairs of two different people; got 1 pairs, and people: 1"),
    (([], [], [0.1], 5), "needs pairs of the same person, with a pid each; got 0 pairs and 0 pids"),
    (([0.5], [], [0.1], 5), "got 1 pairs and 0 pids"),
    (([math.nan], [1], [0.1], 5), "similarities must be finite to be calibrated; one is NaN"),
    (([0.5], [1], [math.inf], 5), "similarities must be finite to be calibrated; one is NaN"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments, message):
    same, pids, others, n_people = arguments
    with pytest.raises(EvaluationError, match=message):
        fit(np.array(same), np.array(pids, np.int64), np.array(others), n_people)


@pytest.mark.parametrize("rule", ["none", "same-pid-same-camera"])
def test_fit_calibration_counts_every_pair_of_two_rows_once(rule, monkeypatch):
    monkeypatch.setattr(calibration, "ISOTONIC_FROM", 30)
    first, second = people(70, 0), people(60, 1)
    found = fit_calibration(first, second, camera_rule=rule, facts={"model": "m"})
    both = [np.concatenate([getattr(e, name) for e in (first, second)]) for name in ("vectors", "pids", "camids")]
    words = [*first.modalities, *second.modalities]
    assert set(found.ratios) == {"visible-visible", "infrared-infrared", "visible-infrared"} and found.facts == {
        "model": "m"
    }
    for a, b in (("visible", "visible"), ("infrared", "infrared"), ("visible", "infrared")):
        same, others = oracle.pairs(*both, words, a, b, rule)
        ratio = found.ratios[pair_of(a, b)]
        assert (ratio.n_same, ratio.n_others, ratio.n_people) == (len(same), len(others), 8)
        whole = fit(
            np.array([s for s, _ in same]), np.array([p for _, p in same]), np.array([s for s, _ in others]), 8,
            weights_others=np.array([w for _, w in others]),
        )  # fmt: skip
        x = np.linspace(-1, 1, 41)
        assert found.log_ratio(x, a, b) == pytest.approx(whole(x), abs=0.02)  # similarities are rounded to 2e-6
        assert found.log_ratio(x, b, a).tolist() == found.log_ratio(x, a, b).tolist()


def test_a_pair_of_modalities_that_cannot_be_fitted_is_named():
    pids = np.repeat(np.arange(6), 2)
    vectors = np.eye(6)[pids] + 0.1
    seen_once = Embeddings(np.eye(6) + 0.1, np.arange(6), np.full(6, 3), "infrared")
    found = fit_calibration(Embeddings(vectors, pids, [1, 2] * 6, "visible"), seen_once, camera_rule="none")
    assert set(found.ratios) == {"visible-visible", "visible-infrared"}
    assert "needs pairs of the same person" in found.facts["not_fitted"]["infrared-infrared"]
    message = r"^infrared-infrared is not calibrated, only visible-visible, visible-infrared; calibrate"
    with pytest.raises(EvaluationError, match=message):
        found.log_ratio(np.zeros(1), "infrared", "infrared")
    for nobody in (seen_once, seen_once.take([0]), Embeddings(np.eye(2), [-1, -1], [1, 2], "visible")):
        with pytest.raises(EvaluationError, match=r"^nothing can be calibrated: "):
            fit_calibration(nobody, camera_rule="none")


def test_the_order_of_rows_and_the_number_of_threads_change_nothing():
    side = people(300, 3, "visible", pids=30)
    order = np.random.default_rng(1).permutation(300)
    a, b = (fit_calibration(e, camera_rule="none").ratios["visible-visible"] for e in (side, side.take(order)))
    x = np.linspace(-1, 1, 99)
    assert a(x) == pytest.approx(b(x), abs=1e-6)


def test_reduce_bands_is_the_sum_of_map_bands():
    parts = map_bands(lambda rows: rows.stop - rows.start, 1000, 5000)
    assert len(parts) > 1 and reduce_bands(lambda rows: rows.stop - rows.start, int.__add__, 1000, 5000) == 1000


def ratio(**changed):
    whole = {"kind": "platt", "similarity": [0.1, 0.5], "log_ratio": [-1.0, 2.0], "n_same": 3, "n_others": 9}
    return LikelihoodRatio(**{**whole, "n_people": 4, **changed})


def test_a_ratio_is_linear_between_knots_and_constant_outside():
    found = ratio()(np.array([[-1.0, 0.1], [0.3, 0.9]]))
    assert found.shape == (2, 2) and found.ravel() == pytest.approx([-1, -1, 0.5, 2])
    with pytest.raises(EvaluationError, match="similarities must be finite to have a likelihood ratio"):
        ratio()(np.array([0.3, np.nan]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "spline"}, "kind must be isotonic or platt; got 'spline'"),
        ({"similarity": [0.1]}, "must be equally many numbers"),
        ({"similarity": [], "log_ratio": []}, "must be equally many numbers"),
        ({"similarity": [0.5, 0.1]}, "similarity must ascend"),
        ({"log_ratio": [2.0, -1.0]}, "log_ratio must not fall"),
        ({"log_ratio": [2.0, math.inf]}, "must be finite"),
        ({"n_people": 0}, "counts must be 1 or more"),
    ],
)
def test_a_ratio_is_checked_when_it_is_made(changed, message):
    with pytest.raises(EvaluationError, match=message):
        ratio(**changed)


def test_a_calibration_survives_json():
    whole = Calibration({"visible-infrared": ratio(), "visible-visible": ratio(kind="isotonic")}, {"people": 4})
    again = Calibration.from_document(json.loads(json.dumps(whole.document())))
    assert again.document() == whole.document() and again.facts == {"people": 4}
    x = np.linspace(0, 1, 7)
    assert again.log_ratio(x, "visible", "infrared").tolist() == whole.log_ratio(x, "visible", "infrared").tolist()


DAMAGE = [
    (lambda d: d.pop("facts"), "facts: Field required"),
    (lambda d: d.update(schema_version=2), "schema_version: Input should be 1"),
    (lambda d: d.update(more=1), "more: Extra inputs"),
    (lambda d: d["ratios"].update(thermal=d["ratios"]["visible-visible"]), "ratios.thermal"),
    (lambda d: d["ratios"]["visible-visible"].pop("kind"), "ratios.visible-visible.kind: Field required"),
    (lambda d: d["ratios"]["visible-visible"].update(similarity=["a", 1]), "ratios.visible-visible.similarity.0"),
    (lambda d: d["ratios"]["visible-visible"]["log_ratio"].append(1e999), "ratios.visible-visible.log_ratio.2"),
    (lambda d: d["ratios"]["visible-visible"]["log_ratio"].pop(), "visible-visible: .* must be equally many"),
    (lambda d: d["ratios"]["visible-visible"].update(n_people=True), "ratios.visible-visible.n_people"),
    (lambda d: d["ratios"]["visible-visible"]["log_ratio"].reverse(), "visible-visible: .* must not fall"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_document_is_refused_by_name(damage, message):
    document = copy.deepcopy(Calibration({"visible-visible": ratio()}).document())
    damage(document)
    with pytest.raises(EvaluationError, match=f"^a calibration is damaged: {message}"):
        Calibration.from_document(document)
    for nothing in (None, [], "{}"):
        with pytest.raises(EvaluationError, match=r"^a calibration is damaged: "):
            Calibration.from_document(nothing)


def test_probability_is_bayes_rule():
    log_ratio = np.array([-3.0, 0.0, 2.5])
    for prior in (0.5, 0.01):
        odds = np.exp(log_ratio) * prior / (1 - prior)
        assert probability(log_ratio, prior) == pytest.approx(odds / (1 + odds))
    for wrong in (0, 1, -0.2, math.nan):
        with pytest.raises(EvaluationError, match=r"^a prior must lie between 0 and 1"):
            probability(log_ratio, wrong)


@pytest.mark.parametrize("digits", [1, 2, 12])
def test_the_figures_equal_their_definitions(digits):
    rng = np.random.default_rng(digits)
    p = np.clip(np.round(rng.beta(0.6, 0.6, 400), digits), 0.01, 0.99)
    same, weights = rng.random(400) < p**1.5, rng.uniform(0.1, 2, 400)
    for bins in (1, 10, 15):
        expected = oracle.calibration_error(p, same, weights, bins)
        assert calibration_error(p, same, weights, bins=bins) == pytest.approx(expected, abs=1e-12)
    assert brier(p, same, weights) == pytest.approx(oracle.brier(p, same, weights))
    assert log_loss(p, same, weights) == pytest.approx(oracle.log_loss(p, same, weights))
    order = rng.permutation(400)
    assert calibration_error(p[order], same[order], weights[order]) == pytest.approx(
        calibration_error(p, same, weights)
    )


def test_they_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p, same = rng.uniform(0.01, 0.99, 300), rng.random(300) < 0.4
    assert brier(p, same) == pytest.approx(metrics.brier_score_loss(same, p))
    assert log_loss(p, same) == pytest.approx(metrics.log_loss(same, p))


def test_bins_hold_equally_many_pairs():
    p = np.linspace(0.01, 0.99, 150)
    found = reliability(p, p > 0.5)
    assert found.weight == pytest.approx(np.full(15, 1 / 15))
    assert calibration_error(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 1]), bins=2) == pytest.approx(0.2)
    assert calibration_error(np.array([1.0, 0.0]), np.array([1, 0])) == 0


def test_a_certain_mistake_has_no_finite_log_loss():
    assert log_loss(np.array([1.0]), np.array([False])) == math.inf
    assert log_loss(np.array([1.0, 0.5]), np.array([False, True]), np.array([0.0, 1.0])) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("p", "same", "weights", "message"),
    [
        ([], [], None, "must be equally many, one or more"),
        ([0.5], [1, 0], None, "must be equally many, one or more"),
        ([1.2], [1], None, "must be numbers from 0 to 1"),
        ([math.nan], [1], None, "must be numbers from 0 to 1"),
        ([0.5], [1], [0.0], "weights must be finite"),
        ([0.5], [1], [math.nan], "weights must be finite"),
    ],
)
def test_figures_of_no_probabilities_are_refused(p, same, weights, message):
    for figure in (calibration_error, brier, log_loss):
        with pytest.raises(EvaluationError, match=message):
            figure(np.array(p), np.array(same), None if weights is None else np.array(weights))


def test_calibrated_probabilities_hold_on_people_they_were_not_fitted_on():
    a, b = samples(4000, 60000, 400, seed=1, digits=6), samples(4000, 60000, 400, seed=2, digits=6)
    found = fit(*a, 400)
    x, y = np.concatenate([b[0], b[2]]), np.repeat([True, False], [4000, 60000])
    weights = np.where(y, 1 / 4000, 1 / 60000)
    assert calibration_error(probability(found(x), 0.5), y, weights) < 0.02


def test_blocks_whose_ratios_differ_in_the_last_bit_alone_do_not_fall() -> None:
    same = np.array([4, 4, 4, 2, 5, 4, 4]) / 6
    others = np.array([5, 0, 6, 4, 5, 4, 0]) / 6
    shares = SimilarityShares(np.arange(7) / 10, same / same.sum(), others / others.sum())
    similarity, log_ratio = shares.isotonic((-5.0, 5.0))
    assert (np.diff(similarity) > 0).all() and (np.diff(log_ratio) >= 0).all() and len(log_ratio) == 4


def test_a_ratio_that_no_data_bear_is_refused() -> None:
    with pytest.raises(EvaluationError, match="must be at most"):
        LikelihoodRatio("platt", np.array([-1.0, 1.0]), np.array([-1e308, 1e308]), 1, 1, 1)
