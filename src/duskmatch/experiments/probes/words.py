"""probes.json as text and as charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duskmatch.evaluation.document import Interval
from duskmatch.evaluation.words import interval, percent
from duskmatch.experiments.document import RunFacts
from duskmatch.experiments.probes.document import LayerResult, ProbeResult, ProbesDocument, QuestionFacts
from duskmatch.experiments.publish import change, computed_by, facts_tables, markdown, origin
from duskmatch.pictures.charts import INK, SERIES
from duskmatch.pictures.dots import Dot, DotChart, Dots

COLUMNS = ("layer", "run", "accuracy", "95 %", "untrained", "95 %", "trained less untrained (95 %)", "shuffled", "95 %")
NOT_THERE = "not there"


def probes_table(document: ProbesDocument) -> str:
    """The text of probes.md: a table for each probe, f^l beside f_d, variance between people, RUNs and data."""
    word = " (SYNTHETIC)" if document.synthetic else ""
    parts = ["# What the layers know besides the person", origin(document.data), EXPLANATION + _note(document)]
    for question in document.questions:
        parts.append(f"## {question.words.capitalize()}{word}")
        if question.not_run:
            parts.append(f"Not run: {question.not_run}.")
            continue
        rows = [_row(document, question.name, one) for one in by_layer(document)]
        parts += [_counts(question), markdown(COLUMNS, rows)]
    parts += [f"## The attack beside the defense{word}", ATTACK, attack_table(document)]
    parts += [f"## Variance between people{word}", BETWEEN, people_table(document)]
    parts += facts_tables(document.runs, document.data, document.split)
    return "\n\n".join([*parts, computed_by(document.machine, document.versions)]) + "\n"


def attack_table(document: ProbesDocument) -> str:
    """A table of f^l minus f_d: a row for each probe that was run, a column for each RUN."""
    runs = [run.name for run in document.runs]
    rows = []
    for question in document.questions:
        if not question.not_run:
            found = {
                one.run: change(one.difference) for one in document.attack_less_defense if one.probe == question.name
            }
            rows.append([question.words, *(found.get(run, NOT_THERE) for run in runs)])
    return markdown(["probe", *runs], rows)


def people_table(document: ProbesDocument) -> str:
    """A table of the share of each layer's variance that lies between people."""
    rows = [
        [
            document.layer_words[one.layer], one.run, _cell(one.width, str), _cell(one.between_people, percent),
            _cell(one.interval, interval), _cell(one.untrained, percent), _cell(one.untrained_interval, interval),
            _cell(one.chance, percent),
        ]
        for one in by_layer(document)
    ]  # fmt: skip
    return markdown(["layer", "run", "width", "between people", "95 %", "untrained", "95 %", "by chance"], rows)


def _cell(value: Any, in_words: Callable[[Any], str]) -> str:
    return NOT_THERE if value is None else in_words(value)


def by_layer(document: ProbesDocument) -> list[LayerResult]:
    """The layers of all RUNs, sorted by layer."""
    order = list(document.layer_words)
    return sorted(document.layers, key=lambda one: order.index(one.layer))


# Series without dots, which appear in the key only.
MARKS = [
    Dots("untrained", INK, [], filled=False, beside=True),
    Dots("labels shuffled", INK, [], marker="x", beside=True),
]


def probes_charts(document: ProbesDocument) -> list[DotChart]:
    """A panel for each probe that was run: layers from top to bottom, each RUN trained, untrained and shuffled."""
    word = " (SYNTHETIC)" if document.synthetic else ""
    return [
        DotChart(
            f"{question.words}{word}",
            list(document.layer_words.values()),
            [series for place, run in enumerate(document.runs) for series in _series(document, question, run, place)]
            + MARKS,
            x_label="balanced accuracy, %",
            chance=100 * (question.chance or 0),
            x_range=(0, 102),
        )
        for question in document.questions
        if not question.not_run
    ]


def _series(document: ProbesDocument, question: QuestionFacts, run: RunFacts, place: int) -> list[Dots]:
    found = {one.layer: one for one in document.results if (one.run, one.probe) == (run.name, question.name)}
    there = [found.get(layer) for layer in document.layer_words]

    def dots(of: Callable[[ProbeResult], tuple[float, Interval]]) -> list[Dot | None]:
        return [None if one is None else _dot(*of(one)) for one in there]

    colour = SERIES[place % len(SERIES)]
    untrained = dots(lambda one: (one.untrained, one.untrained_interval))
    shuffled = dots(lambda one: (one.shuffled, one.shuffled_interval))
    return [
        Dots(run.name, colour, dots(lambda one: (one.accuracy, one.interval))),
        Dots("", colour, untrained, filled=False, beside=True),
        Dots("", colour, shuffled, marker="x", beside=True),
    ]


def _dot(value: float, ends: Interval) -> Dot:
    return Dot(100 * value, 100 * ends[0], 100 * ends[1])


def _row(document: ProbesDocument, probe: str, layer: LayerResult) -> list[str]:
    """The table row of one layer of one RUN, which may lack the layer."""
    name = [document.layer_words[layer.layer], layer.run]
    if layer.width is None:
        return [*name, *[NOT_THERE] * (len(COLUMNS) - len(name))]
    asked = (layer.run, layer.layer, probe)
    one = next(one for one in document.results if (one.run, one.layer, one.probe) == asked)
    return [
        *name, percent(one.accuracy), interval(one.interval), percent(one.untrained),
        interval(one.untrained_interval), change(one.gain), percent(one.shuffled),
        interval(one.shuffled_interval),
    ]  # fmt: skip


def _counts(question: QuestionFacts) -> str:
    classes = sorted(set(question.n_classes))
    among = f"{classes[0]}" if len(classes) == 1 else f"{classes[0]} to {classes[-1]}"
    left_out = question.n_left_out
    tail = f"; {left_out} tracklets left out (classes too rare, or nothing said)" if left_out else ""
    return (
        f"Chance {percent(question.chance or 0)}: {among} classes, asked {question.within}; "
        f"{question.n_tracklets} tracklets of {question.n_people} people{tail}."
    )


def _note(document: ProbesDocument) -> str:
    """A note on RUNs whose training began with loaded weights; empty where there are none."""
    loaded = ", ".join(document.began_with_weights or [])
    return f" Untrained is the start of a RUN's seed; {loaded} began with loaded weights instead." if loaded else ""


EXPLANATION = (
    "Balanced accuracy, per cent, of a linear probe trained on one half of the people and asked about the other, both "
    "ways; intervals are 95 % over people. Compare a layer with itself before training: a wider layer is easier to "
    "read whatever it was trained for. Shuffled: the same with labels dealt out at random, which must lie at chance."
)
ATTACK = (
    "f^l less f_d, in points of balanced accuracy (95 % over people, both resampled alike): above zero the attack's "
    "embedding says more about it than the defense's, which is as wide."
)
BETWEEN = (
    "Trace of the scatter between people over that of all, per cent, both modalities together. Other people than those "
    'trained on, so nobody can be classified; "by chance" is what vectors that know nothing of people have.'
)
