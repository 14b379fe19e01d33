"""Scores of a grouping against loops, scikit-learn and figures of TrackEval; a case by hand; what is refused."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.grouping import score_grouping
from tests.oracle import grouping as oracle


def drawn(seed: int) -> tuple[list[int], list[int]]:
    """Groups and pids of up to 9 entries, few enough for every one-to-one match."""
    draw = random.Random(seed)
    n, n_groups, n_people = draw.randint(1, 9), draw.randint(1, 6), draw.randint(1, 6)
    return [draw.randrange(n_groups) * 7 - 3 for _ in range(n)], [draw.randrange(n_people) * 5 for _ in range(n)]


@pytest.mark.parametrize("seed", range(60))
def test_every_score_is_that_of_the_loops(seed: int) -> None:
    groups, pids = drawn(seed)
    found = score_grouping(groups, pids)
    assert [found.precision, found.recall, found.f1] == pytest.approx(list(oracle.pairs(groups, pids)), nan_ok=True)
    bcubed = [found.bcubed_precision, found.bcubed_recall, found.bcubed_f1]
    assert bcubed == pytest.approx(list(oracle.bcubed(groups, pids)))
    assert found.over_merged == pytest.approx(oracle.over_merged(groups, pids))
    assert found.split == pytest.approx(oracle.over_merged(pids, groups))
    assert found.idf1 == pytest.approx(oracle.idf1(groups, pids))
    assert found.ari == pytest.approx(adjusted_rand_score(pids, groups))


def test_large_groupings_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    pids, groups = rng.integers(0, 300, 2000), rng.integers(0, 200, 2000)
    groups = np.where(rng.random(2000) < 0.7, pids, groups)
    assert score_grouping(groups, pids).ari == pytest.approx(adjusted_rand_score(pids, groups))


# TrackEval 1.3.0, metrics.Identity, with each entry as a time step of its own with one detection of similarity 1.
TRACKEVAL = (0.5, 0.6166666666666667, 0.55, 0.4666666666666667, 0.5833333333333334, 0.5333333333333333)


@pytest.mark.parametrize("seed", range(6))
def test_idf1_is_that_of_trackeval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pids, groups = (np.unique(rng.integers(0, k, 60), return_inverse=True)[1] for k in (12, 15))
    groups = np.where(rng.random(60) < 0.5, pids, groups)
    assert score_grouping(groups, pids).idf1 == pytest.approx(TRACKEVAL[seed])


def test_a_case_worked_by_hand() -> None:
    """Persons A A A B B C in groups 1 1 2 2 2 3: of 4 pairs put together 2 are right, of 4 right ones 2 are found."""
    found = score_grouping([1, 1, 2, 2, 2, 3], [10, 10, 10, 20, 20, 30])
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.bcubed_precision == pytest.approx((1 + 1 + 1 / 3 + 2 / 3 + 2 / 3 + 1) / 6)
    assert found.bcubed_recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6)
    assert (found.over_merged, found.split) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.idf1 == pytest.approx(5 / 6)  # A is 1, B is 2, C is 3; one of A is in 2
    assert (found.n_entries, found.n_people, found.n_groups, found.n_left_out) == (6, 3, 3, 0)


def test_the_right_grouping_scores_1_and_its_numbers_do_not_matter() -> None:
    pids = np.random.default_rng(1).integers(0, 5, 40)
    found = score_grouping(100 - pids, pids)
    assert [found.f1, found.ari, found.bcubed_f1, found.idf1] == [1, 1, 1, 1] and found.over_merged == found.split == 0


def test_unknown_people_are_left_out_and_counted() -> None:
    with_unknown = score_grouping([1, 1, 2, 1, 9], [5, 5, 6, -1, -1])
    without = score_grouping([1, 1, 2], [5, 5, 6])
    assert with_unknown.n_left_out == 2 and with_unknown.f1 == without.f1 == 1 and with_unknown.n_groups == 2


def test_entries_that_are_all_apart_have_no_precision() -> None:
    apart = score_grouping([1, 2, 3], [5, 5, 6])
    assert math.isnan(apart.precision) and apart.recall == 0 and apart.f1 == 0 and apart.split == 0.5
    alone = score_grouping([1], [5])
    assert math.isnan(alone.f1) and alone.ari == 1 and alone.idf1 == 1


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(EvaluationError) as refused:
        score_grouping([1, 2], [3])
    assert str(refused.value) == "groups and pids must be one each for each entry; got 2 and 1"
    with pytest.raises(EvaluationError) as refused:
        score_grouping([1, 2], [-1, -1])
    assert str(refused.value) == "a grouping needs entries of known people; got 2, none with a pid"
    with pytest.raises(EvaluationError, match="got 0, none with a pid"):
        score_grouping([], [])
