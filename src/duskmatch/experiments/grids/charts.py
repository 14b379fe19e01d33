"""An experiment's rows as dots with intervals: the scores, and the differences to the first row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from duskmatch.evaluation.words import ARROWS
from duskmatch.pictures.charts import DIRECTION_COLOUR, INK, SERIES, drawn_svg, swatch
from duskmatch.pictures.dots import Dot, DotChart, Dots, draw_dots
from duskmatch.pictures.html import Html, element
from duskmatch.records import DIRECTIONS

Document = Mapping[str, Any]


def grid_charts(document: Document) -> list[DotChart]:
    """Rank-1 of both directions, and what rank-1 and mAP gain on the first row; empty where nothing is done yet."""
    rows = [name for name in document["settings"] if _done(document, name)]
    if not rows:
        return []
    word = " (SYNTHETIC)" if document["synthetic"] else ""
    scores = [
        Dots(ARROWS[d], DIRECTION_COLOUR[d], [_score(_done(document, name, d)) for name in rows]) for d in DIRECTIONS
    ]
    chance = statistics.mean(100 * line["chance"] for line in _done(document, rows[0]))
    charts = [DotChart(f"Rank-1, %{word}", rows, scores, x_label="mean over seeds; 95 % over people", chance=chance)]
    first, *others = document["settings"]
    gains = [
        Dots(label, SERIES[place], [_gain(document, name, first, figure) for name in others if name in rows])
        for place, (figure, label) in enumerate((("rank1", "rank-1"), ("mAP", "mAP")), start=2)
    ]
    if any(dot for series in gains for dot in series.dots):
        title = f"Difference to {first}, points, both directions{word}"
        label = "95 % over people and seeds" if _several_seeds(document) else "95 % over people, one seed"
        there = [name for name in others if name in rows]
        charts.append(DotChart(title, there, gains, x_label=label, chance=0, line="no difference"))
    return charts


def grid_svgs(document: Document) -> list[Html]:
    """The same as markup for a page."""
    return [_svg(chart) for chart in grid_charts(document)]


def _svg(chart: DotChart) -> Html:
    spoken = "; ".join(
        f"{row}: " + ", ".join(f"{s.label} {dot.value:.1f}" for s in chart.series if (dot := s.dots[place]))
        for place, row in enumerate(chart.rows)
    )
    swatches = [element("li", swatch(s.colour), s.label) for s in chart.series]
    swatches.append(element("li", swatch(INK, ":"), chart.line))
    height = 1.0 + 0.17 * len(chart.rows) * (len(chart.series) + 1)
    key = element("ul", *swatches, class_="key")
    return drawn_svg(partial(draw_dots, chart), f"{chart.title}: {spoken}", width=6.4, height=height, key=key)


def _done(document: Document, name: str, direction: str | None = None) -> list[Mapping[str, Any]]:
    return [
        line
        for line in document["rows"]
        if line["name"] == name and line["status"] == "done" and direction in (None, line["direction"])
    ]


def _score(lines: Sequence[Mapping[str, Any]]) -> Dot | None:
    if not lines:
        return None
    ends = [statistics.mean(100 * line["rank1_interval"][i] for line in lines) for i in (0, 1)]
    return Dot(statistics.mean(100 * line["rank1"] for line in lines), *ends)


def _gain(document: Document, name: str, against: str, figure: str) -> Dot | None:
    for one in document["differences"]:
        if (one["row"], one["against"], one["direction"], one["figure"]) == (name, against, "both", figure):
            value, *ends = (one[key] for key in ("difference", "low", "high"))
            return Dot(100 * value, *(100 * (value if end is None else end) for end in ends))
    return None


def _several_seeds(document: Document) -> bool:
    return any(len(one["seeds"]) > 1 for one in document["differences"])
