"""Charts of a grid: the rows' scores and their differences to the first row, as dots with intervals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial

from duskmatch.evaluation.words import ARROWS
from duskmatch.experiments.grids.document import GridDocument, RowScores
from duskmatch.pictures.charts import DIRECTION_COLOUR, INK, SERIES, drawn_svg, swatch
from duskmatch.pictures.dots import Dot, DotChart, Dots, draw_dots
from duskmatch.pictures.html import Html, element
from duskmatch.records import DIRECTIONS


def grid_charts(document: GridDocument) -> list[DotChart]:
    """Rank-1 of both directions, and the differences of rank-1 and mAP to the first row; empty if nothing is done."""
    rows = [name for name in document.settings if document.done(name)]
    if not rows:
        return []
    word = " (SYNTHETIC)" if document.synthetic else ""
    scores = [
        Dots(ARROWS[d], DIRECTION_COLOUR[d], [_score(document.done(name, d)) for name in rows]) for d in DIRECTIONS
    ]
    chance = statistics.mean(one.percent("chance") for one in document.done(rows[0]))
    charts = [DotChart(f"Rank-1, %{word}", rows, scores, x_label="mean over seeds; 95 % over people", chance=chance)]
    first = next(iter(document.settings))
    others = [name for name in rows if name != first]
    gains = [
        Dots(label, SERIES[place], [_gain(document, name, first, figure) for name in others])
        for place, (figure, label) in enumerate((("rank1", "rank-1"), ("mAP", "mAP")), start=2)
    ]
    if any(dot for series in gains for dot in series.dots):
        title = f"Difference to {first}, points, both directions{word}"
        several = any(len(one.seeds) > 1 for one in document.differences)
        label = "95 % over people and seeds" if several else "95 % over people, one seed"
        charts.append(DotChart(title, others, gains, x_label=label, chance=0, line="no difference"))
    return charts


def grid_svgs(document: GridDocument) -> list[Html]:
    """The same charts as SVG for a page."""
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


def _score(done: Sequence[RowScores]) -> Dot | None:
    if not done:
        return None
    ends = zip(*(one.rank1_interval for one in done if one.rank1_interval), strict=True)
    low, high = (statistics.mean(100 * value for value in end) for end in ends)
    return Dot(statistics.mean(one.percent("rank1") for one in done), low, high)


def _gain(document: GridDocument, name: str, against: str, figure: str) -> Dot | None:
    for one in document.differences:
        if (one.row, one.against, one.direction, one.figure) == (name, against, "both", figure):
            ends = (one.difference if end is None else end for end in (one.low, one.high))
            return Dot(100 * one.difference, *(100 * end for end in ends))
    return None
