"""Bootstrap intervals: against a loop, their width against theory, and people as the unit."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.evaluation import bootstrap_interval
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
