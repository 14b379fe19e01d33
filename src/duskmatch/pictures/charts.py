"""Line charts, as SVG in the colours of the page (light, dark or printed) and as PNG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from duskmatch.files import write_bytes
from duskmatch.pictures.html import Html, element

# Distinct for colour-blind readers too; their lightness differs, for grey print.
SERIES = ("#b4530a", "#1f5fa8", "#4d7c3a", "#8a3b8f", "#6b6b6b", "#0f8a8a")
DIRECTION_COLOUR = {"infrared_to_visible": SERIES[0], "visible_to_infrared": SERIES[1]}
INK, LINE = "#1c1d1f", "#d4d4d2"
# In SVG each colour is replaced by a variable of the page's style sheet.
PAGE_COLOURS = {INK: "var(--ink)", LINE: "var(--line)", **{c: f"var(--series-{i})" for i, c in enumerate(SERIES)}}
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "text.parse_math": False,  # names from data may hold a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "duskmatch",
}
NOTE_SIZE, LINE_INCHES, CHARACTER_INCHES = 6.5, 0.115, 0.052  # of the small print below a picture
TITLE_CHARACTER_INCHES = 0.068
KEY_SIZE, KEY_MARK_INCHES, KEY_CHARACTER_INCHES = 8, 0.6, 0.076  # of the key: points; inches of a mark and of a letter
DECADES = 2  # a logarithmic axis of fewer has ticks between the powers of ten
SIGNS = {"x": "×", "o": "●", "^": "△"}  # marker -> its sign in a key of the page
Draw = Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart; `band` is (low, high) around it, shaded; style "" draws markers only."""

    label: str
    x: Sequence[float] | npt.NDArray[np.floating] | npt.NDArray[np.integer]
    y: Sequence[float] | npt.NDArray[np.floating]
    colour: str
    style: str = "-"
    marker: str = ""
    band: tuple[Sequence[float], Sequence[float]] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel."""

    title: str
    lines: Sequence[Line]
    x_label: str = ""
    y_label: str = ""
    log: bool = False
    y_range: tuple[float, float] | None = None
    x_ticks: Sequence[int] | None = None
    x_names: Sequence[str] | None = None  # of the ticks, where the axis has no numbers
    log_x: bool = False
    x_range: tuple[float, float] | None = None


def figure(
    charts: Sequence[Chart],
    *,
    columns: int = 1,
    width: float = 6.4,
    height: float = 3.0,
    heading: str = "",
) -> Figure:
    """The panels in rows of at most `columns`, under a `heading`; `width` and `height` are of one panel, in inches."""
    whole = drawn([partial(_draw, chart) for chart in charts], columns=columns, width=width, height=height)
    add_keys(whole)
    if heading:
        whole.suptitle(heading, fontsize=9, x=0.01, ha="left", parse_math=False)
    return whole


def drawn(
    panels: Sequence[Draw], *, columns: int = 1, width: float = 6.4, height: float = 3.0, note: str = ""
) -> Figure:
    """The panels, each a function that draws on its axes, in rows of at most `columns`; `note` is wrapped below."""
    rows = np.array_split(np.arange(len(panels)), -(-len(panels) // columns))  # rows of nearly equal length fill gaps
    n_rows = len(rows)
    lines = [part for line in note.splitlines() for part in wrap(line, int(columns * width / CHARACTER_INCHES))]
    whole = Figure(figsize=(width * columns, height * n_rows + LINE_INCHES * len(lines)), layout="constrained")
    grid = whole.add_gridspec(n_rows, math.lcm(*map(len, rows)))
    for line, row in enumerate(rows):
        span = grid.ncols // len(row)
        for place, panel in enumerate(row):
            panels[panel](whole.add_subplot(grid[line, place * span : (place + 1) * span]))
    if lines:
        whole.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=NOTE_SIZE)
    return whole


def add_keys(whole: Figure) -> None:
    """Adds one key below all panels if theirs are the same, else one below each panel, never over a curve."""
    found = [(axes, _entries(axes)) for axes in whole.axes]
    found = [(axes, entries) for axes, entries in found if entries]
    if len({tuple(entries) for _, entries in found}) == 1:
        _, entries = found[0]
        n_columns = _key_columns(list(entries), whole.get_figwidth())
        whole.legend(entries.values(), entries.keys(), loc="outside lower left", ncols=n_columns, fontsize=KEY_SIZE)
        return
    for axes, entries in found:
        below = ScaledTranslation(0, -0.42 if axes.get_xlabel() else -0.27, whole.dpi_scale_trans)
        axes.legend(
            entries.values(), entries.keys(), loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0,
            bbox_transform=axes.transAxes + below, ncols=_key_columns(list(entries), 0.85 * _inches(axes)),
            fontsize=KEY_SIZE,
        )  # fmt: skip


def _entries(axes: Axes) -> dict[str, Any]:
    """Handles by label, first those of series with intervals, then those of plain lines (chance, no difference)."""
    handles, labels = axes.get_legend_handles_labels()
    entries = sorted(zip(labels, handles, strict=True), key=lambda entry: isinstance(entry[1], Line2D))
    return dict(entries)


def _key_columns(labels: Sequence[str], inches: float) -> int:
    fitting = max(1, int(inches / (KEY_MARK_INCHES + KEY_CHARACTER_INCHES * max(map(len, labels)))))
    return -(-len(labels) // -(-len(labels) // fitting))  # rows of nearly equal length


def _inches(axes: Axes) -> float:
    """The width of a panel with its labels."""
    place, whole = axes.get_subplotspec(), axes.get_figure(root=True)
    share = len(place.colspan) / place.get_gridspec().ncols if place else 1
    return share * whole.get_figwidth() if whole else 0


def as_svg(chart: Chart, description: str, *, width: float = 4.4, height: float = 2.6) -> Html:
    """One panel as SVG with its key below it; `description` is for screen readers."""
    return drawn_svg(partial(_draw, chart), description, width=width, height=height, key=_key(chart))


def drawn_svg(
    draw: Draw, description: str, *, width: float = 4.4, height: float = 2.6, key: Html | None = None
) -> Html:
    """The SVG of a panel given as a function that draws on axes, with `key` below it."""
    out = io.StringIO()

    def save() -> None:
        drawn([draw], width=width, height=height).savefig(out, format="svg", transparent=True, metadata={"Date": None})

    _styled(save)
    return element(
        "div",
        element("div", _for_the_page(out.getvalue()), role="img", aria_label=description),
        key,
        class_="chart",
    )


def _for_the_page(svg: str) -> Html:
    """Matplotlib's SVG without its own size, fonts and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'font: ([\d.]+)px [^;"]*', r"font-size: \1px", svg)
    svg = svg.replace("xlink:href", "href")
    for colour, name in PAGE_COLOURS.items():
        svg = svg.replace(colour, name)
    return Html(svg)


def _key(chart: Chart) -> Html | None:
    lines = [line for line in chart.lines if line.label]
    items = [element("li", swatch(line.colour, line.style, SIGNS.get(line.marker, "")), line.label) for line in lines]
    return element("ul", *items, class_="key") if items else None


def swatch(colour: str, style: str = "-", sign: str = "") -> Html:
    """A sample of the line for a key of the page, or the marker's sign if there is no line."""
    if not style:
        return element("i", sign, style=f"color: {PAGE_COLOURS[colour]}", class_="sign")
    width, line = {"-": (3, "solid"), "--": (3, "dashed"), ":": (2, "dotted")}[style]
    return element("i", style=f"border-top: {width}px {line} {PAGE_COLOURS[colour]}")


def save_png(charts: Sequence[Chart], path: Path, **size: float | str) -> None:
    """The panels as a picture file."""
    save_figure(lambda: figure(charts, **size), path)  # type: ignore[arg-type]


def save_drawn(panels: Sequence[Draw], path: Path, *, note: str, columns: int, width: float, height: float) -> None:
    """Writes panels given as functions that draw on axes as a picture file, with `note` below them."""
    save_figure(lambda: drawn(panels, columns=columns, width=width, height=height, note=note), path)


def save_figure(make: Callable[[], Figure], path: Path, dpi: int = 150) -> None:
    """Writes the figure that `make` returns as a PNG, in the pictures' style."""
    out = io.BytesIO()
    _styled(lambda: make().savefig(out, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}))
    write_bytes(path, out.getvalue())


def _styled(draw: Callable[[], None]) -> None:
    style: Mapping[str, object] = STYLE
    with rc_context(style):  # type: ignore[arg-type]
        draw()


def _draw(chart: Chart, axes: Axes) -> None:
    for line in chart.lines:
        axes.plot(
            line.x, line.y, linestyle=line.style, color=line.colour, label=line.label, marker=line.marker, markersize=4
        )
        if line.band:
            axes.fill_between(line.x, *line.band, color=line.colour, alpha=0.14, linewidth=0)
    axes.set_title(fill(chart.title, int(_inches(axes) / TITLE_CHARACTER_INCHES)))
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if chart.x_range:
        axes.set_xlim(*chart.x_range)
    if chart.log:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis, *axes.get_ylim())
    if chart.log_x:
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis, *axes.get_xlim())
    if chart.x_ticks:
        axes.set_xticks(chart.x_ticks, chart.x_names)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    elif not any(np.any(line.y) for line in chart.lines):  # all zero: Matplotlib's own range would be odd
        axes.set_ylim(-0.05, 1)


def _plain_numbers(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis as plain numbers, as STYLE switches off the math text of powers of ten."""
    decades = math.log10(high / low)
    if decades < 0.5:
        axis.set_major_locator(MaxNLocator(4))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < DECADES else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
