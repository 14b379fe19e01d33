"""Bootstrap intervals: against a loop, their width against theory, people as the unit; differences of two sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import bootstrap_interval, paired_interval
from duskmatch.evaluation.intervals import RESAMPLES


def test_the_interval_equals_a_loop_over_the_same_draws():
    rng = np.random.default_rng(0)
    values, pids = rng.random(60), rng.integers(0, 9, 60)
    people = np.unique(pids)
    draws = np.random.Generator(np.random.Philox(7)).multinomial(
        len(people), [1 / len(people)] * len(people), RESAMPLES
    )
    means = []
    for draw in draws:
        drawn = [v for pid, times in zip(people, draw, strict=True) for _ in range(times) for v in values[pids == pid]]
        means.append(np.mean(drawn))
    assert bootstrap_interval(values, pids, seed=7) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-12)


def test_the_width_is_that_of_a_mean_over_people():
    values = (np.random.default_rng(1).random(400) < 0.3).astype(float)
    low, high = bootstrap_interval(values, np.arange(400))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    # Ten copies of each person's one answer tell no more than the answer itself.
    again = bootstrap_interval(np.repeat(values, 10), np.repeat(np.arange(400), 10))
    assert again == pytest.approx((low, high))


def test_seeds_repeat_and_differ_and_one_person_is_a_point():
    values, pids = np.random.default_rng(2).random(30), np.arange(30) % 10
    assert bootstrap_interval(values, pids, seed=1) == bootstrap_interval(values, pids, seed=1)
    assert bootstrap_interval(values, pids, seed=1) != bootstrap_interval(values, pids, seed=2)
    assert bootstrap_interval(np.array([1.0, 0.0]), np.array([4, 4])) == (0.5, 0.5)


def test_a_difference_of_two_people_by_hand():
    # Person 1 gains 1 on both queries, person 2 nothing. Two people drawn of two: the difference is 0 in a quarter of
    # all draws, 1/2 in a half, 1 in a quarter, so the middle 95 % reach from 0 to 1.
    a, b, pids = np.array([1.0, 1.0, 0.0, 0.0]), np.zeros(4), np.array([1, 1, 2, 2])
    assert paired_interval(a, b, pids) == (0.5, 0.0, 1.0)


def test_both_sides_are_resampled_with_the_same_people():
    # Everybody gains a tenth, whatever they had: the sides vary with the people drawn, their difference does not.
    b = np.random.default_rng(0).random(60)
    pids = np.repeat(np.arange(12), 5)
    low, high = bootstrap_interval(b, pids)
    assert high - low > 0.05
    assert paired_interval(b + 0.1, b, pids) == pytest.approx((0.1, 0.1, 0.1))


def test_the_difference_equals_a_loop_that_draws_people_for_both_sides():
    rng = np.random.default_rng(3)
    a, b, pids = rng.random(40), rng.random(40), rng.integers(0, 7, 40)
    people = np.unique(pids)
    generator = np.random.Generator(np.random.Philox(5))
    gaps = []
    for draw in generator.multinomial(len(people), [1 / len(people)] * len(people), RESAMPLES):
        rows = [i for pid, n in zip(people, draw, strict=True) for _ in range(n) for i in np.flatnonzero(pids == pid)]
        gaps.append(a[rows].mean() - b[rows].mean())
    expected = (a.mean() - b.mean(), *np.quantile(gaps, [0.025, 0.975]))
    assert paired_interval(a, b, pids, seed=5) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_turned_round_the_difference_changes_its_sign(rows):
    a, b, pids = (np.array(column) for column in zip(*rows, strict=True))
    difference, low, high = paired_interval(a, b, pids)
    assert low - 1e-12 <= high <= 1 and low >= -1
    assert paired_interval(b, a, pids) == pytest.approx((-difference, -high, -low), abs=1e-12)
    assert paired_interval(a, a, pids) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("a", "b", "pids", "message"),
    [
        (
            [1.0, 0.0], [1.0], [1, 2],
            "a paired interval needs two values and a pid for each query, of one query or more; got 2 and 1 values and "
            "2 pids; score both sides on the same queries",
        ),
        (
            [], [], [],
            "a paired interval needs two values and a pid for each query, of one query or more; got 0 and 0 values and "
            "0 pids; score both sides on the same queries",
        ),
        ([1.0, 0.5], [0.0, np.nan], [1, 2],
         "a paired interval needs finite values; row 1 has 0.5 and nan; leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_is_refused(a, b, pids, message):
    with pytest.raises(EvaluationError) as caught:
        paired_interval(np.array(a, float), np.array(b, float), np.array(pids, np.int64))
    assert str(caught.value) == message
