"""Paired differences: worked by hand, and what may not be compared."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.intervals import bootstrap_interval, people_draws
from duskmatch.experiments.grids.cells import People
from duskmatch.experiments.grids.comparison import (
    POWER,
    UPPER,
    Scored,
    compare,
    people_deviation,
    resampled,
    two_sources,
)
from duskmatch.records import DIRECTIONS
from tests.experiments.grids.cells import result

NAMES = ("a", "b")
NORMAL = NormalDist().inv_cdf(UPPER), NormalDist().inv_cdf(POWER)


def scored(hits, **more):
    """Both directions of a cell made by hand."""
    cell = result("row", 0, hits, **more)
    return {d: Scored(cell.directions[d].rank1, cell.directions[d].mAP, cell.people[d]) for d in DIRECTIONS}


def precise(values):
    """Two people of one query each, in both directions, whose precision is the value."""
    pair = [Scored(0.0, value, People(pids=[1, 2], n=[1, 1], hits=[0, 0], precision=[value] * 2)) for value in values]
    return dict(zip(DIRECTIONS, pair, strict=True))


def test_a_row_that_finds_one_query_more_of_each_person_is_higher_without_doubt():
    a, b = ({seed: scored(hits) for seed in (0, 1)} for hits in ([2, 1, 2, 1], [1, 0, 1, 0]))
    seen = compare(a, b, "both", "rank1", names=NAMES)
    assert seen is not None
    assert seen.difference == pytest.approx(0.5) and seen.low == pytest.approx(0.5) == seen.high
    assert seen.detectable == 0 and seen.verdict == "higher" and seen.seed_deviation == 0
    assert compare(b, a, "both", "rank1", names=NAMES).verdict == "lower"


def test_one_seed_says_so_in_its_verdict():
    a, b = {0: scored([2, 1, 2, 1])}, {0: scored([1, 0, 1, 0])}
    seen = compare(a, b, "both", "rank1", names=NAMES)
    assert seen.verdict == "higher, one seed" and seen.seed_deviation is None and seen.degrees is None
    assert compare(b, a, "both", "rank1", names=NAMES).verdict == "lower, one seed"


@pytest.mark.parametrize("hits", [[2, 0, 1], [2, 2, 2]])
def test_a_row_against_itself_gets_no_verdict(hits):
    a = {0: scored(hits), 1: scored(hits)}
    seen = compare(a, a, "infrared_to_visible", "mAP", names=NAMES)
    assert (seen.difference, seen.low, seen.high, seen.detectable) == (0, 0, 0, 0)
    assert seen.verdict == "no verdict"


def test_one_person_tells_nothing_but_the_difference():
    a, b = ({0: scored([hits]), 1: scored([hits])} for hits in (2, 0))
    seen = compare(a, b, "both", "rank1", names=NAMES)
    assert seen.difference == 1 and seen.verdict == "no verdict"
    assert (seen.low, seen.high, seen.people_deviation, seen.detectable) == (None, None, None, None)


def test_two_people_worked_by_hand():
    # a finds all of person 1 and none of person 2, b the other way round: the difference of a draw of two people is
    # (draws of 1 - draws of 2) / 2, which is 1, 0 or -1 with chances 1/4, 1/2, 1/4: deviation sqrt(1/2)
    seen = compare({0: scored([2, 0])}, {0: scored([0, 2])}, "infrared_to_visible", "rank1", names=NAMES)
    assert seen.difference == 0
    assert seen.people_deviation == pytest.approx(0.5**0.5, abs=0.02)
    assert seen.high == pytest.approx(NORMAL[0] * seen.people_deviation) == -seen.low
    assert seen.detectable == pytest.approx(sum(NORMAL) * seen.people_deviation)
    assert seen.verdict == "no verdict"


def test_seeds_add_their_own_spread():
    a = {0: scored([2, 2]), 1: scored([1, 1])}
    b = {0: scored([1, 1]), 1: scored([1, 1]), 2: scored([2, 2])}
    seen = compare(a, b, "both", "rank1", names=NAMES)
    assert seen.seeds == [0, 1]  # the third has no partner
    assert seen.difference == pytest.approx(0.25)  # 0.5 with seed 0, 0 with seed 1
    assert seen.seed_deviation == pytest.approx(0.5 / 2**0.5)
    assert seen.degrees == 1  # all of it is between two seeds
    assert seen.high - seen.difference == pytest.approx(12.7062 * seen.seed_deviation / 2**0.5, rel=1e-5)
    assert seen.detectable == pytest.approx((12.7062 + 1.37638) * 0.25, rel=1e-5)
    assert seen.verdict == "no verdict"


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_without_a_true_difference_a_few_seeds_seldom_say_otherwise(n_seeds):
    numbers = np.random.default_rng(11)
    reference = {seed: precise([0.5, 0.5]) for seed in range(n_seeds)}
    missed, judged, n = 0, 0, 300
    for _ in range(n):
        row = {seed: precise([value] * 2) for seed, value in enumerate(numbers.normal(0.5, 0.05, n_seeds))}
        seen = compare(row, reference, "infrared_to_visible", "mAP", names=NAMES)
        missed += not seen.low <= 0 <= seen.high
        judged += seen.verdict != "no verdict"
    assert 0 < missed / n <= 0.08 and judged <= missed


def test_without_a_common_seed_there_is_no_difference():
    assert compare({0: scored([1])}, {1: scored([1])}, "both", "rank1", names=NAMES) is None


def test_resampled_people_are_those_of_the_printed_intervals():
    people = scored([2, 0, 1, 2, 0])["infrared_to_visible"].people
    values = np.repeat([1.0, 0.0, 0.5, 1.0, 0.0], 2)
    low, high = bootstrap_interval(values, np.repeat(np.arange(5), 2))
    again = resampled(people, "rank1", np.array(people.pids), people_draws(5))
    assert np.quantile(again, [0.025, 0.975]) == pytest.approx([low, high])
    assert people_draws(5).sum(axis=1).tolist() == [5] * len(people_draws(5))


def deviation_of(first, second):
    """Of the mean of two directions, each given as (pids, hits of one query each), against a row that finds nothing."""
    pairs = []
    for pids, hits in (first, second):
        one, none = (
            People(pids=list(pids), n=[1] * len(pids), hits=h, precision=[0.0] * len(pids))
            for h in (list(hits), [0] * len(pids))
        )
        pairs.append((Scored(0.0, 0.0, one), Scored(0.0, 0.0, none)))
    return people_deviation(pairs, "rank1")


def test_a_person_is_drawn_once_for_both_directions():
    hits = np.random.default_rng(3).integers(0, 2, 50)
    all_of_them = deviation_of((range(50), hits), (range(50), hits))
    one_missing = deviation_of((range(50), hits), (range(49), hits[:49]))
    assert one_missing == pytest.approx(all_of_them, rel=0.05)  # as if independent, it would be smaller by sqrt(2)
    disjoint = deviation_of((range(50), hits), (range(50, 100), hits))
    assert disjoint == pytest.approx(all_of_them / 2**0.5, rel=0.1)


def test_draws_without_anyone_of_a_direction_are_left_out():
    assert deviation_of(([1, 2], [1, 0]), ([3, 4], [1, 0])) == pytest.approx(0.3, abs=0.1)
    assert deviation_of(([1], [1]), ([3, 4], [1, 0])) is None


def test_other_people_cannot_be_paired():
    with pytest.raises(EvaluationError) as error:
        compare({0: scored([1, 1])}, {0: scored([1, 1], first_pid=7)}, "both", "rank1", names=NAMES)
    assert str(error.value) == (
        "rows a and b must be scored on the same people to be compared; infrared_to_visible has 2 and 2 people with "
        "4 and 4 queries"
    )


def test_two_sources_worked_by_hand():
    assert two_sources(3.0, 0.0, 2) == (3.0, math.inf)
    assert two_sources(3.0, 0.0, 1) == (3.0, math.inf)
    assert two_sources(0.0, 6.0, 4) == (3.0, 3.0)  # 36 / 4; the seeds' own degrees
    deviation, degrees = two_sources(3.0, 8.0, 4)  # 9 + 16; (25 / 16)^2 of 3
    assert deviation == 5.0 and degrees == pytest.approx(3 * (25 / 16) ** 2)


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_seed_spread_alone_misses_nothing_in_one_of_twenty(n_seeds):
    values = np.random.default_rng(5).normal(size=(2000, n_seeds))
    missed = 0
    for row in values:
        deviation, degrees = two_sources(0.0, float(row.std(ddof=1)), n_seeds)
        missed += abs(row.mean()) > stats.t.ppf(UPPER, degrees) * deviation
    assert 0.03 < missed / len(values) < 0.08


def test_people_and_two_seeds_together_miss_more_often_but_seldom_reach_a_verdict():
    # two seeds that lie close by luck let the people's share look like all there is
    numbers = np.random.default_rng(7)
    missed = judged = 0
    for _ in range(1000):
        per_seed, people = numbers.normal(size=2), 0.3 / 2**0.5
        deviation, degrees = two_sources(people, float(per_seed.std(ddof=1)), 2)
        off = abs(per_seed.mean() + people * numbers.normal())
        reach = stats.t.ppf(UPPER, degrees) * deviation
        missed += off > reach
        judged += off >= reach + stats.t.ppf(POWER, degrees) * deviation
    assert 0.08 < missed / 1000 < 0.16 and judged < missed and judged / 1000 < 0.11
