"""Student's t against its printed tables, an independent library, and its limits."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from duskmatch.experiments.grids.comparison import UPPER
from duskmatch.experiments.grids.student import below, t_quantile, two_sources


@pytest.mark.parametrize(
    ("degrees", "upper", "power"),
    [(1, 12.7062, 1.37638), (2, 4.30265, 1.06066), (5, 2.57058, 0.919544), (30, 2.04227, 0.853767)],
)
def test_the_values_of_the_printed_tables(degrees, upper, power):
    assert t_quantile(0.975, degrees) == pytest.approx(upper, rel=1e-5)
    assert t_quantile(0.8, degrees) == pytest.approx(power, rel=1e-5)


@pytest.mark.parametrize("degrees", [1, 1.01, 1.5, 2.7, 7.3, 33.3, 1e3, 123456.7])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.8, 0.975, 0.999])
def test_whole_and_broken_degrees_as_scipy_has_them(degrees, share):
    assert t_quantile(share, degrees) == pytest.approx(stats.t.ppf(share, degrees), rel=1e-6, abs=1e-12)


def test_between_one_and_infinitely_many_degrees():
    assert t_quantile(0.75, 1) == pytest.approx(1.0)  # the Cauchy distribution
    falling = [t_quantile(UPPER, degrees) for degrees in (1, 1.5, 2, 2.5, 10, 999.5, 1e6, 1e7, math.inf)]
    assert falling == sorted(falling, reverse=True) and len(set(falling)) >= 8
    assert falling[-1] == NormalDist().inv_cdf(UPPER) == pytest.approx(falling[-3], abs=1e-5)
    assert below(0, 3.3) == 0.5


@pytest.mark.parametrize(("share", "degrees"), [(0.4, 3), (1.0, 3), (0.9, 0.5), (math.nan, 3), (0.9, math.nan)])
def test_what_has_no_quantile_is_refused(share, degrees):
    with pytest.raises(ValueError, match="t_quantile needs a share"):
        t_quantile(share, degrees)


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
        missed += abs(row.mean()) > t_quantile(UPPER, degrees) * deviation
    assert 0.03 < missed / len(values) < 0.08


def test_people_and_two_seeds_together_miss_more_often_but_seldom_reach_a_verdict():
    # two seeds that lie close by luck let the people's share look like all there is
    numbers = np.random.default_rng(7)
    missed = judged = 0
    for _ in range(1000):
        per_seed, people = numbers.normal(size=2), 0.3 / 2**0.5
        deviation, degrees = two_sources(people, float(per_seed.std(ddof=1)), 2)
        off = abs(per_seed.mean() + people * numbers.normal())
        reach = t_quantile(UPPER, round(degrees, 2)) * deviation
        missed += off > reach
        judged += off >= reach + t_quantile(0.8, round(degrees, 2)) * deviation
    assert 0.08 < missed / 1000 < 0.16 and judged < missed and judged / 1000 < 0.11
