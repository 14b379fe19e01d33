"""Line charts: as SVG that takes the page's colours (light, dark, printed), and as PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from duskmatch.files import write_bytes
from duskmatch.pictures.html import Html, element

# Colour-blind safe and of unlike lightness, so they differ in grey print too.
SERIES = ("#b4530a", "#1f5fa8", "#4d7c3a", "#8a3b8f", "#6b6b6b", "#0f8a8a")
DIRECTION_COLOUR = {"infrared_to_visible": SERIES[0], "visible_to_infrared": SERIES[1]}
INK, LINE = "#1c1d1f", "#d4d4d2"
# In SVG each colour becomes a name that the page's style sheet fills in.
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
NOTE_SIZE, LINE_INCHES, CHARACTER_INCHES = 6.5, 0.115, 0.052  # of the small print below a picture file
Draw = Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart; `band` is (low, high) around it, shaded."""

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


def figure(
    charts: Sequence[Chart],
    *,
    columns: int = 1,
    width: float = 6.4,
    height: float = 3.0,
    legend: bool = True,
    heading: str = "",
) -> Figure:
    """The panels in rows of `columns`; `width` and `height` are of one panel, in inches.

    Under a `heading` panels share one key, that of the first, below them all.
    """
    panels = [partial(_draw, chart, legend and not heading) for chart in charts]
    whole = drawn(panels, columns=columns, width=width, height=height)
    if heading:
        whole.suptitle(heading, fontsize=9, x=0.01, ha="left", parse_math=False)
        whole.legend(*whole.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=8)
    return whole


def drawn(
    panels: Sequence[Draw], *, columns: int = 1, width: float = 6.4, height: float = 3.0, note: str = ""
) -> Figure:
    """Panels that draw themselves, in rows of `columns`; `note` stands below them, its lines broken where they end."""
    n_rows = -(-len(panels) // columns)
    lines = [part for line in note.splitlines() for part in wrap(line, int(columns * width / CHARACTER_INCHES))]
    whole = Figure(figsize=(width * columns, height * n_rows + LINE_INCHES * len(lines)), layout="constrained")
    for place, draw in enumerate(panels):
        draw(whole.add_subplot(n_rows, columns, place + 1))
    if lines:
        whole.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=NOTE_SIZE)
    return whole


def as_svg(chart: Chart, description: str, *, width: float = 5.2, height: float = 2.9) -> Html:
    """One panel as markup for the page, its key below it; `description` is read out where it cannot be seen."""
    return drawn_svg(partial(_draw, chart, False), description, width=width, height=height, key=_key(chart))


def drawn_svg(
    draw: Draw, description: str, *, width: float = 5.2, height: float = 2.9, key: Html | None = None
) -> Html:
    """The same of a panel that draws itself."""
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
    if not lines:
        return None
    swatches = [
        element("i", style=f"border-top: 3px {'dashed' if line.style == '--' else 'solid'} {PAGE_COLOURS[line.colour]}")
        for line in lines
    ]
    return element("ul", *(element("li", s, line.label) for s, line in zip(swatches, lines, strict=True)), class_="key")


def save_png(charts: Sequence[Chart], path: Path, **size: float | str) -> None:
    """The panels as a picture file."""
    _save(lambda: figure(charts, **size), path)  # type: ignore[arg-type]


def save_drawn(panels: Sequence[Draw], path: Path, *, note: str, columns: int, width: float, height: float) -> None:
    """Panels that draw themselves as a picture file, with what a reader must know below them."""
    _save(lambda: drawn(panels, columns=columns, width=width, height=height, note=note), path)


def _save(make: Callable[[], Figure], path: Path) -> None:
    out = io.BytesIO()
    _styled(lambda: make().savefig(out, format="png", dpi=150, facecolor="white", metadata={"Software": None}))
    write_bytes(path, out.getvalue())


def _styled(draw: Callable[[], None]) -> None:
    style: Mapping[str, object] = STYLE
    with rc_context(style):  # type: ignore[arg-type]
        draw()


def _draw(chart: Chart, legend: bool, axes: Axes) -> None:
    for line in chart.lines:
        axes.plot(line.x, line.y, line.style, color=line.colour, label=line.label, marker=line.marker, markersize=4)
        if line.band:
            axes.fill_between(line.x, *line.band, color=line.colour, alpha=0.14, linewidth=0)
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if chart.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # powers of ten are written by math text, which is switched off
    if chart.x_ticks:
        axes.set_xticks(chart.x_ticks, chart.x_names)
    if chart.y_range:
        axes.set_ylim(*chart.y_range)
    if legend and any(line.label for line in chart.lines):
        axes.legend(fontsize=8)
