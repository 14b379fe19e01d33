"""Maps of where models look, as HTML and as a picture file: warm colours over a frame, beside the frame itself.

Source: in the manner of the paper's Fig. 7, which says no more than "the warmer the color, the more attention".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from duskmatch.evaluation.words import ARROWS
from duskmatch.pictures.attention import HEIGHT_PX, WIDTH_PX, Row, Tile, frames_differ, tiles_of
from duskmatch.pictures.charts import INK
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.gallery_views import who
from duskmatch.pictures.html import Html, element
from duskmatch.pictures.overlays import scale_of_heat
from duskmatch.pictures.sheets import MARGIN_PX, RIGHT, WRONG, framed, write_sheet
from duskmatch.pictures.thumbnails import data_uri

HEAD_PX, WORDS_PX, GAP_PX = 94, 34, 10
TABLE_REM, LARGEST_REM = 53, 7.2  # greatest width of a row's pictures together, and of one
CAPTION = (
    "The first query of each kind above, in the frame of its clip where the weakest of the models' Grad-CAM peaks is "
    "highest (if clips differ in length, each model shows a frame of its own). Activation: the length (L2 norm over "
    "channels) of the feature vector at each position of the last maps, which are averaged into the embedding; "
    "from the clip's least to its largest value. Grad-CAM: what in the same maps makes the query's embedding similar "
    "to that of the model's first hit, shown beside it, right (✓) or wrong (✗); from 0 to the clip's largest "
    "value. Warmer and brighter is more; the white line is half of the largest. These maps have few positions, so they "
    "tell parts of the body apart but no details; and they show where a model looks, not whether that is right."
)


def attention_section(runs: Sequence[Compared], rows: Sequence[Row]) -> list[Html]:
    """The caption, the scale, and a table with a row for each query."""
    scale = scale_of_heat()
    picture = element(
        "img", src=data_uri(scale), alt="the scale of colours", width=scale.shape[1], height=scale.shape[0]
    )
    differ = frames_differ(rows)
    groups = [tiles_of(row, differ) for row in rows]
    names = [element("th", run.name, colspan=len(g), scope="colgroup") for run, g in zip(runs, groups[0], strict=True)]
    if not differ:  # the shared frame belongs to no model
        names[0] = element("th", runs[0].name, colspan=len(groups[0][0]) - 1, scope="colgroup")
        names.insert(0, element("td"))
    columns = [element("th", tile.column, scope="col") for group in groups[0] for tile in group]
    head = element("thead", element("tr", element("td"), *names), element("tr", element("td"), *columns))
    body = [_table_row(row, group, runs) for row, group in zip(rows, groups, strict=True)]
    tile_rem = min(LARGEST_REM, TABLE_REM / len(columns))
    table = element("table", head, element("tbody", *body), class_="looks", style=f"--tile:{tile_rem:.2f}rem")
    return [
        element("p", source(runs) + CAPTION, class_="small soft"),
        element("p", "0 ", picture, " the clip's largest", class_="small soft heat-scale"),
        element("div", table, class_="scroll", tabindex="0"),
    ]


def _table_row(row: Row, groups: Sequence[Sequence[Tile]], runs: Sequence[Compared]) -> Html:
    name = element(
        "th", element("b", row.kind), element("br"), ARROWS[row.direction], element("br"),
        f"person {row.query.pid}", element("br"), f"camera {row.query.camid}", scope="row",
    )  # fmt: skip
    cells = []
    for run, group in zip(runs, groups, strict=True):
        for tile in group:
            words = f"{tile.column}, {run.name}: {who(row.query)} {tile.words}".strip()
            picture = element("img", src=data_uri(tile.picture), alt=words, width=WIDTH_PX, height=HEIGHT_PX)
            kind = {None: None, True: "right", False: "wrong"}[tile.match]
            cells.append(element("td", picture, element("small", tile.words), class_=kind))
    return element("tr", name, *cells)


def attention_page(path: Path, runs: Sequence[Compared], rows: Sequence[Row], note: str) -> Path:
    """Writes the same rows as a picture file and returns its path."""
    differ = frames_differ(rows)
    groups = [tiles_of(row, differ) for row in rows]
    step = WIDTH_PX + GAP_PX
    width = 2 * MARGIN_PX + sum(len(group) * step + 2 * GAP_PX for group in groups[0])
    row_px = HEIGHT_PX + WORDS_PX + 24

    def draw(axes: Axes) -> None:
        axes.text(MARGIN_PX, 20, source(runs), size=9, va="center")
        for place, (row, group) in enumerate(zip(rows, groups, strict=True)):
            _page_row(axes, HEAD_PX + place * row_px, row, group, [run.name for run in runs] if not place else None)

    return write_sheet(path, width, HEAD_PX + len(rows) * row_px, draw, f"{CAPTION}\n{note}")


def _page_row(axes: Axes, top: int, row: Row, groups: Sequence[Sequence[Tile]], names: Sequence[str] | None) -> None:
    words = f"{row.kind} · {ARROWS[row.direction]} · {who(row.query)}"
    axes.text(MARGIN_PX, top + 10, words, va="center", size=8.5)
    left = MARGIN_PX
    for place, group in enumerate(groups):
        for tile in group:
            if names:
                axes.text(left + WIDTH_PX / 2, top - 12, tile.column, ha="center", va="center", size=8)
            if names and tile.column == "activation":
                axes.text(left, top - 36, names[place], va="center", weight="bold", size=10)
            _tile(axes, left, top + 24, tile)
            left += WIDTH_PX + GAP_PX
        left += 2 * GAP_PX


def _tile(axes: Axes, left: int, top: int, tile: Tile) -> None:
    colour = {None: None, True: RIGHT, False: WRONG}[tile.match]
    framed(axes, tile.picture, (left, top, WIDTH_PX, HEIGHT_PX), colour, gap=0)
    middle, below = left + WIDTH_PX / 2, top + HEIGHT_PX + 8
    axes.text(middle, below, tile.words, ha="center", va="top", size=7.5, color=colour or INK)
