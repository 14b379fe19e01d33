"""Paired differences: worked by hand, and what may not be compared."""

import numpy as np
import pytest

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.intervals import bootstrap_interval, people_draws
from duskmatch.experiments.grids.comparison import LEVEL_Z, POWER_Z, compare, resampled
from tests.experiments.grids.cells import result


def test_a_row_that_finds_one_query_more_of_each_person_is_higher_without_doubt():
    a, b = result("a", 0, [2, 1, 2, 1]), result("b", 0, [1, 0, 1, 0])
    seen = compare({0: a}, {0: b}, "both", "rank1")
    assert seen is not None
    assert seen.difference == pytest.approx(0.5) and seen.low == pytest.approx(0.5) == seen.high
    assert seen.detectable == 0 and seen.verdict == "higher" and seen.seed_deviation is None
    assert compare({0: b}, {0: a}, "both", "rank1").verdict == "lower"


def test_a_row_against_itself_gets_no_verdict_above_zero():
    a = result("a", 0, [2, 0, 1])
    seen = compare({0: a}, {0: a}, "infrared_to_visible", "mAP")
    assert (seen.difference, seen.low, seen.high) == (0, 0, 0)


def test_two_people_worked_by_hand():
    # a finds all of person 1 and none of person 2, b the other way round: the difference of a draw of two people is
    # (draws of 1 - draws of 2) / 2, which is 1, 0 or -1 with chances 1/4, 1/2, 1/4: deviation sqrt(1/2)
    a, b = result("a", 0, [2, 0]), result("b", 0, [0, 2])
    seen = compare({0: a}, {0: b}, "infrared_to_visible", "rank1")
    assert seen.difference == 0
    assert seen.people_deviation == pytest.approx(0.5**0.5, abs=0.02)
    assert seen.detectable == pytest.approx((LEVEL_Z + POWER_Z) * seen.people_deviation)
    assert seen.verdict == "no verdict"


def test_seeds_add_their_own_spread():
    a = {0: result("a", 0, [2, 2]), 1: result("a", 1, [1, 1])}
    b = {0: result("b", 0, [1, 1]), 1: result("b", 1, [1, 1]), 2: result("b", 2, [2, 2])}
    seen = compare(a, b, "both", "rank1")
    assert seen.seeds == [0, 1]  # the third has no partner
    assert seen.difference == pytest.approx(0.25)  # 0.5 with seed 0, 0 with seed 1
    assert seen.seed_deviation == pytest.approx(0.5 / 2**0.5)
    assert seen.high - seen.difference == pytest.approx(LEVEL_Z * seen.seed_deviation / 2**0.5)
    assert seen.verdict == "no verdict"


def test_without_a_common_seed_there_is_no_difference():
    assert compare({0: result("a", 0, [1])}, {1: result("b", 1, [1])}, "both", "rank1") is None


def test_resampled_people_are_those_of_the_printed_intervals():
    people = result("a", 0, [2, 0, 1, 2, 0]).people["infrared_to_visible"]
    values = np.repeat([1.0, 0.0, 0.5, 1.0, 0.0], 2)
    low, high = bootstrap_interval(values, np.repeat(np.arange(5), 2))
    assert np.quantile(resampled(people, "rank1"), [0.025, 0.975]) == pytest.approx([low, high])
    assert people_draws(5).sum(axis=1).tolist() == [5] * len(people_draws(5))


def test_other_people_cannot_be_paired():
    a, b = result("a", 0, [1, 1]), result("b", 0, [1, 1], first_pid=7)
    with pytest.raises(EvaluationError) as error:
        compare({0: a}, {0: b}, "both", "rank1")
    assert str(error.value) == (
        "rows a and b must be scored on the same people to be compared; infrared_to_visible has 2 and 2 people with "
        "4 and 4 queries"
    )
