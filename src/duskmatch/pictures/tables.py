"""The report's tables: by view difference, by pair of cameras, within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duskmatch.evaluation import Evaluation
from duskmatch.evaluation.words import ARROWS, percent
from duskmatch.pictures.breakdown import CMC_RANKS, Group, by_cameras, by_view, pairs_of, same_modality
from duskmatch.pictures.charts import SERIES, Chart, Line, as_svg
from duskmatch.pictures.headline import RANK_TICKS
from duskmatch.pictures.html import Child, Html, element, table
from duskmatch.records import DIRECTIONS, Direction

MAX_CAMERAS = 16


def breakdown_section(evaluation: Evaluation, walks: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Charts and tables by view difference, by pair of cameras, within one modality."""
    parts: list[Html] = []
    if evaluation.re_ranking:
        note = "The scores above are re-ranked; the groups and pairs below are ranked by cosine, without it."
        parts.append(element("p", note, class_="small soft"))
    views, cameras = [], []
    for direction in DIRECTIONS:
        pairs = pairs_of(evaluation, direction)
        groups = by_view(evaluation, direction, pairs, walks)
        if groups:
            views.append(element("div", view_chart(direction, groups), view_table(direction, groups)))
        cameras.append(camera_table(direction, by_cameras(evaluation, direction, pairs)))
    if views:
        note = "Each group is scored as if the gallery held only its matches, and all entries of other people."
        parts += [element("h3", "By view difference"), element("p", note, class_="small soft")]
        parts.append(element("div", *views, class_="columns"))
    note = "Rank-1 in per cent if the gallery held matches from that camera only; below it the number of queries."
    parts += [element("h3", "By pair of cameras"), element("p", note, class_="small soft")]
    parts.append(element("div", *cameras, class_="columns"))
    parts += [element("h3", "Within one modality"), same_modality_table(evaluation)]
    return parts


def view_chart(direction: Direction, groups: list[Group]) -> Html:
    """CMC by view difference."""
    ranks = list(range(1, CMC_RANKS + 1))
    lines = [Line(g.name, ranks, 100 * g.cmc, SERIES[i % len(SERIES)]) for i, g in enumerate(groups)]
    chart = Chart(
        f"{ARROWS[direction]}: match among the first k, %", lines, x_label="k", y_range=(0, 102), x_ticks=RANK_TICKS
    )
    spoken = ", ".join(f"{g.name}: {100 * g.rank1:.1f} %" for g in groups)
    return as_svg(chart, f"CMC by view difference, {ARROWS[direction]}; rank 1 at {spoken}")


def view_table(direction: Direction, groups: list[Group]) -> Html:
    rows: list[list[Child]] = [
        [g.name, str(g.n_queries), percent(g.cmc[0]), percent(g.cmc[4]), percent(g.cmc[9])] for g in groups
    ]
    return table(["view difference", "queries", "rank-1", "rank-5", "rank-10"], rows, caption=ARROWS[direction])


def camera_table(direction: Direction, groups: Mapping[tuple[int, int], Group]) -> Html:
    """Rank-1 by the query's camera (rows) and the match's camera (columns)."""
    all_queries, all_matches = (sorted({pair[i] for pair in groups}) for i in (0, 1))
    queries, matches = all_queries[:MAX_CAMERAS], all_matches[:MAX_CAMERAS]
    n_hidden = len(set(all_queries + all_matches) - set(queries + matches))
    more = f" ({n_hidden} more cameras are not shown)" if n_hidden else ""
    body = [
        element("tr", element("th", f"camera {a}", scope="row"), *(_cell(groups.get((a, b))) for b in matches))
        for a in queries
    ]
    head = element("tr", element("th", "query from"), *(element("th", str(b), scope="col") for b in matches))
    whole = element(
        "table",
        element("caption", f"{ARROWS[direction]}: match from camera{more}"),
        element("thead", head),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", tabindex="0")


def same_modality_table(evaluation: Evaluation) -> Html:
    """Scores of each modality searched within itself."""
    rows: list[list[Child]] = []
    for modality, scores in same_modality(evaluation).items():
        name = f"{modality} → {modality}"
        if isinstance(scores, str):
            rows.append([name, scores])
            continue
        counts = [str(scores.n_queries), str(scores.n_left_out)]
        figures = [percent(v) for v in (scores.rank1, scores.cmc[4], scores.mean_average_precision, scores.chance)]
        rows.append([name, *figures, *counts])
    caption = (
        "Per cent. The same vectors, each modality searched within itself; entries of the query's person and camera, "
        "and so the query itself, are always removed here."
    )
    return table(["", "rank-1", "rank-5", "mAP", "chance", "queries", "left out"], rows, caption=caption)


def _cell(group: Group | None) -> Html:
    if group is None:
        return element("td", "–", class_="heat", style="--warm:0%")
    return element(
        "td",
        f"{100 * group.rank1:.1f}",
        element("small", str(group.n_queries)),
        class_="heat",
        style=f"--warm:{50 * group.rank1:.0f}%",
    )
