"""Sweeps of one setting at a time over several values, as in the paper's Fig. 8, and their curves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from duskmatch.errors import SettingsError
from duskmatch.evaluation.words import ARROWS
from duskmatch.experiments.grids.document import GridDocument
from duskmatch.experiments.grids.variants import Row
from duskmatch.pictures.charts import DIRECTION_COLOUR, Chart, Line
from duskmatch.records import DIRECTIONS
from duskmatch.yaml_text import plain_value


def swept(key: str, text: str) -> list[str]:
    """The values of `--key a,b,c`, without splitting inside brackets; an empty list if there is only one value."""
    values, depth, begin = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and not depth:
            values.append(text[begin:place].strip())
            begin = place + 1
    values.append(text[begin:].strip())
    if len(values) == 1:
        return []
    twice = next((v for v in values if not v or values.count(v) > 1), None)
    if twice is not None:
        raise SettingsError(f"--{key} must list values once each, a,b,c; got {text}")
    for value in values:
        try:
            plain_value(value, f"--{key}")
        except SettingsError as error:
            raise SettingsError(f"{error}; got {text}") from error
    return values


def sweep_rows(values: Mapping[str, Sequence[str]], reference: Mapping[str, Any]) -> list[Row]:
    """A row with the reference settings, then for each key one for every value that differs from its reference."""
    rows = [Row("as is")]
    for key, texts in values.items():
        for text in texts:
            if not same_value(text, reference[key]):
                rows.append(Row(f"{key}={text}", (f"{key}={text}",)))
    return rows


def same_value(text: str, value: Any) -> bool:
    """True if the text of an override means this value."""
    meant = plain_value(text, "a value")
    if isinstance(value, tuple):
        return bool(isinstance(meant, list) and tuple(meant) == value)
    if isinstance(meant, bool) or isinstance(value, bool):
        return meant is value
    return bool(meant == value)


def sweep_charts(
    document: GridDocument, values: Mapping[str, Sequence[str]], reference: Mapping[str, Any]
) -> list[Chart]:
    """For each swept key a chart of rank-1 and mAP of both directions over its values, in the order given."""
    charts = []
    word = " (SYNTHETIC)" if document.synthetic else ""
    for key, texts in values.items():
        names = ["as is" if same_value(t, reference[key]) else f"{key}={t}" for t in texts]
        ticks = list(range(1, len(texts) + 1))
        drawn = []
        for direction in DIRECTIONS:
            done = {x: own for x, name in zip(ticks, names, strict=True) if (own := document.done(name, direction))}
            for figure, style, marker in (("rank1", "-", "o"), ("mAP", "--", "s")) if done else ():
                label = f"{'rank-1' if figure == 'rank1' else figure}, {ARROWS[direction]}"
                means = [statistics.mean(one.percent(figure) for one in own) for own in done.values()]
                drawn.append(Line(label, tuple(done), means, DIRECTION_COLOUR[direction], style, marker))
        if drawn:
            charts.append(Chart(f"{key}{word}, %", drawn, x_ticks=ticks, x_names=texts))
    return charts
