"""The highlight weights A (Eq. 12) of each body part, from head to foot, in visible and infrared clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, Polygon

from duskmatch.embedding.highlights import NEAR_0, NEAR_1, Spread
from duskmatch.pictures.charts import INK, LINE, SERIES, SIGNS, drawn_svg, save_drawn, swatch
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.html import Html, element
from duskmatch.records import MODALITIES, Floats, Modality

COLOUR: Mapping[Modality, str] = {"visible": SERIES[1], "infrared": SERIES[0]}  # as the directions' queries
MARKER: Mapping[Modality, str] = {"visible": "o", "infrared": "^"}
WIDTH, HEIGHT = 5.2, 3.4
CAPTION = (
    "A (Eq. 12) says how much of each feature is kept before motion is added: from 0, nothing, to 1, all of it. A "
    "point is the mean over a clip's frames and a part's features, and over all clips; the line is one standard "
    "deviation between clips to each side. Parts are stripes of equal height, the uppermost first. A scale shows "
    "only the range that occurs; all are equally wide."
)
FIXED_SHARE, FIXED_STD = 0.95, 0.01  # if A meets both, it is called a fixed choice of features
FIXED = "a fixed choice of features"
FIXED_RULE = (
    f"Called {FIXED} if at least {100 * FIXED_SHARE:.0f} % of values are so near 0 or 1 and the deviation between "
    f"clips is under {FIXED_STD}."
)
# A figure of height 1 and width 1, y downwards: head, trunk with arms, legs.
HEAD = ((0.5, 0.09), 0.2, 0.13)
BODY = ((0.36, 0.17), (0.64, 0.17), (0.76, 0.24), (0.82, 0.5), (0.73, 0.51), (0.66, 0.31), (0.64, 0.52), (0.67, 0.97),
        (0.54, 0.97), (0.5, 0.58), (0.46, 0.97), (0.33, 0.97), (0.36, 0.52), (0.34, 0.31), (0.27, 0.51), (0.18, 0.5),
        (0.24, 0.24))  # fmt: skip


def part_figures(run: Compared) -> dict[str, Any] | None:
    """Mean and standard deviation over clips of each part, top to bottom, by modality; None without A.

    If `spreads` were recorded, also `near_0`, `near_1` and `between_clips` of `Spread`.
    """
    if run.weights is None:
        return None
    spreads = {m: asdict(spread) for m, spread in (run.spreads or {}).items()}
    return {
        modality: {
            "mean": [float(x) for x in weights.mean(axis=0)],
            "std": [float(x) for x in weights.std(axis=0)],
            "clips": len(weights),
            **{key: value for key, value in spreads.get(modality, {}).items() if key != "n_clips"},
        }
        for modality, weights in run.weights.items()
    }


def parts_section(runs: Sequence[Compared]) -> list[Html]:
    """A panel for each model that has A, and the names of those that have none."""
    weighted = _with_weights(runs)
    if not weighted:
        return [element("p", "None of these models passes its embedding through A (Eq. 12).")]
    ranges = _ranges([weights for _, weights in weighted])
    charts = []
    for (run, weights), ends in zip(weighted, ranges, strict=True):
        spoken = "; ".join(
            f"{modality}: " + ", ".join(f"part {k + 1} {x:.3f}" for k, x in enumerate(of.mean(axis=0)))
            for modality, of in weights.items()
        )
        draw = partial(draw_parts, _title(run, runs), weights, ends, False)
        charts.append(drawn_svg(draw, f"A of {run.name}. {spoken}", width=WIDTH, height=HEIGHT, key=_key(weights)))
    without = [run.name for run in runs if run.weights is None]
    lacking = f" Without A: {', '.join(without)}." if without else ""
    caption = element("p", source(runs) + CAPTION + _ends(weighted) + lacking, class_="small soft")
    drawn = element("div", *charts, class_="columns" if len(charts) > 1 else "single")
    named = [(run.name if len(runs) > 1 else "", run.spreads) for run, _ in weighted]
    sentences = [spread_in_words(name, spreads) for name, spreads in named if spreads]
    if any(FIXED in sentence for sentence in sentences):
        sentences.append(FIXED_RULE)
    return [caption, drawn, *(element("p", sentence, class_="small") for sentence in sentences)]


def spread_in_words(name: str, spreads: Mapping[Modality, Spread]) -> str:
    """The share of A's values near 0 and 1 and their deviation between clips, as text; the chart shows means only."""
    sentences = []
    for modality, spread in spreads.items():
        near, std = spread.near_0 + spread.near_1, spread.between_clips
        fixed = f": {FIXED}" if near >= FIXED_SHARE and std < FIXED_STD else ""
        varies = "less than 0.0001" if 0 < std < 0.0001 else f"{std:.4f}"
        sentences.append(
            f"{modality}, A is under {NEAR_0} or over {NEAR_1} for {100 * near:.1f} % of its values "
            f"({100 * spread.near_0:.1f} % under, {100 * spread.near_1:.1f} % over); between clips a feature's A "
            f"varies by {varies} (standard deviation){fixed}."
        )
    sentence = " ".join(part[0].upper() + part[1:] for part in sentences)
    return f"{name}: {sentence}" if name else sentence


def save_parts(path: Path, runs: Sequence[Compared], note: str) -> list[Path]:
    """Writes the panels as a picture file and returns its path in a list, empty if no model has A."""
    weighted = _with_weights(runs)
    if not weighted:
        return []
    ranges = _ranges([weights for _, weights in weighted])
    panels = [
        partial(draw_parts, _title(run, runs), of, ends, True) for (run, of), ends in zip(weighted, ranges, strict=True)
    ]
    columns = min(2, len(panels))
    save_drawn(panels, path, note=f"{CAPTION}{_ends(weighted)}\n{note}", columns=columns, width=WIDTH, height=HEIGHT)
    return [path]


def draw_parts(
    title: str, weights: Mapping[Modality, Floats], ends: tuple[float, float], legend: bool, axes: Axes
) -> None:
    """Draws A by part, from top to bottom; a human figure at the left shows which stripe is which part."""
    k, (low, high) = next(iter(weights.values())).shape[1], ends
    sketch = 0.24 * (high - low)
    for place, (modality, of) in enumerate(weights.items()):
        y = np.arange(k) + 0.5 + (place - (len(weights) - 1) / 2) * 0.26
        mean, std, colour = of.mean(axis=0), of.std(axis=0), COLOUR[modality]
        axes.hlines(y, mean - std, mean + std, color=colour, lw=1.4, ls="-" if modality == "visible" else "--")
        face = colour if modality == "visible" else "none"
        axes.plot(mean, y, MARKER[modality], color=colour, mfc=face, ms=6, label=f"{modality}, {len(of)} clips")
    _figure(axes, low - sketch, sketch, k)
    axes.set(
        xlim=(low - sketch, high),
        ylim=(k, -0.6 if legend else 0),
        title=title,
        xlabel="mean of A, ± one standard deviation",
    )
    axes.set_yticks(np.arange(k) + 0.5, [_name(i, k) for i in range(k)])
    axes.set_xticks([x for x in axes.get_xticks() if low <= x <= high])
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.hlines(np.arange(1, k), low - sketch, high, color=LINE, lw=0.6, zorder=0)
    if legend:
        axes.legend(fontsize=7.5, loc="upper right", ncols=2, borderaxespad=0.1)


def _figure(axes: Axes, left: float, width: float, k: int) -> None:
    """A standing figure as high as all parts together."""
    (x, y), w, h = HEAD
    axes.add_patch(Ellipse((left + x * width, y * k), w * width, h * k, color=INK, alpha=0.25, lw=0))
    axes.add_patch(Polygon([(left + x * width, y * k) for x, y in BODY], color=INK, alpha=0.25, lw=0))


def _name(i: int, k: int) -> str:
    return f"{i + 1}" + (" head" if i == 0 else " feet" if i == k - 1 else "")


def _title(run: Compared, runs: Sequence[Compared]) -> str:
    word = " (SYNTHETIC data)" if runs[0].document["synthetic"] else ""
    return f"{run.name}: highlight weights A{word}"


def _with_weights(runs: Sequence[Compared]) -> list[tuple[Compared, Mapping[Modality, Floats]]]:
    return [(run, {m: run.weights[m] for m in MODALITIES if m in run.weights}) for run in runs if run.weights]


def _ranges(weights: Sequence[Mapping[Modality, Floats]]) -> list[tuple[float, float]]:
    """An x range for each model that holds its means ± one deviation, all widened to the same width."""
    found = []
    for of_run in weights:
        means = [(of.mean(axis=0), of.std(axis=0)) for of in of_run.values()]
        low, high = (float(f([m + sign * s for m, s in means])) for f, sign in ((np.min, -1), (np.max, 1)))
        found.append((low, high))
    width = max(1.12 * max(high - low for low, high in found), 2e-3)
    return [((low + high - width) / 2, (low + high + width) / 2) for low, high in found]


def _ends(weighted: Sequence[tuple[Compared, Mapping[Modality, Floats]]]) -> str:
    """A sentence with the range of all points, since the axes magnify small differences."""
    means = np.concatenate([of.mean(axis=0) for _, weights in weighted for of in weights.values()])
    digits = 3 if means.max() - means.min() > 0.002 else 5
    return f" All points lie between {means.min():.{digits}f} and {means.max():.{digits}f}."


def _key(weights: Mapping[Modality, Floats]) -> Html:
    items = []
    for modality, of in weights.items():
        mark = swatch(COLOUR[modality], "-" if modality == "visible" else "--")
        items.append(element("li", mark, f"{SIGNS[MARKER[modality]]} {modality}, {len(of)} clips"))
    return element("ul", *items, class_="key")
