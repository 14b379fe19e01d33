"""False alarms: drawn galleries counted one by one, and thresholds that keep what is promised."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from duskmatch.gallery.probability import strangers
from duskmatch.gallery.probability.answers import merged, thresholds
from duskmatch.gallery.probability.calibrated import Calibrated
from duskmatch.gallery.probability.strangers import Strangers, measure, none_drawn
from duskmatch.gallery.search.search import Found
from tests.gallery.labelled import labelled
from tests.oracle.strangers import alarm_rate

PAIRS = [(a, b) for a in ("visible", "infrared") for b in ("visible", "infrared")]


def of(found: list[Strangers], query: str, entries: str) -> Strangers:
    return next(one for one in found if (one.query, one.entries) == (query, entries))


@pytest.mark.parametrize("n_found", range(6))
@pytest.mark.parametrize("n_drawn", range(6))
def test_the_chance_that_a_draw_holds_none_is_counted_by_hand(n_found: int, n_drawn: int) -> None:
    draws = list(combinations(range(5), n_drawn))
    expected = np.mean([all(person >= n_found for person in draw) for draw in draws])
    assert none_drawn(np.array([n_found]), 5, n_drawn)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("query", "entries"), PAIRS)
def test_rates_are_those_of_every_gallery_that_can_be_drawn(query: str, entries: str) -> None:
    people = labelled(6)
    some = people.take(np.arange(len(people)) != 3)  # one person with one entry fewer
    found = of(measure(some), query, entries)
    assert (found.n_queries, found.n_people, found.several.n_entries) == (6, 5, 2)
    for n_drawn in (1, 2, 5):
        rates = found.several.alarm_rate(n_drawn, 5)
        for place in range(0, len(found.threshold), 5):
            step = 1e-12 if place + 1 < len(found.threshold) else -1e-12  # nobody is at the last one
            expected = alarm_rate(some, query, entries, found.threshold[place] - step, n_drawn)
            assert rates[place] == pytest.approx(expected, abs=1e-7)
    assert found.several.match_rate(5) == pytest.approx(found.several.alarm_rate(1, 5), abs=1e-7)


def test_one_entry_of_each_person_has_its_turn() -> None:
    people = labelled(6)
    side = strangers._side(people, "visible")
    turns = strangers._turns(side, np.full(6, 2))
    assert sorted(np.concatenate(turns).tolist()) == list(range(12))
    rows = np.flatnonzero(np.array(people.modalities) == "visible")
    found = of(measure(people), "infrared", "visible")
    for place in (3, 9, 15):
        given = [
            alarm_rate(people, "infrared", "visible", found.threshold[place] - 1e-12, 3, rows[turn]) for turn in turns
        ]
        assert found.one.alarm_rate(3, 5)[place] == pytest.approx(np.mean(given), abs=1e-7)


def test_nobody_reaches_the_last_threshold_and_rates_never_rise() -> None:
    for found in measure(labelled(30)):
        for n_drawn in (1, 10, 29):
            rates = found.one.alarm_rate(n_drawn, found.n_people)
            assert rates[-1] == 0 and (np.diff(rates) <= 1e-7).all() and rates[0] > 0.3


def test_many_people_found_are_rounded_up_by_3_per_cent_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    people = labelled(300, each=1)
    found = of(measure(people), "visible", "infrared")
    monkeypatch.setattr(strangers, "EXACT_UP_TO", 10_000)
    exact = of(measure(people), "visible", "infrared")
    for n_drawn in (1, 10, 200):
        rounded, right = (one.one.alarm_rate(n_drawn, 299) for one in (found, exact))
        assert (rounded >= right - 1e-7).all() and (rounded <= 1.04 * right + 1e-7).all()
    assert len(found.one.found) < len(exact.one.found)


def test_a_threshold_keeps_its_rate_and_rises_with_the_gallery() -> None:
    found = of(measure(labelled(60)), "infrared", "visible")
    limits = [found.limit(np.full(n, 1), 0.2) for n in (5, 20, 59)]
    assert all(limit.rate <= 0.2 and not limit.extrapolated for limit in limits)
    assert np.all(np.diff([limit.similarity for limit in limits]) > 0)
    for n, limit in zip((5, 20, 59), limits, strict=True):
        place = int(np.flatnonzero(found.threshold == limit.similarity)[0])
        rate = found.one.alarm_rate(n, 59)
        assert (60 * rate[place] + 1) / 61 == pytest.approx(limit.rate)
        assert (60 * rate[place - 1] + 1) / 61 > 0.2  # no lower threshold keeps it


def test_entries_of_one_person_count_as_people_with_all_their_entries() -> None:
    found = of(measure(labelled(60, each=3)), "infrared", "visible")
    twenty = found.limit(np.full(20, 3), 0.2)  # 20 people, 60 entries: more than can be drawn one by one
    assert [drawn for _, drawn in found.drawn(np.full(20, 3))] == [60, 20]
    assert not twenty.extrapolated and twenty.similarity > found.limit(np.full(20, 1), 0.2).similarity
    assert found.limit(np.full(7, 3), 0.2).similarity <= found.limit(np.full(21, 1), 0.2).similarity
    assert [drawn for _, drawn in found.drawn(np.array([1, 4, 7]))] == [12, 1 + 2 + 3]


def test_beyond_the_labelled_people_rates_are_extrapolated() -> None:
    found = of(measure(labelled(60)), "infrared", "visible")
    n = 100
    limit = found.limit(np.full(n, 1), 0.3)
    assert limit.extrapolated and found.extrapolated(np.full(n, 1))
    place = int(np.flatnonzero(found.threshold == limit.similarity)[0])
    pairs = 60 * 59 // 2
    one = (pairs * found.one.match_rate(59)[place] + 1) / (pairs + 1)
    assert limit.rate == pytest.approx(1 - (1 - one) ** n) and limit.rate <= 0.3


def test_a_rate_that_cannot_be_told_from_zero_is_not_promised() -> None:
    found = of(measure(labelled(60)), "infrared", "visible")
    assert found.least_rate(np.full(10, 1)) == 3 / 60
    assert found.least_rate(np.full(1000, 1)) == pytest.approx(1 - (1 - 3 / 1770) ** 1000)
    assert found.limit(np.full(59, 1), 3 / 60).rate <= 3 / 60


def test_two_modalities_share_the_rate() -> None:
    found = measure(labelled(60))
    calibrated = Calibrated(None, tuple(found), (), "m")  # type: ignore[arg-type]
    sizes = {"visible": np.full(30, 1), "infrared": np.full(10, 1)}
    limits = thresholds(calibrated, sizes, ["infrared", "infrared"], 0.2)  # type: ignore[arg-type]
    assert [(limit.query, limit.entries, limit.n_people) for limit in limits] == [
        ("infrared", "visible", 30), ("infrared", "infrared", 10),
    ]  # fmt: skip
    kept = [1 - limit.false_alarms for limit in limits]
    assert np.prod(kept) == pytest.approx(0.8)
    assert np.log(kept[1]) / np.log(0.8) == pytest.approx(1 / 3)  # a third at least
    alone = thresholds(calibrated, {"visible": np.full(30, 1)}, ["infrared"], 0.2)
    assert alone[0].similarity < limits[0].similarity and alone[0].false_alarms == pytest.approx(0.2)


def test_hits_of_two_modalities_are_merged_by_similarity_each_above_its_threshold() -> None:
    found = measure(labelled(20))
    calibrated = Calibrated(None, tuple(found), (), "m")  # type: ignore[arg-type]
    sizes = {"visible": np.ones(5, int), "infrared": np.ones(5, int)}
    day, night = thresholds(calibrated, sizes, ["visible"], 0.5)
    day, night = replace(day, similarity=0.4), replace(night, similarity=0.7)

    def part(*similarity: float, ids: list[str]) -> Found:
        return Found(np.arange(len(ids))[None], np.array([similarity]), [ids])

    parts = {
        "visible": part(0.65, 0.5, 0.3, ids=["a", "b", "c"]),
        "infrared": part(0.8, 0.65, 0.5, ids=["d", "e", "f"]),
    }
    hits = merged(parts, [day, night], ["visible"], 3)  # type: ignore[arg-type]
    assert hits.ids == [["d", "a", "b"]] and hits.similarity.tolist() == [[0.8, 0.65, 0.5]]
    two = merged(parts, [day, night], ["visible"], 2)  # type: ignore[arg-type]
    assert two.ids == [["d", "a"]]
