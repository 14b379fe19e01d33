"""Ranked strips as picture files: the query, then its nearest gallery entries, right and wrong told apart.

Source: in the manner of the paper's Fig. 6; marked by sign and line style as well as colour.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from duskmatch.files import write_bytes
from duskmatch.pictures.charts import INK, STYLE
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX, middle_frame, thumbnail
from duskmatch.records import Embeddings, Ranking, Tracklet

RIGHT, WRONG, UNKNOWN = "#2b7a3d", "#b3261e", "#6b6b6b"
SIGN = {RIGHT: "✓", WRONG: "✗", UNKNOWN: ""}
LINE_STYLE = {RIGHT: "-", WRONG: (0, (4, 2)), UNKNOWN: "-"}
GAP_PX, ROW_PX, HEAD_PX, MARGIN_PX = 18, 232, 60, 18
PAGE_ROWS = 8
Shown = tuple[Mapping[str, Tracklet], Mapping[str, Tracklet]]  # the queries' pictures, the gallery's


def ranked_strips(
    folder: Path,
    query: Embeddings,
    gallery: Embeddings,
    ranking: Ranking,
    tracklets: Mapping[str, Tracklet],
    *,
    gallery_tracklets: Mapping[str, Tracklet] | None = None,
    rows_per_page: int = PAGE_ROWS,
) -> list[Path]:
    """Pages strips-001.png, strips-002.png, ... in `folder`, one row for each query.

    `tracklets` holds the pictures by the names in `sources`, `gallery_tracklets` the gallery's where both sides may
    use one name (the halves of one track do); where one is missing its place stays grey.
    """
    shown = tracklets, tracklets if gallery_tracklets is None else gallery_tracklets
    pages = []
    for number, start in enumerate(range(0, len(query), rows_per_page), start=1):
        rows = range(start, min(start + rows_per_page, len(query)))
        path = Path(folder) / f"strips-{number:03d}.png"
        write_bytes(path, strip_page(query, gallery, ranking, shown, rows))
        pages.append(path)
    return pages


def strip_page(query: Embeddings, gallery: Embeddings, ranking: Ranking, shown: Shown, rows: Sequence[int]) -> bytes:
    """One page as PNG."""
    n_hits = ranking.indices.shape[1]
    width = 2 * MARGIN_PX + (n_hits + 1) * (WIDTH_PX + GAP_PX) + GAP_PX
    height = HEAD_PX + len(rows) * ROW_PX
    with rc_context(STYLE):  # type: ignore[arg-type]
        page = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = page.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        _head(axes, n_hits, ranking.camera_rule)
        for place, row in enumerate(rows):
            _strip(axes, HEAD_PX + place * ROW_PX, query, gallery, ranking, shown, row)
        out = io.BytesIO()
        page.savefig(out, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def _head(axes: Axes, n_hits: int, camera_rule: str) -> None:
    axes.text(MARGIN_PX, 18, f"camera rule: {camera_rule}", color=UNKNOWN, va="center")
    axes.text(left_of(0) + WIDTH_PX / 2, 44, "query", ha="center", va="center", weight="bold")
    for place in range(n_hits):
        axes.text(left_of(place + 1) + WIDTH_PX / 2, 44, str(place + 1), ha="center", va="center")


def _strip(
    axes: Axes,
    top: int,
    query: Embeddings,
    gallery: Embeddings,
    ranking: Ranking,
    shown: Shown,
    row: int,
) -> None:
    known = query.pids[row] >= 0
    tile(axes, 0, top, _picture(query, row, shown[0]), INK, f"{_who(query, row)}\n{query.modalities[row]}")
    for place, column in enumerate(ranking.indices[row]):
        if column < 0:
            axes.text(left_of(place + 1) + WIDTH_PX / 2, top + HEIGHT_PX / 2, "–", ha="center", color=UNKNOWN)
            continue
        judged = known and gallery.pids[column] >= 0
        colour = (RIGHT if ranking.matches[row, place] else WRONG) if judged else UNKNOWN
        words = f"{SIGN[colour]} {ranking.dist[row, place]:.3f}".strip()
        tile(axes, place + 1, top, _picture(gallery, column, shown[1]), colour, f"{words}\n{_who(gallery, column)}")


def tile(axes: Axes, place: int, top: int, picture: np.ndarray, colour: str, words: str) -> None:
    """One picture in its frame, its words below it."""
    left = left_of(place)
    axes.imshow(picture, extent=(left, left + WIDTH_PX, top + HEIGHT_PX, top), aspect="auto", interpolation="nearest")
    style = LINE_STYLE.get(colour, "-")
    axes.add_patch(Rectangle((left - 3, top - 3), WIDTH_PX + 6, HEIGHT_PX + 6, fill=False, ec=colour, lw=2.2, ls=style))
    axes.text(
        left + WIDTH_PX / 2, top + HEIGHT_PX + 8, words, ha="center", va="top", color=colour, size=7.5, parse_math=False
    )


def _picture(side: Embeddings, row: int, tracklets: Mapping[str, Tracklet]) -> np.ndarray:
    tracklet = tracklets.get(side.sources[row]) if side.sources else None
    return thumbnail(middle_frame(tracklet) if tracklet else Path())


def _who(side: Embeddings, row: int) -> str:
    person = f"person {side.pids[row]}" if side.pids[row] >= 0 else "unknown"
    camera = side.camids[row]
    return f"{person}\ncamera {camera if camera >= 0 else 'unknown'}"


def left_of(place: int) -> int:
    """Where a place of the row begins; the query is place 0."""
    return MARGIN_PX + place * (WIDTH_PX + GAP_PX) + (GAP_PX if place else 0)
