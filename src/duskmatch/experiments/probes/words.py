"""probes.json in words and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duskmatch.evaluation.words import interval, percent
from duskmatch.experiments.words import change, facts_tables, markdown, origin
from duskmatch.pictures.charts import INK, SERIES
from duskmatch.pictures.dots import Dot, DotChart, Dots

COLUMNS = ("layer", "run", "accuracy", "95 %", "untrained", "95 %", "trained less untrained (95 %)", "shuffled", "95 %")
NOT_THERE = "not there"
Document = Mapping[str, Any]


def probes_table(document: Document) -> str:
    """Markdown: a table for each probe, per cent; f^l beside f_d; variance between people; what all depends on."""
    word = " (SYNTHETIC)" if document["synthetic"] else ""
    parts = ["# What the layers know besides the person", origin(document), EXPLANATION + _begun(document)]
    for question in document["questions"]:
        parts.append(f"## {question['words'].capitalize()}{word}")
        if question["not_run"]:
            parts.append(f"Not run: {question['not_run']}.")
            continue
        rows = [_row(document, question["name"], one) for one in by_layer(document)]
        parts += [_said_of(question), markdown(COLUMNS, rows)]
    parts += [f"## The attack beside the defense{word}", ATTACK, attack_table(document)]
    parts += [f"## Variance between people{word}", BETWEEN, people_table(document)]
    return "\n\n".join([*parts, *facts_tables(document)]) + "\n"


def attack_table(document: Document) -> str:
    """f^l less f_d, a row for each probe that was run, a column for each RUN."""
    runs = [run["name"] for run in document["runs"]]
    rows = []
    for question in document["questions"]:
        if not question["not_run"]:
            found = {
                one["run"]: change(one["difference"])
                for one in document["attack_less_defense"]
                if one["probe"] == question["name"]
            }
            rows.append([question["words"], *(found.get(run, NOT_THERE) for run in runs)])
    return markdown(["probe", *runs], rows)


def people_table(document: Document) -> str:
    """The share of each layer's variance that lies between people."""
    rows = [
        [document["layer_words"][one["layer"]], one["run"], *[NOT_THERE] * 6]
        if one["width"] is None
        else [
            document["layer_words"][one["layer"]], one["run"], str(one["width"]), percent(one["between_people"]),
            interval(one["interval"]), percent(one["untrained"]), interval(one["untrained_interval"]),
            percent(one["chance"]),
        ]
        for one in by_layer(document)
    ]  # fmt: skip
    return markdown(["layer", "run", "width", "between people", "95 %", "untrained", "95 %", "by chance"], rows)


def by_layer(document: Document) -> list[Document]:
    """The layers of all RUNs, the RUNs side by side."""
    order = list(document["layer_words"])
    return sorted(document["layers"], key=lambda one: order.index(one["layer"]))


# In the key alone.
MARKS = [
    Dots("untrained", INK, [], filled=False, beside=True),
    Dots("labels shuffled", INK, [], marker="x", beside=True),
]


def probes_charts(document: Document) -> list[DotChart]:
    """A panel for each probe that was run: layers from top to bottom, each RUN trained, untrained and shuffled."""
    word = " (SYNTHETIC)" if document["synthetic"] else ""
    return [
        DotChart(
            f"{question['words']}{word}",
            list(document["layer_words"].values()),
            [series for place, run in enumerate(document["runs"]) for series in _series(document, question, run, place)]
            + MARKS,
            x_label="balanced accuracy, %",
            chance=100 * question["chance"],
            x_range=(0, 102),
        )
        for question in document["questions"]
        if not question["not_run"]
    ]


def _series(document: Document, question: Document, run: Document, place: int) -> list[Dots]:
    colour, layers = SERIES[place % len(SERIES)], list(document["layer_words"])
    found = {
        one["layer"]: one
        for one in document["results"]
        if (one["run"], one["probe"]) == (run["name"], question["name"])
    }

    def dots(key: str, key_of_interval: str) -> list[Dot | None]:
        there = [found.get(layer) for layer in layers]
        return [None if one is None else _dot(one[key], one[key_of_interval]) for one in there]

    return [
        Dots(run["name"], colour, dots("accuracy", "interval")),
        Dots("", colour, dots("untrained", "untrained_interval"), filled=False, beside=True),
        Dots("", colour, dots("shuffled", "shuffled_interval"), marker="x", beside=True),
    ]


def _dot(value: float, ends: Sequence[float]) -> Dot:
    return Dot(100 * value, 100 * ends[0], 100 * ends[1])


def _row(document: Document, probe: str, layer: Document) -> list[str]:
    """One layer of one RUN; a layer that the RUN lacks says so."""
    name = [document["layer_words"][layer["layer"]], layer["run"]]
    if layer["width"] is None:
        return [*name, *[NOT_THERE] * (len(COLUMNS) - len(name))]
    asked = (layer["run"], layer["layer"], probe)
    one = next(one for one in document["results"] if (one["run"], one["layer"], one["probe"]) == asked)
    return [
        *name, percent(one["accuracy"]), interval(one["interval"]), percent(one["untrained"]),
        interval(one["untrained_interval"]), change(one["gain"]), percent(one["shuffled"]),
        interval(one["shuffled_interval"]),
    ]  # fmt: skip


def _said_of(question: Document) -> str:
    classes = sorted(set(question["n_classes"]))
    among = f"{classes[0]}" if len(classes) == 1 else f"{classes[0]} to {classes[-1]}"
    left_out = question["n_left_out"]
    tail = f"; {left_out} tracklets left out (classes too rare, or nothing said)" if left_out else ""
    return (
        f"Chance {percent(question['chance'])}: {among} classes, asked {question['within']}; "
        f"{question['n_tracklets']} tracklets of {question['n_people']} people{tail}."
    )


def _begun(document: Document) -> str:
    """Whose training did not begin where "untrained" stands; nothing where the document names nobody."""
    loaded = ", ".join(document.get("began_with_weights") or [])
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
