"""The report's first screen: the scores, and everything they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duskmatch.evaluation import Evaluation, origin, protocol_in_words
from duskmatch.evaluation.words import ARROWS, FIGURES, interval, percent, scored_pairs
from duskmatch.pictures.charts import DIRECTION_COLOUR, PAGE_COLOURS, Chart, Line, as_svg
from duskmatch.pictures.html import Child, Html, element, table
from duskmatch.records import DIRECTIONS

NAMES = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20"}
CMC_RANKS = 20
RANK_TICKS = (1, 5, 10, 15, 20)
Document = Mapping[str, Any]


def notice(document: Document) -> Html | None:
    """The banner of a score on data that are generated, or may be; None for real data."""
    if document["synthetic"] is False:
        return None
    head, _, rest = origin(document).partition(" ")
    first: Child = element("strong", head) if document["synthetic"] else head
    return element("p", first, " ", rest, ".", class_="notice", role="note")


def scores_section(document: Document) -> list[Html]:
    """Two cards, the table of all figures, the protocol."""
    return [
        element("div", *(card(document, direction) for direction in DIRECTIONS), class_="cards"),
        figures_table(document),
        element("h3", "What the figures depend on"),
        facts_list(protocol_in_words(document)),
    ]


def card(document: Document, direction: str) -> Html:
    """One direction's rank-1 on a scale with chance and the untrained network."""
    scores = document[direction]
    before = document["untrained"][direction] if document["untrained"] else None
    return element(
        "article",
        element("h3", ARROWS[direction]),
        element("p", percent(scores["rank1"]), element("span", "% rank-1"), class_="big"),
        scale(scores, before, PAGE_COLOURS[DIRECTION_COLOUR[direction]]),
        element("div", element("span", "0 %"), element("span", "100 %"), class_="scale-ends", aria_hidden="true"),
        element(
            "ul",
            element("li", "band: 95 % of draws of people, ", interval(scores["rank1_interval"]), " %"),
            element("li", "solid line: before training, ", percent(before["rank1"]), " %") if before else None,
            element("li", "dotted line: chance, ", percent(scores["chance"]), " %"),
            class_="key soft",
        ),
        class_="card",
    )


def scale(scores: Document, before: Document | None, colour: str) -> Html:
    """Rank-1 as a mark on a line from 0 to 100 %."""
    low, high = scores["rank1_interval"]
    return element(
        "div",
        element("div", class_="axis"),
        element("div", class_="range", style=f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"),
        element("div", class_="mark chance", style=f"left:{100 * scores['chance']:.2f}%"),
        element("div", class_="mark", style=f"left:{100 * before['rank1']:.2f}%") if before else None,
        element("div", class_="here", style=f"left:{100 * scores['rank1']:.2f}%"),
        class_="scale",
        style=f"--hue:{colour}",
        aria_hidden="true",
    )


def figures_table(document: Document) -> Html:
    """Every figure of both directions, before and after training, in per cent."""
    rows: list[list[Child]] = []
    for arrow, scores, before in scored_pairs(document):
        rows.append(_row(arrow, scores))
        if before:
            rows.append(_row(element("span", "before training", class_="soft"), before))
    head = [
        "per cent",
        *(NAMES.get(f, f) for f in FIGURES),
        "mAP 95 %",
        "chance",
        "queries",
        "gallery",
        "left out",
        "ties",
    ]
    word = "SYNTHETIC data. " if document["synthetic"] else ""
    caption = (
        f"{word}Left out: queries without a match after the camera rule. Ties: queries whose figures would change if "
        "equal distances were ordered otherwise."
    )
    return table(head, rows, caption=caption)


def cmc_chart(evaluation: Evaluation, document: Document) -> Html:
    """CMC curves to rank 20 of both directions, and of the untrained network if it was scored."""
    lines = []
    for direction in DIRECTIONS:
        scores, colour = evaluation.scores[direction], DIRECTION_COLOUR[direction]
        ranks = list(range(1, CMC_RANKS + 1))
        lines.append(Line(ARROWS[direction], ranks, 100 * scores.cmc[:CMC_RANKS], colour, marker="o"))
        if document["untrained"]:
            before = document["untrained"][direction]
            shown = (1, 5, 10, 20)
            values = [100 * before[f"rank{k}"] for k in shown]
            lines.append(Line(f"{ARROWS[direction]}, before training", shown, values, colour, style="", marker="x"))
    word = " (SYNTHETIC data)" if document["synthetic"] else ""
    chart = Chart(
        f"Queries with a match among the first k{word}, %", lines, x_label="k", y_range=(0, 102), x_ticks=RANK_TICKS
    )
    spoken = "; ".join(
        f"{ARROWS[d]} {100 * evaluation.scores[d].cmc[0]:.1f} % at rank 1, "
        f"{100 * evaluation.scores[d].cmc[CMC_RANKS - 1]:.1f} % at rank 20"
        for d in DIRECTIONS
    )
    return element("div", as_svg(chart, f"CMC curves: {spoken}", width=4.8, height=2.8), class_="single")


def facts_list(facts: Mapping[str, Child]) -> Html:
    """A definition list of names and values."""
    return element("dl", *((element("dt", what), element("dd", how)) for what, how in facts.items()))


def _row(name: Child, scores: Document) -> list[Child]:
    counts = [str(scores[key]) for key in ("n_queries", "n_gallery", "n_left_out", "n_ties")]
    return [
        name,
        *(percent(scores[figure]) for figure in FIGURES),
        interval(scores["mAP_interval"]),
        percent(scores["chance"]),
        *counts,
    ]
