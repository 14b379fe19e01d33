"""The shift and its intervals: by hand, against loops, paired, and refused where it means nothing."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.intervals import RESAMPLES
from duskmatch.experiments.counterfactual.results import shift as shift_figures
from duskmatch.experiments.counterfactual.shift import Measured, mean_distance, same_person, shifts, yardsticks
from duskmatch.records import Embeddings


def made(vectors, pids, modality="visible"):
    n = len(vectors)
    words = [modality] * n if isinstance(modality, str) else modality
    return Embeddings(np.array(vectors, np.float32), np.array(pids), np.arange(n), words)


def test_distances_between_people_and_walks_of_one_person_by_hand():
    """East and north are one person's, west another's; lengths do not matter."""
    unchanged = made([[3, 0], [0, 0.5], [-2, 0]], [1, 1, 2])
    assert yardsticks(unchanged) == {"visible": pytest.approx((2 + sqrt(2)) / 2, abs=1e-6)}
    own = same_person(unchanged, {"visible": 2.0})
    assert own == {"visible": pytest.approx(sqrt(2) / 2, abs=1e-6)}


def test_shifts_by_hand_each_on_its_modalitys_scale():
    unchanged = made([[1, 0], [1, 0], [0, 1]], [1, 2, 1], ["visible", "infrared", "infrared"])
    changed = made([[0, 5], [-1, 0], [0, 2]], [1, 2, 1], ["visible", "infrared", "infrared"])
    found = shifts(changed, unchanged, {"visible": 0.5, "infrared": 4.0})
    assert found == pytest.approx([sqrt(2) / 0.5, 2 / 4.0, 0.0], abs=1e-6)


def test_what_did_not_change_is_exactly_0():
    unchanged = made(np.random.default_rng(0).standard_normal((40, 16)), np.arange(40) % 7)
    assert (shifts(unchanged, unchanged, yardsticks(unchanged)) == 0).all()


@pytest.mark.parametrize("same", [True, False])
def test_mean_distance_is_that_of_a_loop_over_pairs(same, monkeypatch):
    monkeypatch.setattr("duskmatch.experiments.counterfactual.shift.BLOCK_ROWS", 7)  # blocks that end inside the list
    rng = np.random.default_rng(1)
    vectors, pids = rng.standard_normal((31, 8)), rng.integers(0, 5, 31)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = [
        np.linalg.norm(vectors[i] - vectors[j])
        for i in range(31)
        for j in range(31)
        if i != j and (pids[i] == pids[j]) == same
    ]
    assert mean_distance(vectors, pids, same_person=same) == pytest.approx(np.mean(apart), abs=1e-12)


def test_no_pair_has_no_distance():
    assert mean_distance(np.eye(2), np.array([1, 2]), same_person=True) is None
    assert same_person(made(np.eye(2), [1, 2]), {"visible": 1.0}) == {}


@pytest.mark.parametrize(("vectors", "pids"), [(np.eye(2), [1, 1]), (np.ones((2, 7)), [1, 2])])
def test_a_single_person_and_a_collapsed_network_are_refused(vectors, pids):
    message = (
        r"^different people's infrared embeddings must differ, since shifts are measured in their mean distance; it is "
        r"(0|\d(\.\d+)?e-\d\d); the network has collapsed, or there is only one person$"
    )
    with pytest.raises(EvaluationError, match=message):
        yardsticks(made(vectors, pids, "infrared"))


def measured(values, pids, infrared):
    return Measured({}, np.array(values, float), np.array(pids), np.array(infrared))


def test_intervals_of_two_people_by_hand():
    """Draws of two people are AA, AB, BB: a quarter, a half, a quarter: the interval is from one to the other."""
    one = measured([0.2, 0.4, 0.8], [1, 1, 2], [True, False, True])
    found = shift_figures(one, 0)
    assert found.all.value == pytest.approx(1.4 / 3)
    assert found.all.interval == pytest.approx((0.3, 0.8))
    assert found.infrared.interval == pytest.approx((0.2, 0.8))
    assert (found.visible.value, *found.visible.interval) == pytest.approx((0.4, 0.4, 0.4))


def test_differences_are_paired():
    """Two RUNs that differ by the same step for everybody: each is uncertain, their difference is not."""
    one = measured([0.2, 0.4, 0.8], [1, 1, 2], [True, False, True])
    other = measured([0.3, 0.5, 0.9], [1, 1, 2], [True, False, True])
    found = shift_figures(other, 0, minus=one)
    assert found.all.value == pytest.approx(0.1)
    assert found.all.interval == pytest.approx((0.1, 0.1))


def test_the_paired_interval_is_that_of_a_loop_over_the_same_people():
    rng = np.random.default_rng(3)
    pids, infrared = np.repeat(np.arange(6), 4), np.tile([True, False], 12)
    one, other = (measured(rng.random(24), pids, infrared) for _ in range(2))
    draws = np.random.Generator(np.random.Philox(9)).multinomial(6, [1 / 6] * 6, RESAMPLES)
    means = []
    for draw in draws:
        rows = [i for pid, times in enumerate(draw) for _ in range(times) for i in np.flatnonzero(pids == pid)]
        means.append(other.shift[rows].mean() - one.shift[rows].mean())
    found = shift_figures(other, 9, minus=one)
    assert found.all.interval == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-12)
    assert found.all.value == pytest.approx(other.shift.mean() - one.shift.mean())


def test_a_modality_nobody_was_filmed_in_is_null():
    found = shift_figures(measured([0.1], [1], [True]), 0)
    assert found.visible is None and found.infrared is not None
