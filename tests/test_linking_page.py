"""docs/linking.md shows the figures of benchmarks/results and no others, at the margin that is the default."""

from __future__ import annotations

import json

from benchmarks import linking

from duskmatch.gallery.linking.linkage import MARGIN


def test_the_page_holds_the_figures_of_the_results() -> None:
    page = linking.PAGE.read_text(encoding="utf-8")
    assert linking.filled(page) == page, "run python -m benchmarks.linking page"


def test_the_default_margin_is_the_best_on_calibration_people() -> None:
    document = json.loads((linking.RESULTS / "linking.json").read_text(encoding="utf-8"))
    assert document["best_on_calibration_people"]["ours"] == document["margin"] == MARGIN
    assert document["synthetic"] and 52 not in document["calibration_seeds"]


def test_the_picture_is_small() -> None:
    assert linking.PICTURE.stat().st_size < 300_000
