"""Ranked strips of several models for the same queries, in the page and as picture files.

Source: in the manner of the paper's Fig. 6; right and wrong told apart by sign and line style as well as colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from duskmatch.evaluation.words import ARROWS, percent
from duskmatch.files import write_bytes
from duskmatch.pictures.cases import RULE, distinct, shown_cases
from duskmatch.pictures.charts import INK, STYLE
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.gallery_views import hit, image, n_matches, who
from duskmatch.pictures.html import Html, element
from duskmatch.pictures.strips import GAP_PX, MARGIN_PX, RIGHT, SIGN, UNKNOWN, WRONG, left_of, tile
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX, middle_frame, thumbnail
from duskmatch.records import DIRECTIONS, Direction

DIFFER = "models differ"
DIFFER_RULE = (
    f" This by the first model. “{DIFFER}” are the queries whose average precision differs most between the best and "
    "the worst model, again no person twice while others are left."
)
STRIP_PX, HEAD_PX, NOTE_LINE_PX, BLOCK_GAP_PX = 212, 30, 15, 6
PAGE_STRIPS = 8
CHARACTER_PX = 6  # of the small print
FOR_EACH_KIND = 4  # fewer than these, and `shown_cases` has typical ones alone
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
    seen = element("li", image(query, f"query: {who(query)}"), element("b", "query"), class_="query")
    rows = [
        element("div", element("p", element("b", run.name), f" · {_said(run, direction, row)}", class_="small"), hits)
        for run, hits in ((run, _hits(run, direction, row)) for run in runs)
    ]
    body = element("div", element("ol", seen, class_="tiles one"), element("div", *rows), class_="versus")
    return element("figure", caption, body, class_="models")


def _hits(run: Compared, direction: Direction, row: int) -> Html:
    ranking, gallery = run.evaluation.rankings[direction], run.evaluation.gallery[direction].tracklets
    tiles = [
        hit(rank, gallery[column], bool(match), float(dist)) if column >= 0 else element("li", "–", class_="none")
        for rank, (column, match, dist) in enumerate(
            zip(ranking.indices[row], ranking.matches[row], ranking.dist[row], strict=True), start=1
        )
    ]
    return element("ol", *tiles, class_="tiles ten")


def _said(run: Compared, direction: Direction, row: int) -> str:
    scores = run.evaluation.scores[direction]
    place = int(np.searchsorted(scores.scored, row))
    return (
        f"average precision {percent(scores.average_precision[place])} %, first match at rank {scores.first_hit[place]}"
    )


def strip_pages(folder: Path, runs: Sequence[Compared], cases: dict[Direction, Cases], note: str) -> list[Path]:
    """Pages side-by-side-DIRECTION-001.png, ... of whole blocks."""
    pages = []
    per_page = max(1, PAGE_STRIPS // len(runs))
    for direction in DIRECTIONS:
        rows = [(kind, row) for kind, of_kind in cases[direction].items() for row in of_kind]
        for number, start in enumerate(range(0, len(rows), per_page), start=1):
            path = folder / f"side-by-side-{direction.replace('_', '-')}-{number:03d}.png"
            write_bytes(path, _page(runs, direction, rows[start : start + per_page], note))
            pages.append(path)
    return pages


def _page(runs: Sequence[Compared], direction: Direction, rows: Sequence[tuple[str, int]], note: str) -> bytes:
    n_hits = runs[0].evaluation.rankings[direction].indices.shape[1]
    width = 2 * MARGIN_PX + (n_hits + 1) * (WIDTH_PX + GAP_PX) + GAP_PX
    lines = [part for line in note.splitlines() for part in wrap(line, (width - 2 * MARGIN_PX) // CHARACTER_PX)]
    block_px = HEAD_PX + len(runs) * (HEAD_PX + STRIP_PX) + BLOCK_GAP_PX
    height = HEAD_PX + len(rows) * block_px + NOTE_LINE_PX * (len(lines) + 1)
    with rc_context(STYLE):  # type: ignore[arg-type]
        page = Figure(figsize=(width / 100, height / 100), dpi=100)
        axes = page.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        axes.text(MARGIN_PX, 18, f"{source(runs)}{ARROWS[direction]}", size=10, weight="bold", va="center")
        for place, (kind, row) in enumerate(rows):
            _block(axes, HEAD_PX + place * block_px, runs, direction, row, kind)
        bottom = HEAD_PX + len(rows) * block_px
        axes.text(MARGIN_PX, bottom, "\n".join(lines), size=8, color=UNKNOWN, va="top", linespacing=1.35)
        out = io.BytesIO()
        page.savefig(out, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def _block(axes: Axes, top: int, runs: Sequence[Compared], direction: Direction, row: int, kind: str) -> None:
    query = runs[0].evaluation.query[direction].tracklets[row]
    axes.plot([MARGIN_PX, axes.get_xlim()[1] - MARGIN_PX], [top, top], color="#d4d4d2", lw=0.8)
    axes.text(MARGIN_PX, top + 18, f"{kind} · {who(query)}", va="center")
    for place, run in enumerate(runs):
        head = top + HEAD_PX + place * (HEAD_PX + STRIP_PX)
        words = f"{run.name} · {_said(run, direction, row)}"
        axes.text(left_of(1), head + 12, words, va="center", weight="bold", size=8.5)
        if not place:
            said = f"query\nperson {query.pid}\ncamera {query.camid}"
            tile(axes, 0, head + HEAD_PX, thumbnail(middle_frame(query)), INK, said)
        _strip(axes, head + HEAD_PX, run, direction, row)


def _strip(axes: Axes, top: int, run: Compared, direction: Direction, row: int) -> None:
    ranking, gallery = run.evaluation.rankings[direction], run.evaluation.gallery[direction].tracklets
    for place, column in enumerate(ranking.indices[row]):
        if column < 0:
            axes.text(left_of(place + 1) + WIDTH_PX / 2, top + HEIGHT_PX / 2, "–", ha="center", color=UNKNOWN)
            continue
        found = gallery[column]
        colour = RIGHT if ranking.matches[row, place] else WRONG
        words = f"{SIGN[colour]} {ranking.dist[row, place]:.3f}\nperson {found.pid}\ncamera {found.camid}"
        tile(axes, place + 1, top, thumbnail(middle_frame(found)), colour, words)
