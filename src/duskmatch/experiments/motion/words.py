"""motion.json as text and as charts."""

from __future__ import annotations

from collections.abc import Sequence

from duskmatch.evaluation.words import ARROWS, interval, percent
from duskmatch.experiments.motion.document import MotionDocument, MotionResult, OrderScores
from duskmatch.experiments.publish import change, computed_by, facts_tables, markdown, origin
from duskmatch.pictures.charts import SERIES
from duskmatch.pictures.dots import Dot, DotChart, Dots
from duskmatch.records import REMOVED

AMONG = {
    "everyone": "among everyone",
    "twins": "each among its own four twins",
    "twins_other_cameras": "each among its own four twins, its own camera left out",
}
COLUMNS = (
    "run", "direction", "frames", "rank-1", "95 %", "less in order (95 %)", "mAP", "95 %", "less in order (95 %)",
    "cosine", "chance",
)  # fmt: skip


def motion_table(document: MotionDocument) -> str:
    """The text of motion.md: a table in per cent for each data set, then everything the figures depend on."""
    parts = ["# Does the model use motion?", origin(document.data), EXPLANATION]
    for data, among in panels(document):
        results = chosen(document, data, among)
        rows = [row for result in results for row in _rows(document, result)]
        parts += [
            f"## {title(document, data)}, {AMONG[among]}",
            _counts(results) + _rule(document, data),
            markdown(COLUMNS, rows),
        ]
    parts += facts_tables(document.runs, document.data, document.split)
    return "\n\n".join([*parts, computed_by(document.machine, document.versions)]) + "\n"


def motion_charts(document: MotionDocument) -> list[DotChart]:
    """Rank-1 by order of frames: a panel for each data set and direction, a row for each RUN."""
    charts = []
    for data, among in panels(document):
        both = chosen(document, data, among)
        highest = max(scores.rank1_interval[1] for one in both for scores in one.orders.values())
        for direction, arrow in ARROWS.items():
            results = [one for one in both if one.direction == direction]
            series = [
                Dots(words, SERIES[place], [_dot(result.orders[order]) for result in results])
                for place, (order, words) in enumerate(document.orders.items())
            ]
            charts.append(
                DotChart(
                    f"{title(document, data)}, {AMONG[among]}\n{arrow}",
                    [result.run for result in results],
                    series,
                    x_label="rank-1, %",
                    chance=100 * results[0].chance,
                    x_range=(0, max(105 * highest, 150 * results[0].chance)),
                )
            )
    return charts


def panels(document: MotionDocument) -> list[tuple[str, str]]:
    """(data set, among whom), in the order of the document."""
    return list(dict.fromkeys((result.data, result.among) for result in document.results))


def chosen(document: MotionDocument, data: str, among: str) -> list[MotionResult]:
    return [one for one in document.results if (one.data, one.among) == (data, among)]


def title(document: MotionDocument, data: str) -> str:
    """The data set's name, which twins it holds, and that it is synthetic."""
    facts = next(one for one in document.data if one.name == data)
    twins = facts.twins.replace("_", " ") if facts.twins else None
    words = ", ".join(filter(None, (twins, "SYNTHETIC" if facts.synthetic else None)))
    return f"{data} ({words})" if words else data


def _rows(document: MotionDocument, result: MotionResult) -> list[Sequence[str]]:
    return [
        (
            result.run, ARROWS[result.direction], words,
            percent(scores.rank1), interval(scores.rank1_interval), change(scores.rank1_difference),
            percent(scores.mAP), interval(scores.mAP_interval), change(scores.mAP_difference),
            f"{scores.similarity:.3f}", percent(result.chance),
        )
        for order, words in document.orders.items()
        for scores in [result.orders[order]]
    ]  # fmt: skip


def _counts(results: Sequence[MotionResult]) -> str:
    """The numbers of queries and people in each direction, which are the same for every RUN."""
    counts = {}
    for one in results:
        left_out = f", {one.n_left_out} of them left out (no match)" if one.n_left_out else ""
        arrow = ARROWS[one.direction]
        counts[arrow] = f"{arrow}: {one.n_queries} queries{left_out}, {one.n_people} people scored"
    return "; ".join(counts.values()) + "."


def _rule(document: MotionDocument, data: str) -> str:
    """The camera rule in words; empty for an older document without it."""
    rule = next(one for one in document.data if one.name == data).camera_rule
    return f" Camera rule {rule}: {REMOVED[rule]}." if rule else ""


def _dot(scores: OrderScores) -> Dot:
    return Dot(100 * scores.rank1, *(100 * end for end in scores.rank1_interval))


EXPLANATION = (
    'Per cent; intervals are 95 % over people. "Less in order" is the difference to the row "in order" over the same '
    "queries, people resampled alike: a model that uses the order of frames loses here where they are shuffled, one "
    "that averages frames does not. One frame repeated also takes away what the other frames show. Cosine: how like "
    "a query's vector is to its own from frames in order."
)
