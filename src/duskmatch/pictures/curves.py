"""Training curves of all numeric columns of log.csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.errors import DataError
from duskmatch.pictures.charts import SERIES, Chart, Line, save_png

Rows = Sequence[Mapping[str, Any]]
NOT_CURVES = {"step", "epoch", "stage", "seconds", "width_over_people"}
MAX_POINTS = 400
# Panel -> words in the names of its columns, tried in this order; other columns are loss terms.
PANELS = {
    "validation": ("validation",),
    "accuracy on training clips": ("accuracy",),
    "gradient norms": ("gradient", "grad", "norm"),
    "branch / trunk": ("ratio",),
    "deviation between clips": ("deviation",),
    "shares: gates shut or open, Eq. 3's pull": ("share", "low", "high"),
    "learning rate": ("lr",),
    "frames per second": ("frames_per_s",),
    "steps clipped": ("clipped",),
}
LOSSES = "loss terms"
LOGARITHMIC = {"gradient norms", "branch / trunk", "deviation between clips"}
ONE_LINE_PANELS = {"learning rate", "frames per second", "steps clipped"}


def read_log(path: Path) -> list[dict[str, str]] | None:
    """The rows of a log.csv as text; None if there is no such file."""
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def curves(rows: Rows, path: Path) -> None:
    """Writes a PNG of all curves; DataError if the rows hold no numbers."""
    charts = training_charts(rows)
    if not charts:
        raise DataError("no curve can be drawn: the log holds no row with a number in it; train some steps first")
    save_png(charts, path, columns=2, width=5.2, height=3.5)


def training_charts(rows: Rows) -> list[Chart]:
    """A panel for each kind of column that holds numbers."""
    steps = [number(row.get("step", i)) for i, row in enumerate(rows)]
    names = [name for name in (rows[0] if rows else ()) if name not in NOT_CURVES]
    names += sorted({name for row in rows for name in row} - set(names) - NOT_CURVES)
    panels: dict[str, list[Line]] = {}
    for name in names:
        panel, values = panel_of(name), np.array([number(row.get(name)) for row in rows])
        if panel in LOGARITHMIC:  # zero where a part is not trained in this stage
            values = np.where(values > 0, values, np.nan)
        if np.isfinite(values).any():
            lines = panels.setdefault(panel, [])
            lines.append(_line(name, np.array(steps), values, SERIES[len(lines) % len(SERIES)], len(lines)))
    order = [LOSSES, *PANELS]
    return [_chart(title, panels[title]) for title in sorted(panels, key=order.index)]


def panel_of(column: str) -> str:
    """The panel a column belongs to, by its name."""
    parts = column.split("_")
    for title, words in PANELS.items():
        if any(word == column or word in parts for word in words):
            return title
    return LOSSES


def number(value: Any) -> float:
    """A cell as a number, or NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _line(name: str, steps: np.ndarray, values: np.ndarray, colour: str, place: int) -> Line:
    there = np.isfinite(values) & np.isfinite(steps)
    x, y = steps[there], values[there]
    if len(x) > MAX_POINTS:  # averaged, or the page would have megabytes
        cuts = np.linspace(0, len(x), MAX_POINTS + 1).astype(int)[:-1]
        x, y = (np.add.reduceat(v, cuts) / np.diff([*cuts, len(x)]) for v in (x, y))
    return Line(name.replace("_", " "), x, y, colour, style="-" if place < len(SERIES) else "--", marker=_marker(x))


def _marker(x: np.ndarray) -> str:
    return "o" if len(x) < 12 else ""


def _chart(title: str, lines: list[Line]) -> Chart:
    named = [replace(line, label="") for line in lines] if title in ONE_LINE_PANELS and len(lines) == 1 else lines
    return Chart(title, named, x_label="step", log=title in LOGARITHMIC)
