"""The health of a RUN's learned parts as a table, in the report and beside other RUNs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duskmatch.evaluation.words import percent
from duskmatch.health import figure_in_words, in_words
from duskmatch.pictures.compared import Compared, source
from duskmatch.pictures.html import Child, Html, element, table

Health = Mapping[str, Any]
NOTE = (
    "Medians over the last rows of log.csv after the warm-up, against their limits. A part that is dead or idle was "
    "not tested by this run: its score says nothing about it."
)
FIXED = (
    "What each part is worth: mAP on validation people, both directions averaged, with the part's output replaced by "
    "its mean over all clips of the modality."
)


def health_section(health: Health | None) -> list[Html]:
    """Each part's verdict and the knock-outs; empty if the RUN has no health.json."""
    if health is None:
        return []
    note = element("p", NOTE, class_="small soft")
    worth = [element("p", FIXED, class_="small soft")] if health["validation"] else []
    return [*parts_table(health, None), note, *knock_outs(health, "Validation split"), *worth]


def compared_health(runs: Sequence[Compared]) -> list[Html]:
    """The verdicts and knock-outs of every RUN."""
    parts: list[Html] = []
    for run in runs:
        health, caption = run.document.get("health"), f"{source(runs)}{run.name}"
        if health is None:
            parts.append(element("p", f"{caption}. ", *in_words(None)))
        else:
            parts += [*parts_table(health, caption), *knock_outs(health, f"{caption}, validation people")]
    return [*parts, element("p", NOTE, " ", FIXED, class_="small soft")]


def parts_table(health: Health, caption: str | None) -> list[Html]:
    """A line for each watched part, including parts that this run lacks."""
    if not health["parts"]:
        return [element("p", in_words(health)[0])]
    rows: list[list[Child]] = [[v["part"], _state(v), _figures(v), _iterations(v), v["why"]] for v in health["parts"]]
    return [table(["part", "is", "figure (its limit)", "iterations", "why"], rows, caption=caption, sentences=True)]


def knock_outs(health: Health, caption: str) -> list[Html]:
    """mAP of the embedding as it is and with each part fixed, or the reason why that was not measured."""
    validation = health["validation"]
    if validation is None:
        return [element("p", in_words(health)[1])]
    rows: list[list[Child]] = [["as it is", percent(validation["mAP"]), ""]]
    for one in validation["without"]:
        rows.append([f"{one['part']} fixed", percent(one["mAP"]), f"{100 * one['difference']:+.2f}"])
    title = f"{caption} ({validation['n_people']} people, embedding: {validation['embedding']})"
    return [table(["", "mAP, %", "points"], rows, caption=title)]


def _state(verdict: Mapping[str, Any]) -> Child:
    return element("strong", verdict["state"]) if verdict["state"] in ("dead", "idle") else verdict["state"]


def _figures(verdict: Mapping[str, Any]) -> str:
    return "; ".join(map(figure_in_words, verdict["figures"]))


def _iterations(verdict: Mapping[str, Any]) -> str:
    return "" if verdict["last"] is None else f"{verdict['first']} to {verdict['last']}"
