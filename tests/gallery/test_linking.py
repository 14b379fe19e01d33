"""Average linkage with constraints against its definition: no chains, nobody together who is barred."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.errors import GalleryError
from duskmatch.gallery.linking.linkage import Grouping, link, rounded
from duskmatch.gallery.linking.numbering import kept_numbers
from tests.oracle import linking as oracle

APART = -np.inf


def as_groups(grouping: Grouping, groups: list[list[int]]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for person, group in zip(grouping.person.tolist(), groups, strict=True):
        found.setdefault(person, []).extend(group)
    return sorted(sorted(members) for members in found.values())


def totals(ratio: np.ndarray, groups: list[list[int]], barred: set[tuple[int, int]]) -> np.ndarray:
    found = np.zeros((len(groups), len(groups)))
    for a, mine in enumerate(groups):
        for b, theirs in enumerate(groups):
            pairs = [(min(i, j), max(i, j)) for i in mine for j in theirs]
            found[a, b] = APART if a != b and barred & set(pairs) else sum(ratio[i][j] for i, j in pairs)
    return found


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], set[tuple[int, int]], float, float | None]:
    """Ratios with many ties or none, entries that begin together, barred pairs, a margin and a prior."""
    n = draw(st.integers(0, 11))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from((1, 2, 5)))
    ratio = rng.integers(-size, size + 2, (n, n)).astype(float) if draw(st.booleans()) else rng.normal(0, 4, (n, n))
    ratio = rounded(np.triu(ratio, 1) + np.triu(ratio, 1).T)
    together = draw(st.sampled_from((0, 0, 3)))
    first = np.arange(n) if not together else np.minimum(np.arange(n), rng.integers(0, n + together, n))
    groups = [np.flatnonzero(first == g).tolist() for g in np.unique(first)]
    share = draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    barred = {(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < share and first[i] != first[j]}
    return ratio, groups, barred, draw(st.sampled_from((-3.0, 0.0, 0.5, 2.0))), draw(st.sampled_from((None, 0.5, 0.01)))


@given(problems())
@settings(max_examples=300, deadline=None)
def test_linking_is_the_loop(
    problem: tuple[np.ndarray, list[list[int]], set[tuple[int, int]], float, float | None],
) -> None:
    ratio, groups, barred, margin, prior = problem
    found = link(totals(ratio, groups, barred), np.array([len(g) for g in groups]), margin=margin, prior=prior)
    odds = None if prior is None else math.log(prior / (1 - prior))
    assert as_groups(found, groups) == oracle.link(ratio, groups, barred, margin, odds)
    people = as_groups(found, groups)
    begun = {(min(i, j), max(i, j)) for g in groups for i in g for j in g}
    assert not any((i, j) in barred and (i, j) not in begun for one in people for i in one for j in one if i < j)


def test_one_strong_pair_does_not_chain_two_people() -> None:
    """Single linkage would make one person of all six."""
    ratio = np.full((6, 6), -4.0)
    ratio[:3, :3] = ratio[3:, 3:] = 8.0
    ratio[2, 3] = ratio[3, 2] = 9.0  # stronger than any other pair
    ratio[1, 3] = ratio[3, 1] = -30.0
    assert link(ratio, np.ones(6, int), prior=0.5).n_people > 1


def test_a_barred_pair_keeps_whole_groups_apart() -> None:
    ratio = np.full((3, 3), 5.0)
    ratio[0, 2] = ratio[2, 0] = APART
    found = link(ratio, np.ones(3, int), prior=0.5)
    assert found.person.tolist() == [0, 0, 1]


def test_the_prior_is_by_the_people_that_are_left() -> None:
    """Two pairs of ratio 2 among 4 entries: 2 people have prior odds 1/2, and ln 2 < 2, so both pairs are linked."""
    ratio = np.full((4, 4), -50.0)
    ratio[0, 1] = ratio[1, 0] = ratio[2, 3] = ratio[3, 2] = 1.0
    found = link(ratio.copy(), np.ones(4, int), margin=0.0)
    assert found.person.tolist() == [0, 0, 1, 1] and found.log_prior_odds == -math.log(2)
    assert link(ratio.copy(), np.ones(4, int), margin=0.5).n_people == 4  # ln 2 + 0.5 > 1
    assert link(ratio.copy(), np.ones(4, int), margin=0.0, prior=0.1).n_people == 4


def test_equal_ratios_are_linked_by_row_and_again_the_same() -> None:
    ratio = np.full((5, 5), 3.0)
    ratio[0, 4] = ratio[4, 0] = ratio[0, 3] = ratio[3, 0] = ratio[1, 4] = ratio[4, 1] = APART
    people = [link(ratio.copy(), np.ones(5, int), prior=0.5).person.tolist() for _ in range(3)]
    assert people == [[0, 0, 0, 1, 1]] * 3


def test_nobody_and_one_entry_are_linked_with_nobody() -> None:
    assert link(np.zeros((0, 0)), np.zeros(0, int)).n_people == 0
    assert link(np.zeros((1, 1)), np.ones(1, int)).person.tolist() == [0]


@pytest.mark.parametrize("prior", [0, 1, -1, math.nan, True, "0.5"])
def test_a_prior_that_is_none_is_refused(prior: object) -> None:
    with pytest.raises(GalleryError) as refused:
        link(np.zeros((1, 1)), np.ones(1, int), prior=prior)  # type: ignore[arg-type]
    assert str(refused.value) == f"prior must be a probability above 0 and below 1; got {prior!r}"


@pytest.mark.parametrize("margin", [math.inf, math.nan, "1", None, False])
def test_a_margin_that_is_none_is_refused(margin: object) -> None:
    with pytest.raises(GalleryError, match="margin must be a finite number of log-odds; got "):
        link(np.zeros((1, 1)), np.ones(1, int), margin=margin)  # type: ignore[arg-type]


def test_numbers_go_with_most_members_and_names_first() -> None:
    before = [7, 7, 7, 9, 9, None]
    assert kept_numbers([0, 0, 1, 1, 1, 2], before, []) == {0: 7, 1: 9}
    assert kept_numbers([0, 0, 0, 0, 0, 0], before, []) == {0: 7}
    assert kept_numbers([0, 0, 0, 0, 0, 0], before, [9]) == {0: 9}  # the name is not lost
    assert kept_numbers([1, 0, 0, 2, 3, 3], [5, 5, 4, 4, None, None], []) == {0: 4, 1: 5}  # ties by number
