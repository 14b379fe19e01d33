"""Balanced accuracy over strata and its intervals, and the share of variance between people, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from duskmatch.evaluation.intervals import RESAMPLES
from duskmatch.experiments.probes.accuracy import Predicted, recalls, scatter


def stratum(seed: int, n_classes: int = 3, n: int = 60) -> Predicted:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    return Predicted(labels, np.where(rng.random(n) < 0.6, labels, rng.integers(0, n_classes, n)), np.arange(n) % 10)


def draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).multinomial(n, [1 / n] * n, RESAMPLES)


def again(one: Predicted, draw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stratum's rows with each person as often as drawn."""
    rows = [i for pid, times in enumerate(draw) for _ in range(times) for i in np.flatnonzero(one.pids == pid)]
    return one.labels[rows], one.predicted[rows]


def test_one_stratum_is_scikit_learns_balanced_accuracy() -> None:
    one = stratum(0)
    assert recalls([one]).value == pytest.approx(balanced_accuracy_score(one.labels, one.predicted))


def test_strata_weigh_alike_whatever_their_size() -> None:
    parts = [stratum(1, n=30), stratum(2, n_classes=2, n=90)]
    means = [balanced_accuracy_score(one.labels, one.predicted) for one in parts]
    assert recalls(parts).value == pytest.approx(np.mean(means))


def test_the_interval_equals_a_loop_over_the_same_draws() -> None:
    parts = [stratum(3), stratum(4, n_classes=2)]
    found = []
    for draw in draws(10, seed=6):
        sides = [again(one, draw) for one in parts]
        found.append(np.mean([balanced_accuracy_score(labels, told) for labels, told in sides]))
    assert recalls(parts).interval(seed=6) == pytest.approx(np.quantile(found, [0.025, 0.975]))


def test_a_difference_resamples_both_sides_alike() -> None:
    a, b = stratum(5), stratum(5)
    assert recalls([a]).minus(recalls([b])).model_dump() == {"value": 0.0, "low": 0.0, "high": 0.0}
    better = Predicted(a.labels, a.labels, a.pids)
    gain = recalls([better]).minus(recalls([a]))
    loss = recalls([a]).minus(recalls([better]))
    assert gain.value == pytest.approx(1 - recalls([a]).value) and 0 < gain.low < gain.value < gain.high
    assert (loss.value, loss.low, loss.high) == pytest.approx((-gain.value, -gain.high, -gain.low))


def test_everything_right_is_one_with_a_point_for_an_interval() -> None:
    labels = np.array([0, 0, 1, 2])
    found = recalls([Predicted(labels, labels, np.array([1, 2, 1, 2]))])
    assert found.value == 1.0 and found.interval() == (1.0, 1.0)


def between(vectors: np.ndarray, pids: np.ndarray) -> float:
    """Trace of the scatter between people over the whole, as it reads."""
    middle = vectors.mean(axis=0)
    whole = sum(((x - middle) ** 2).sum() for x in vectors)
    of_people = [((vectors[pids == pid].mean(axis=0) - middle) ** 2).sum() for pid in pids]
    return float(sum(of_people) / whole)


def test_variance_between_people_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    pids = rng.integers(0, 8, 50)
    vectors = 5 + rng.standard_normal((8, 4))[pids] + rng.standard_normal((50, 4))
    found = scatter(vectors, pids)
    assert found.value == pytest.approx(between(vectors, pids))
    shares = []
    for draw in draws(8):
        rows = [(pid, copy) for pid, times in enumerate(draw) for copy in range(times)]
        parts = [(vectors[pids == pid], np.full((pids == pid).sum(), place)) for place, (pid, _) in enumerate(rows)]
        shares.append(between(*(np.concatenate(part) for part in zip(*parts, strict=True))))
    assert found.interval() == pytest.approx(np.quantile(shares, [0.025, 0.975]))


def test_variance_between_people_by_hand_and_at_its_ends() -> None:
    pids = np.array([1, 1, 2, 2])
    assert scatter(np.array([[0.0], [2.0], [4.0], [6.0]]), pids).value == pytest.approx(16 / 20)
    assert scatter(np.array([[1.0], [1.0], [4.0], [4.0]]), pids).value == pytest.approx(1)
    assert scatter(np.array([[1.0], [4.0], [1.0], [4.0]]), pids).value == pytest.approx(0)
    assert scatter(np.ones((4, 2)), pids).value == 0  # nothing varies


def test_vectors_that_know_nothing_of_people_have_the_share_of_chance() -> None:
    rng = np.random.default_rng(1)
    found = [scatter(rng.standard_normal((60, 20)), np.arange(60) % 10) for _ in range(40)]
    assert np.mean([one.value for one in found]) == pytest.approx(found[0].chance, rel=0.03)
    assert found[0].chance == pytest.approx(9 / 59)
