"""Histograms of distances: clips of the same person against clips of different people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from duskmatch.evaluation import Evaluation, Separation, separation, separation_within
from duskmatch.pictures.charts import SERIES, drawn_svg, save_drawn, swatch
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.html import Html, element, table

SAME, OTHERS = SERIES[0], SERIES[1]
KINDS = {"visible": "within visible", "infrared": "within infrared", "across": "visible to infrared"}
WIDTH, HEIGHT = 3.7, 2.5
CAPTION = (
    "Distance 1 − cosine of every pair of clips, each pair once; pairs of one person from one camera are left out, as "
    "in the scores. Both kinds of pairs are drawn to the same area, however many there are. AUC, the area under the "
    "ROC, is the chance that a pair of the same person is nearer than a pair of different people (exact, over all of "
    "them): 0.5 is blind, 1 is no overlap. Each model has its own scale of distances, which means nothing by itself."
)
Separations = Mapping[str, Separation]


def separations(evaluation: Evaluation) -> Separations:
    """Kind of pair (within visible, within infrared, across) -> separation."""
    infrared, visible = (evaluation.query[d].embeddings for d in ("infrared_to_visible", "visible_to_infrared"))
    rule = evaluation.camera_rule
    return {
        "visible": separation_within(visible, camera_rule=rule),
        "infrared": separation_within(infrared, camera_rule=rule),
        "across": separation(infrared, visible, camera_rule=rule),
    }


def distances_section(runs: Sequence[Compared], found: Sequence[Separations]) -> list[Html]:
    """The table of AUCs, and a row of histograms for each model."""
    parts = [element("p", source(runs) + CAPTION, class_="small soft"), auc_table(runs, found), key_of_pairs()]
    for run, of_run in zip(runs, found, strict=True):
        charts = []
        for kind, of in of_run.items():
            draw = partial(draw_distances, _title(kind, of), of, _range(of_run), False)
            spoken = f"{run.name}, {_title(kind, of)}: {of.n_same} pairs of one person, {of.n_others} of two"
            charts.append(drawn_svg(draw, spoken, width=WIDTH, height=HEIGHT))
        parts += [element("h3", run.name), element("div", *charts, class_="columns three")]
    return parts


def auc_table(runs: Sequence[Compared], found: Sequence[Separations]) -> Html:
    """The AUC of each model and kind of pair, and the numbers of pairs."""
    rows = [[run.name, *(_auc(of) for of in of_run.values())] for run, of_run in zip(runs, found, strict=True)]
    first = found[0].values()
    rows.append(["pairs of the same person", *(f"{of.n_same:,}" for of in first)])
    rows.append(["pairs of different people", *(f"{of.n_others:,}" for of in first)])
    return table(["AUC", *KINDS.values()], rows)


def save_distances(path: Path, runs: Sequence[Compared], found: Sequence[Separations], note: str) -> Path:
    """The histograms as a picture file, a row for each model."""
    word = ", SYNTHETIC data" if runs[0].document["synthetic"] else ""
    panels = [
        partial(draw_distances, f"{run.name}{word}\n{_title(kind, of)}", of, _range(of_run), True)
        for run, of_run in zip(runs, found, strict=True)
        for kind, of in of_run.items()
    ]
    save_drawn(panels, path, note=f"{CAPTION}\n{note}", columns=len(KINDS), width=WIDTH, height=HEIGHT + 0.25)
    return path


def draw_distances(title: str, of: Separation, ends: tuple[float, float], legend: bool, axes: Axes) -> None:
    """Draws two histograms of equal area."""
    for counts, colour, style, label in (
        (of.others, OTHERS, "--", f"different people, {of.n_others:,}"),
        (of.same, SAME, "-", f"same person, {of.n_same:,}"),
    ):
        if counts.sum():
            density = counts / counts.sum()  # bins of one panel are equally wide
            axes.stairs(density, of.edges, color=colour, ls=style, lw=1.5, label=label)
            axes.stairs(density, of.edges, color=colour, alpha=0.22, fill=True, lw=0)
    axes.set(title=title, xlabel="distance, 1 − cosine", xlim=ends, yticks=[])
    top = axes.get_ylim()[1]
    axes.set_ylim(0, 1.3 * top if legend else top)  # room for the key above the bars
    axes.spines["left"].set_visible(False)
    if legend:
        axes.legend(fontsize=7, loc="upper left")


def _range(of_run: Separations) -> tuple[float, float]:
    """The common x range of a model's three panels."""
    edges = np.concatenate([of.edges for of in of_run.values() if of.n_same + of.n_others] or [np.array([0.0, 2.0])])
    return float(edges.min()), float(edges.max())


def _title(kind: str, of: Separation) -> str:
    return f"{KINDS[kind]}: AUC {_auc(of)}"


def _auc(of: Separation) -> str:
    return f"{of.auc:.3f}" if of.auc is not None else "– (nobody seen by two cameras)"


def key_of_pairs() -> Html:
    """The key of the histograms."""
    items = [(swatch(SAME), "same person"), (swatch(OTHERS, "--"), "different people")]
    return element("ul", *(element("li", *item) for item in items), class_="key")
