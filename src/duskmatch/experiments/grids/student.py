"""Student's t: how many deviations an interval reaches where a few seeds must show their own spread."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

NEARLY_NORMAL = 1e6  # degrees of freedom above which t and the normal distribution agree to six digits
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


@lru_cache
def t_quantile(share: float, degrees: float) -> float:
    """The t below which lies `share` (0.5 to 1) of the distribution with `degrees` of freedom, 1 to infinity."""
    if not (0.5 <= share < 1 and degrees >= 1):
        raise ValueError(f"t_quantile needs a share from 0.5 to 1 and a degree of freedom or more: {share}, {degrees}")
    if degrees > NEARLY_NORMAL:
        return NormalDist().inv_cdf(share)
    low, high = 0.0, 1.0
    while below(high, degrees) < share:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if below(middle, degrees) < share else (low, middle)
    return high


def below(t: float, degrees: float) -> float:
    """The share of the distribution below t, which is not negative.

    Source: with t = sqrt(degrees) tan(u) the density is cos(u)^(degrees - 1) / B(1/2, degrees/2), smooth from 0 to u.
    """
    end = math.atan(t / math.sqrt(degrees))
    area = end / 2 * float(WEIGHTS @ np.cos(end / 2 * (1 + NODES)) ** (degrees - 1))
    log_beta = math.lgamma(0.5) + math.lgamma(degrees / 2) - math.lgamma((degrees + 1) / 2)
    return 0.5 + area / math.exp(log_beta)


def two_sources(people: float, between: float, n_seeds: int) -> tuple[float, float]:
    """(deviation, degrees of freedom) of a mean over seeds.

    people: the deviation that other people would bring, known well; between: that of the n_seeds values themselves.
    Source: Welch and Satterthwaite; the people's part has infinite degrees of freedom, the seeds' n_seeds - 1.
    """
    seeds = between * between / n_seeds
    variance = people * people + seeds
    ratio = variance / seeds if seeds else math.inf
    return math.sqrt(variance), ratio * ratio * (n_seeds - 1) if n_seeds > 1 else math.inf
