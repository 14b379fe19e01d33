"""Ranked strips of several models for the same queries, in the page and as picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from duskmatch.evaluation.words import ARROWS
from duskmatch.pictures.cases import RULE, distinct, shown_cases
from duskmatch.pictures.charts import INK
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.gallery_views import found_in_words, hits, n_matches, query_tile, who
from duskmatch.pictures.html import Html, element
from duskmatch.pictures.sheets import (
    MARGIN_PX,
    RIGHT,
    SIGN,
    WRONG,
    end_of_list,
    left_of,
    n_hits,
    strip_width,
    tile,
    write_sheet,
)
from duskmatch.pictures.thumbnails import middle_frame, thumbnail
from duskmatch.records import DIRECTIONS, Direction

DIFFER = "models differ"
DIFFER_RULE = (
    f" This is by the first model. “{DIFFER}” are the queries whose average precision differs most between the best "
    "and the worst model, again no person twice while others are left."
)
STRIP_PX, HEAD_PX, BLOCK_GAP_PX = 212, 30, 6
PAGE_STRIPS = 8
FOR_EACH_KIND = 4  # with fewer, `shown_cases` returns typical ones only
Cases = dict[str, list[int]]


def compared_cases(runs: Sequence[Compared], direction: Direction, n: int) -> Cases:
    """Query rows by kind: those of `shown_cases` for the first model, and those where models differ most."""
    scores = [run.evaluation.scores[direction] for run in runs]
    n_by_rule = max(n - n // 2, min(n - 1, FOR_EACH_KIND), 1) if len(runs) > 1 else n
    cases = shown_cases(scores[0], n_by_rule)
    precision = np.stack([s.average_precision for s in scores])
    spread = np.ptp(precision, axis=0)
    scored = scores[0].scored
    taken = {int(np.searchsorted(scored, row)) for rows in cases.values() for row in rows}
    order = [int(i) for i in np.argsort(-spread, kind="stable") if spread[i] > 0]
    if rows := [int(scored[i]) for i in distinct(order, n - n_by_rule, scores[0], taken)]:
        cases[DIFFER] = rows
    return cases


def strips_section(runs: Sequence[Compared], cases: dict[Direction, Cases]) -> list[Html]:
    """A block for each query: the query, then a row of its nearest for each model."""
    rule = source(runs) + RULE + (DIFFER_RULE if len(runs) > 1 else "")
    parts = [element("p", rule, class_="small soft")]
    for direction in DIRECTIONS:
        parts.append(element("h3", ARROWS[direction]))
        parts += [block(runs, direction, row, kind) for kind, rows in cases[direction].items() for row in rows]
    return parts


def block(runs: Sequence[Compared], direction: Direction, row: int, kind: str) -> Html:
    """One query and every model's hits."""
    first = runs[0].evaluation
    query = first.query[direction].tracklets[row]
    matches = n_matches(first, direction, row)
    caption = element(
        "figcaption", element("b", kind), f" · {who(query)} · {matches} match{'es' * (matches > 1)} in the gallery"
    )
    rows = [
        element(
            "div",
            element(
                "p", element("b", run.name), f" · {found_in_words(run.evaluation, direction, row)}", class_="small"
            ),
            element("ol", *hits(run.evaluation, direction, row), class_="tiles ten"),
        )
        for run in runs
    ]
    body = element("div", element("ol", query_tile(query), class_="tiles one"), element("div", *rows), class_="versus")
    return element("figure", caption, body, class_="models")


def strip_pages(folder: Path, runs: Sequence[Compared], cases: dict[Direction, Cases], note: str) -> list[Path]:
    """Writes the blocks as pages side-by-side-DIRECTION-001.png, ... and returns their paths."""
    pages = []
    per_page = max(1, PAGE_STRIPS // len(runs))
    for direction in DIRECTIONS:
        rows = [(kind, row) for kind, of_kind in cases[direction].items() for row in of_kind]
        for number, start in enumerate(range(0, len(rows), per_page), start=1):
            path = folder / f"side-by-side-{direction.replace('_', '-')}-{number:03d}.png"
            pages.append(_page(path, runs, direction, rows[start : start + per_page], note))
    return pages


def _page(
    path: Path, runs: Sequence[Compared], direction: Direction, rows: Sequence[tuple[str, int]], note: str
) -> Path:
    width = strip_width(n_hits(*(run.evaluation.rankings[direction] for run in runs)))
    block_px = HEAD_PX + len(runs) * (HEAD_PX + STRIP_PX) + BLOCK_GAP_PX

    def draw(axes: Axes) -> None:
        axes.text(MARGIN_PX, 18, f"{source(runs)}{ARROWS[direction]}", size=10, weight="bold", va="center")
        for place, (kind, row) in enumerate(rows):
            _block(axes, HEAD_PX + place * block_px, runs, direction, row, kind)

    return write_sheet(path, width, HEAD_PX + len(rows) * block_px, draw, note)


def _block(axes: Axes, top: int, runs: Sequence[Compared], direction: Direction, row: int, kind: str) -> None:
    query = runs[0].evaluation.query[direction].tracklets[row]
    axes.plot([MARGIN_PX, axes.get_xlim()[1] - MARGIN_PX], [top, top], color="#d4d4d2", lw=0.8)
    axes.text(MARGIN_PX, top + 18, f"{kind} · {who(query)}", va="center")
    for place, run in enumerate(runs):
        head = top + HEAD_PX + place * (HEAD_PX + STRIP_PX)
        words = f"{run.name} · {found_in_words(run.evaluation, direction, row)}"
        axes.text(left_of(1), head + 12, words, va="center", weight="bold", size=8.5)
        if not place:
            words = f"query\nperson {query.pid}\ncamera {query.camid}"
            tile(axes, 0, head + HEAD_PX, thumbnail(middle_frame(query)), INK, words)
        _strip(axes, head + HEAD_PX, run, direction, row)


def _strip(axes: Axes, top: int, run: Compared, direction: Direction, row: int) -> None:
    ranking, gallery = run.evaluation.rankings[direction], run.evaluation.gallery[direction].tracklets
    for place, column in enumerate(ranking.indices[row, : n_hits(ranking)]):
        if column < 0:
            end_of_list(axes, place + 1, top)
            continue
        found = gallery[column]
        colour = RIGHT if ranking.matches[row, place] else WRONG
        words = f"{SIGN[colour]} {ranking.dist[row, place]:.3f}\nperson {found.pid}\ncamera {found.camid}"
        tile(axes, place + 1, top, thumbnail(middle_frame(found)), colour, words)
