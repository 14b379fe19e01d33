"""What linking knows of entries: who was seen at the same time, and the sums of log ratios between groups."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.gallery.linking import seen as room
from duskmatch.gallery.linking.seen import Seen, log_ratios, simultaneous, totals
from duskmatch.records import MODALITIES
from tests.gallery.linking_cases import calibration
from tests.gallery.making import unit


def seen(times: list[tuple[float, float]]) -> Seen:
    """Entries of one camera, clock and modality."""
    n = len(times)
    begin, end = np.array(times, np.float64).reshape(n, 2).T
    zeros = np.zeros(n, np.int64)
    return Seen(np.arange(1, n + 1), unit(n), zeros.astype(np.int8), zeros + 1, begin, end, zeros)


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [
        ((0, 5), (4, 9), True),
        ((0, 5), (5, 9), False),  # a tracker has lost a person and found it again
        ((0, 5), (6, 9), False),
        ((0, 9), (3, 4), True),
        ((3, 3), (0, 9), True),  # one frame, within
        ((5, 5), (5, 5), True),
        ((5, 5), (5, 9), True),
        ((0, 5), (5, 5), False),
        ((0, float("nan")), (0, 9), False),
    ],
)
def test_times_overlap_in_either_order(a: tuple[float, float], b: tuple[float, float], together: bool) -> None:
    for both in ([a, b], [b, a]):
        assert [(i, others.tolist()) for i, others in simultaneous(seen(both))] == ([(0, [1])] if together else [])


def test_every_later_entry_that_overlaps_is_named() -> None:
    found = {i: others.tolist() for i, others in simultaneous(seen([(0, 9), (1, 2), (2, 3), (8, 12)]))}
    assert found == {0: [1, 2, 3]}


def test_sums_between_groups_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BLOCK", 7)
    n, rng = 40, np.random.default_rng(0)
    modality = rng.integers(0, 2, n).astype(np.int8)
    zeros = np.zeros(n, np.int64)
    entries = Seen(np.arange(n), unit(n), modality, zeros, zeros * np.nan, zeros * np.nan, zeros)
    ratio = calibration(slope=7.0)
    group = np.unique(rng.integers(0, 12, n), return_inverse=True)[1].astype(np.int64)
    barred = [(0, np.array([5, 9]))]
    found = totals(entries, group, int(group.max()) + 1, ratio, iter(barred))
    pairs = log_ratios(entries, entries, ratio)
    for i in range(n):
        for j in range(n):
            a, b = MODALITIES[modality[i]], MODALITIES[modality[j]]
            cosine = entries.vectors[i].astype(float) @ entries.vectors[j].astype(float)
            assert pairs[i, j] == pytest.approx(ratio.log_ratio(np.array(cosine), a, b), abs=2e-5)
    apart = {tuple(sorted((group[0], group[j]))) for j in (5, 9)}
    for g in range(len(found)):
        for h in range(g + 1, len(found)):
            expected = pairs[np.ix_(group == g, group == h)].sum()
            assert found[g, h] == found[h, g] == (-np.inf if (g, h) in apart else expected)
