"""Charts of a counterfactual test: a panel for each factor, a line with its interval over severity for each RUN."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from duskmatch.evaluation.words import ARROWS
from duskmatch.experiments.counterfactual.document import Counterfactual, Point
from duskmatch.experiments.document import Estimate
from duskmatch.pictures.charts import SERIES, Chart, Line, save_png
from duskmatch.records import DIRECTIONS

MARKERS = "os^Dvx"


class Shown(NamedTuple):
    """One figure of the charts and tables; `percent`: a fraction of 1 that is shown times 100."""

    key: str
    title: str
    percent: bool

    def of(self, point: Point) -> Estimate:
        """This figure of a point."""
        if self.key == "shift":
            return point.shift.all
        direction, _, name = self.key.partition(".")
        found: Estimate = getattr(getattr(point, direction), name)
        return found

    @property
    def unit(self) -> float:
        return 100.0 if self.percent else 1.0


SEARCHES = tuple(
    Shown(f"{direction}.{name}", f"{words}, {ARROWS[direction]}", True)
    for name, words in (("rank1", "rank-1"), ("mAP", "mAP"))
    for direction in DIRECTIONS
)
SHIFT = Shown("shift", "embedding shift", False)


def pictures(document: Counterfactual) -> dict[str, Callable[[Path], None]]:
    """File name -> function that writes the picture: rank1_infrared_to_visible.png and so on, and shift.png."""
    found: dict[str, Callable[[Path], None]] = {}
    for shown in (*SEARCHES, SHIFT):
        direction, _, name = shown.key.rpartition(".")
        charts = charts_of(document, shown)
        columns, width = min(3, len(charts)), 3.4 if len(charts) > 1 else 5.6
        file = f"{name}_{direction}.png" if direction else f"{name}.png"
        found[file] = partial(
            save_png, charts, columns=columns, width=width, height=2.5, heading=heading(document, shown)
        )
    return found


def heading(document: Counterfactual, shown: Shown) -> str:
    """The heading of a picture file: the figure, the data, and that the people are generated."""
    data = document.data
    unit = "%" if shown.percent else "of the distance between people"
    return (
        f"{shown.title} by severity, {unit}\nSYNTHETIC data (Duskwalk {data.version}, {data.preset}, seed {data.seed})"
        f", {data.n_people_filmed} people; bands: 95 % over people"
    )


def charts_of(document: Counterfactual, shown: Shown) -> list[Chart]:
    """A panel for each factor, all with the same y range."""
    tops = [shown.of(point).interval[1] for point in document.points]
    top = 1.06 * shown.unit * max(1e-6, *tops)
    ticks = document.severities
    return [
        Chart(
            factor,
            [_line(document, shown, factor, place) for place in range(len(document.runs))],
            x_label="severity",
            y_range=(0, min(top, 102.0) if shown.percent else top),
            x_ticks=ticks,
        )
        for factor in document.factors
    ]


def _line(document: Counterfactual, shown: Shown, factor: str, place: int) -> Line:
    name = document.runs[place].name
    points = [p for p in document.points if p.run == name and p.factor == factor]
    figures = [shown.of(point) for point in points]
    low, high = ([shown.unit * f.interval[end] for f in figures] for end in (0, 1))
    return Line(
        name,
        [point.severity for point in points],
        [shown.unit * figure.value for figure in figures],
        SERIES[place % len(SERIES)],
        style="-" if place % (2 * len(SERIES)) < len(SERIES) else "--",
        marker=MARKERS[place % len(MARKERS)],
        band=(low, high),
    )
