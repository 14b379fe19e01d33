"""Charts of dots with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from duskmatch.pictures.charts import INK, add_keys, drawn, save_figure

APART = (0.0, 0.3, -0.3)  # in lines
ROW_HEIGHT, PANEL_WIDTH, MARGIN = 0.18, 4.4, 1.3  # inches: of one dot, of one panel, of title and axis
TITLE_LETTERS, ROW_LETTERS = 36, 22  # in a line of the title, and of a row's name


class Dot(NamedTuple):
    """A figure and its interval; if it has none, both ends equal the figure."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Dots:
    """One series: a dot or None for each row of the chart; without a label it is not in the key.

    beside: on the same line as the series before it, a little higher or lower so that both intervals can be seen.
    """

    label: str
    colour: str
    dots: Sequence[Dot | None]
    marker: str = "o"
    filled: bool = True
    beside: bool = False


@dataclass(frozen=True, slots=True)
class DotChart:
    """One panel: rows from top to bottom, in each the series one below the other; a dotted `line` at `chance`."""

    title: str
    rows: Sequence[str]
    series: Sequence[Dots]
    x_label: str = ""
    chance: float | None = None
    line: str = "chance"
    x_range: tuple[float, float] | None = None


def dots_figure(charts: Sequence[DotChart], *, columns: int = 2) -> Figure:
    """The panels in rows of at most `columns`, with their keys below them."""
    lines = max(len(chart.rows) * (len(set(lines_of(chart))) + 1) for chart in charts)
    panels = [partial(draw_dots, chart) for chart in charts]
    whole = drawn(panels, columns=columns, width=PANEL_WIDTH, height=MARGIN + ROW_HEIGHT * lines)
    add_keys(whole)
    return whole


def lines_of(chart: DotChart) -> list[int]:
    """For each series its line within a row, from 0."""
    found: list[int] = []
    for series in chart.series:
        found.append(found[-1] if series.beside and found else found[-1] + 1 if found else 0)
    return found


def shifted(lines: Sequence[int]) -> list[float]:
    """The lines, each series beside another a little away from it: below, then above."""
    return [line + APART[lines[:place].count(line) % len(APART)] for place, line in enumerate(lines)]


def save_dots(charts: Sequence[DotChart], path: Path, *, columns: int = 2) -> None:
    """The panels as a picture file."""
    save_figure(lambda: dots_figure(charts, columns=columns), path)


def row_in_lines(row: str) -> str:
    """A row's name, wrapped after a space or a plus, so that "ASAM+ADM+FRM-STIG" keeps its parts whole."""
    return textwrap.fill(row.replace("+", "+ "), ROW_LETTERS, break_on_hyphens=False).replace("+ ", "+")


def draw_dots(chart: DotChart, axes: Axes) -> None:
    """Draws one panel."""
    lines = lines_of(chart)
    step = 1 / (max(lines, default=0) + 2)
    for place, series in zip(shifted(lines), chart.series, strict=True):
        there = [(row, dot) for row, dot in enumerate(series.dots) if dot is not None]
        axes.errorbar(
            [dot.value for _, dot in there],
            [row + (place + 1) * step - 0.5 for row, _ in there],
            xerr=[[max(d.value - d.low, 0) for _, d in there], [max(d.high - d.value, 0) for _, d in there]],
            fmt=series.marker,
            color=series.colour,
            markerfacecolor=series.colour if series.filled else "white",
            markersize=4.5,
            elinewidth=1.2,
            label=series.label or "_not in the key",
        )
    if chart.chance is not None:
        axes.axvline(chart.chance, color=INK, linestyle=":", linewidth=1.0, label=chart.line)
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    axes.set_yticks(range(len(chart.rows)), [row_in_lines(row) for row in chart.rows])
    axes.grid(visible=False, axis="y")
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    axes.set_title("\n".join(textwrap.fill(line, TITLE_LETTERS) for line in chart.title.split("\n")))
    axes.set_xlabel(chart.x_label)
