"""docs/compact.md shows what was recorded."""

import json

from benchmarks.compaction import CHOSEN, FILE, PAGE, page


def test_the_page_is_what_the_recorded_figures_give():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text and "SYNTHETIC data" in text and f"**{CHOSEN}**" in text


def test_the_chosen_way_is_the_best_on_validation_people():
    runs = [one["validation"] for one in json.loads(FILE.read_text(encoding="utf-8"))["runs"].values()]
    found = {
        way: sum(one[way]["512"][direction]["mAP"] for one in runs for direction in one["whole"])
        for way in runs[0]
        if way not in ("people", "whole")
    }
    assert max(found, key=lambda way: found[way]) == CHOSEN
