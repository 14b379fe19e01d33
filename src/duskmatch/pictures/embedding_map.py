"""Embeddings as points on a plane, before and after training: people by colour, modalities by shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from matplotlib.axes import Axes

from duskmatch.evaluation import separation
from duskmatch.models.start import began_elsewhere
from duskmatch.pictures.charts import drawn_svg, save_drawn
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.html import Html, element
from duskmatch.records import Embeddings

# Readable on light and dark paper; too many to be told apart by colour alone, so each person has a letter too.
PEOPLE = ("#c4511a", "#2c78c4", "#4f9a3c", "#a24fb0", "#0f9590", "#c03a5e", "#8a7a1e", "#5a62c8", "#7c8087", "#2f8f63",
          "#c9873a", "#9b4a86")  # fmt: skip
LEAST_POINTS = 12  # with fewer, t-SNE is not used
PERPLEXITY = 12.0
LETTERS = ascii_uppercase
WIDTH = 4.6
MARK_AREA, MARK_INCHES = 88, 0.17  # square points; least distance of letters that can be read
T_SNE = (
    "t-SNE (scikit-learn, perplexity {perplexity:.0f}, PCA start, fixed seed): near points are alike; directions and "
    "distances between far ones mean nothing"
)
PCA = "the first two principal components: {share}; the other components are not shown"


@dataclass(frozen=True, slots=True)
class Map:
    """Points (n 2) and how they were placed."""

    points: npt.NDArray[np.float64]
    method: str


def placed(vectors: Float[np.ndarray, "n d"]) -> Map:
    """Unit vectors placed on a plane by t-SNE, or by principal components if they are few or all equal."""
    if len(vectors) < LEAST_POINTS or np.ptp(vectors, axis=0).max() == 0:
        return principal(vectors)
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=0, learning_rate="auto")
    method = T_SNE.format(perplexity=perplexity)
    return Map(tsne.fit_transform(vectors.astype(np.float32)).astype(float), method)


def principal(vectors: Float[np.ndarray, "n d"]) -> Map:
    """The first two principal components, each turned so that its largest weight is positive."""
    centred = vectors.astype(float) - vectors.mean(axis=0, dtype=float)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(axis=1)[:, None], axis=1))
    points = np.zeros((len(vectors), 2))
    points[:, : len(axes)] = centred @ axes.T
    total = float((values**2).sum())
    share = f"{100 * float((values[:2] ** 2).sum()) / total:.0f} % of the variance" if total else "no variance at all"
    return Map(points, PCA.format(share=share))


@dataclass(frozen=True, slots=True)
class Panel:
    """One map of one model; auc: that between modalities of the same clips, in all dimensions."""

    title: str
    who: Embeddings
    map: Map
    auc: float | None


def panels_of(runs: Sequence[Compared]) -> list[tuple[Panel, Panel]]:
    """For each model the map before and the map after training, of the same tracklets."""
    found = []
    for run in runs:
        after = _after(run)
        found.append((_panel("before training", run.untrained, run), _panel("after training", after, run)))
    return found


def _panel(when: str, who: Embeddings, run: Compared) -> Panel:
    infrared = np.array([m == "infrared" for m in who.modalities])
    auc = separation(who.take(infrared), who.take(~infrared), camera_rule=run.evaluation.camera_rule).auc
    return Panel(when if auc is None else f"{when}: AUC {auc:.3f}", who, placed(who.vectors), auc)


def _after(run: Compared) -> Embeddings:
    """The trained network's vectors of the tracklets in `run.untrained`, in their order."""
    sides = [run.evaluation.query[d].embeddings for d in ("visible_to_infrared", "infrared_to_visible")]
    vectors = {(m, s): v for e in sides for m, s, v in zip(e.modalities, e.sources, e.vectors, strict=True)}
    before = run.untrained
    rows = [vectors[key] for key in zip(before.modalities, before.sources, strict=True)]
    return Embeddings(np.stack(rows), before.pids, before.camids, before.modalities, before.sources)


def maps_section(runs: Sequence[Compared], maps: Sequence[tuple[Panel, Panel]]) -> list[Html]:
    """Two maps side by side for each model."""
    parts = [element("p", source(runs) + caption(runs, maps), class_="small soft")]
    for run, pair in zip(runs, maps, strict=True):
        charts = []
        for panel in pair:
            n, people = len(panel.who), len(np.unique(panel.who.pids))
            description = f"{run.name}, {panel.title}: {n} clips of {people} people as points"
            draw = partial(draw_map, panel.title[:1].upper() + panel.title[1:], panel)
            charts.append(drawn_svg(draw, description, width=WIDTH, height=WIDTH))
        parts += [element("h3", run.name), element("div", *charts, class_="columns")]
    return parts


def caption(runs: Sequence[Compared], maps: Sequence[tuple[Panel, Panel]]) -> str:
    """The words under the maps: clips, letters of people, method."""
    who = maps[0][1].who
    methods = list(dict.fromkeys(panel.map.method for pair in maps for panel in pair))
    how = methods[0] if len(methods) == 1 else "; ".join(methods)
    loaded = [run.name for run in runs if began_elsewhere(run.embedder.settings)]
    note = f" {', '.join(loaded)} began with loaded weights, not with the start shown." if loaded else ""
    letters = ", ".join(f"{LETTERS[i]} = person {pid}" for i, pid in enumerate(np.unique(who.pids)))
    return (
        f"All {len(who)} clips of {len(np.unique(who.pids))} people, spread evenly over those seen in both modalities; "
        "full circles are visible clips, hollow squares infrared. Each person has a colour and a letter: "
        f"{letters}; of overlapping marks only one shows it. Placed by {how}; each map has a plane of its "
        f"own. AUC is of these clips, from one modality to the other, in all dimensions (0.5 is chance). "
        f"Before training: the start of the RUN's seed.{note}"
    )


def save_maps(path: Path, runs: Sequence[Compared], maps: Sequence[tuple[Panel, Panel]], note: str) -> Path:
    """The maps as a picture file, a row for each model."""
    word = ", SYNTHETIC data" if runs[0].document["synthetic"] else ""
    panels = [
        partial(draw_map, f"{run.name}, {panel.title}{word}", panel)
        for run, pair in zip(runs, maps, strict=True)
        for panel in pair
    ]
    save_drawn(panels, path, note=f"{caption(runs, maps)}\n{note}", columns=2, width=WIDTH, height=WIDTH)
    return path


def draw_map(title: str, panel: Panel, axes: Axes) -> None:
    """Draws each clip as a mark, with the person's letter unless it would overlap an earlier letter."""
    points, span = panel.map.points, 1.12 * max(np.ptp(panel.map.points, axis=0).max(), 1e-9)
    people = np.searchsorted(np.unique(panel.who.pids), panel.who.pids)
    lettered = spaced(points, span * MARK_INCHES / WIDTH)
    for row in np.argsort(lettered, kind="stable"):  # those with a letter lie above the others
        colour, square = PEOPLE[people[row] % len(PEOPLE)], panel.who.modalities[row] == "infrared"
        face = colour if not square else "white" if lettered[row] else "none"
        ink = colour if square else "white"
        kind = {"marker": "s" if square else "o", "facecolors": face, "edgecolors": colour, "zorder": 2 + lettered[row]}
        x, y = points[row]
        axes.scatter(x, y, s=MARK_AREA, lw=1.1, **kind)
        if lettered[row]:
            letter = LETTERS[people[row] % len(LETTERS)]
            axes.text(x, y, letter, size=6.5, weight="bold", color=ink, ha="center", va="center_baseline")
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    (left, bottom), (right, top) = middle - span / 2, middle + span / 2
    axes.set(title=title, xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.spines[["top", "right"]].set_visible(True)


def spaced(points: npt.NDArray[np.float64], distance: float) -> npt.NDArray[np.bool_]:
    """A mask of points that are at least `distance` away from every earlier point of the mask."""
    kept = np.zeros(len(points), bool)
    for row, point in enumerate(points):
        kept[row] = (np.linalg.norm(points[kept] - point, axis=1) >= distance).all()
    return kept
