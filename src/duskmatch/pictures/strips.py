"""Ranked strips as picture files: the query, then its nearest gallery entries, marked right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from duskmatch.evaluation.words import chance
from duskmatch.pictures.charts import INK
from duskmatch.pictures.sheets import (
    MARGIN_PX,
    RIGHT,
    SIGN,
    UNKNOWN,
    WRONG,
    end_of_list,
    left_of,
    n_hits,
    strip_width,
    tile,
    write_sheet,
)
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX, middle_frame, thumbnail
from duskmatch.records import Embeddings, Ranking, Tracklet

ROW_PX, HEAD_PX, LEAST_WIDTH_PX = 232, 96, 620  # the least that title and small print need
TITLE_CHARACTER_PX = 8.5
PAGE_ROWS = 8
NOTE = (
    "Beside each query its nearest gallery entries, nearest first. Below each entry: right (✓) or wrong (✗), neither "
    "where one of the two people is not known; the distance, 1 − cosine; person and camera."
)
Shown = tuple[Mapping[str, Tracklet], Mapping[str, Tracklet]]  # the queries' pictures, the gallery's
Probability = npt.NDArray[np.float64]


class Answers(NamedTuple):
    """The probability of each hit (q k), and what a strip without hits says."""

    probability: Probability | None
    nobody: str

    def of(self, row: int, place: int) -> str:
        """A hit's probability in words; nothing where there is none."""
        p = np.nan if self.probability is None else self.probability[row, place]
        return "" if np.isnan(p) else f", {chance(p)}"


def ranked_strips(
    folder: Path,
    query: Embeddings,
    gallery: Embeddings,
    ranking: Ranking,
    tracklets: Mapping[str, Tracklet],
    *,
    gallery_tracklets: Mapping[str, Tracklet] | None = None,
    rows_per_page: int = PAGE_ROWS,
    title: str = "Nearest gallery entries",
    note: str = "",
    probability: Probability | None = None,
    nobody: str = "",
) -> list[Path]:
    """Writes strips-001.png, strips-002.png, ... in `folder`, one row for each query, and returns their paths.

    `tracklets` maps names in `sources` to tracklets; `gallery_tracklets` does so for the gallery, if a name may mean
    different tracklets on the two sides (as with halves of a track). A missing tracklet is drawn grey. `probability`
    (q k) is written below each hit unless it is NaN; `nobody` beside a query without hits.
    """
    shown = tracklets, tracklets if gallery_tracklets is None else gallery_tracklets
    width = max(LEAST_WIDTH_PX, strip_width(n_hits(ranking)))
    pages = []
    for number, start in enumerate(range(0, len(query), rows_per_page), start=1):
        rows = range(start, min(start + rows_per_page, len(query)))
        draw = partial(_page, title, query, gallery, ranking, shown, Answers(probability, nobody), rows)
        path = Path(folder) / f"strips-{number:03d}.png"
        pages.append(write_sheet(path, width, HEAD_PX + len(rows) * ROW_PX, draw, f"{NOTE}\n{note}"))
    return pages


def _page(
    title: str,
    query: Embeddings,
    gallery: Embeddings,
    ranking: Ranking,
    shown: Shown,
    answers: Answers,
    rows: Sequence[int],
    axes: Axes,
) -> None:
    letters = int((axes.get_xlim()[1] - 2 * MARGIN_PX) / TITLE_CHARACTER_PX)
    lines = wrap(title, letters, max_lines=2, placeholder=" …")
    axes.text(MARGIN_PX, 12, "\n".join(lines), size=10, weight="bold", va="top")
    axes.text(MARGIN_PX, 54, f"camera rule: {ranking.camera_rule}", color=UNKNOWN, va="center")
    _numbers(axes, n_hits(ranking))
    for place, row in enumerate(rows):
        _strip(axes, HEAD_PX + place * ROW_PX, query, gallery, ranking, shown, answers, row)


def _numbers(axes: Axes, n: int) -> None:
    for place in range(n + 1):
        words, weight = (str(place), "normal") if place else ("query", "bold")
        axes.text(left_of(place) + WIDTH_PX / 2, HEAD_PX - 16, words, ha="center", va="center", weight=weight)


def _strip(
    axes: Axes,
    top: int,
    query: Embeddings,
    gallery: Embeddings,
    ranking: Ranking,
    shown: Shown,
    answers: Answers,
    row: int,
) -> None:
    known = query.pids[row] >= 0
    tile(axes, 0, top, _picture(query, row, shown[0]), INK, f"{_who(query, row)}\n{query.modalities[row]}")
    for place, column in enumerate(ranking.indices[row, : n_hits(ranking)]):
        if column < 0 and place == 0 and answers.nobody:
            axes.text(left_of(1), top + HEIGHT_PX / 2, answers.nobody, color=INK, va="center", size=10)
            break
        if column < 0:
            end_of_list(axes, place + 1, top)
            continue
        judged = known and gallery.pids[column] >= 0
        colour = (RIGHT if ranking.matches[row, place] else WRONG) if judged else UNKNOWN
        words = f"{SIGN[colour]} {ranking.dist[row, place]:.3f}{answers.of(row, place)}".strip()
        tile(axes, place + 1, top, _picture(gallery, column, shown[1]), colour, f"{words}\n{_who(gallery, column)}")


def _picture(side: Embeddings, row: int, tracklets: Mapping[str, Tracklet]) -> np.ndarray:
    tracklet = tracklets.get(side.sources[row]) if side.sources else None
    return thumbnail(middle_frame(tracklet) if tracklet else Path())


def _who(side: Embeddings, row: int) -> str:
    person = f"person {side.pids[row]}" if side.pids[row] >= 0 else "unknown"
    camera = side.camids[row]
    return f"{person}\ncamera {camera if camera >= 0 else 'unknown'}"
