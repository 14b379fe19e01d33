"""docs/probabilities.md shows the figures of benchmarks/results/false_alarms.json and no others."""

import json

import numpy as np
import pytest
from benchmarks import false_alarms

from duskmatch.gallery.probability.strangers import measure
from tests.gallery.labelled import labelled


def test_the_page_holds_the_figures_of_the_study():
    page = false_alarms.PAGE.read_text(encoding="utf-8")
    document = json.loads(false_alarms.RESULT.read_text(encoding="utf-8"))
    assert false_alarms.filled(page, document) == page, "run python -m benchmarks.false_alarms page"
    assert document["synthetic"] is True
    for block in false_alarms.BLOCK.finditer(page):
        assert "SYNTHETIC" in block[0]


def test_galleries_of_held_out_people_are_counted_as_those_of_the_labelled_ones():
    people = labelled(12)
    (strangers,) = [one for one in measure(people) if (one.query, one.entries) == ("infrared", "visible")]
    for place in (20, 60):
        galleries = false_alarms.Galleries(people, "infrared", "visible").at(strangers.threshold[place])
        for n in (1, 5):
            assert galleries.rate(n, several=True)[0] == pytest.approx(
                strangers.several.alarm_rate(n, 11)[place], abs=1e-7
            )
            assert galleries.rate(n, several=False)[0] == pytest.approx(
                strangers.one.alarm_rate(n, 11)[place], abs=1e-7
            )
    without_one = galleries.rate(5, several=True, draws=1 - np.eye(12, dtype=np.int64))
    for place, pid in enumerate(np.unique(people.pids)):
        fewer = false_alarms.Galleries(people.take(people.pids != pid), "infrared", "visible")
        fewer.at(strangers.threshold[60])
        assert without_one[place] == pytest.approx(fewer.rate(5, several=True)[0])
