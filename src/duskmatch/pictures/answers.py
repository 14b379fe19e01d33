"""The report's section on pairs and on people who are not in the gallery: tables, histograms, DET, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation import Evaluation
from duskmatch.evaluation.answers import Answers
from duskmatch.evaluation.held_out import HeldOut
from duskmatch.evaluation.operating_points import per_cent
from duskmatch.evaluation.verification import Verification, separation_of
from duskmatch.evaluation.words import ARROWS, FURTHER, interval, percent, scored_pairs, verifications
from duskmatch.pictures.charts import INK, SERIES, Chart, Line, as_svg, drawn_svg
from duskmatch.pictures.distances import draw_distances, key_of_pairs
from duskmatch.pictures.html import Child, Html, element, table

WIDTH, HEIGHT = 3.7, 2.7
INTRODUCTION = (
    "A ranked list always has a first entry. These figures ask how far a similarity can be trusted: whether two clips "
    "show the same person, and whether somebody who is not in the gallery at all is taken for somebody who is. A rate "
    "is given only if there are enough independent people for it: 3 divided by their number is the least that they "
    "bear, since what never happened to n people may still happen to 3 of n. Intervals are 95 % of draws of people."
)
PAIRS = (
    "All pairs of query and gallery, without those that the camera rule removes. FAR: share of pairs of two people "
    "accepted as one person; TAR: share of pairs of one person that are accepted; EER: where FAR equals 1 − TAR."
)
UNKNOWN = (
    "Each query is searched with its own person in the gallery, and again without. FPIR: share of searches without "
    "the own person in which somebody is found (a false alarm); FNIR: share of searches with it in which the own "
    "person is not found; identified: the nearest entry is the own person's and near enough. The figures hold for a "
    "gallery of this size; with more people false alarms become more frequent."
)
Document = Mapping[str, Any]


def answers_section(evaluation: Evaluation, document: Document) -> list[Html]:
    """Tables and charts; nothing if the answers were not measured."""
    if not evaluation.answers:
        return []
    return [
        element("p", INTRODUCTION),
        element("h3", "The same person, or not"),
        pairs_table(document),
        *_reasons(why for _, found in verifications(document) for why in _why([found["eer"], *found["tar"]])),
        element("div", *_charts(evaluation, document), class_="columns three"),
        element("h3", "Somebody who is not in the gallery"),
        unknown_table(document),
        *_reasons(
            f"{arrow}: {why}" for arrow, scores, _ in scored_pairs(document) if "open_set" in scores
            for why in _why([rate["fnir"] for rate in scores["open_set"]["rates"]])
        ),
    ]  # fmt: skip


def pairs_table(document: Document) -> Html:
    """EER, and TAR at each FAR, of each pair of the protocol that has pairs of its own."""
    rows: list[list[Child]] = []
    found = verifications(document)
    for arrows, of in found:
        figures = [of["eer"], *of["tar"]]
        counts = [f"{of[key]:,}" for key in ("n_same", "n_others", "n_people")]
        rows.append([_names(arrows), *(_cell(figure) for figure in figures), *counts])
    rates = [f"TAR at FAR {per_cent(tar['far'])}" for tar in found[0][1]["tar"]]
    head = ["per cent", "EER", *rates, "pairs of one person", "pairs of two", "people"]
    return table(head, rows, caption=_synthetic(document) + PAIRS)


def unknown_table(document: Document) -> Html:
    """FNIR and rank-1 identification at each FPIR, with the gallery's size."""
    rows: list[list[Child]] = []
    for arrow, scores, _ in scored_pairs(document):
        if "open_set" not in scores:
            continue
        found = scores["open_set"]
        size = f"{found['gallery_people']:,} people, {found['gallery_entries']:,} entries"
        figures = [rate[name] for rate in found["rates"] for name in ("fnir", "rank1")]
        rows.append([arrow, size, *(_cell(figure) for figure in figures), f"{found['n_people']:,}"])
        rates = [rate["fpir"] for rate in found["rates"]]
    names = [f"{name} at FPIR {per_cent(rate)}" for rate in rates for name in ("FNIR", "identified")]
    head = ["per cent", "gallery", *names, "people left out in turn"]
    return table(head, rows, caption=_synthetic(document) + UNKNOWN)


def det_chart(answers: Mapping[str, Answers], document: Document) -> Html:
    """False rejections against false acceptances, both logarithmic, down to the least rate that is measured."""
    lines = []
    for place, (name, of) in enumerate(answers.items()):
        found, colour = of.verification, SERIES[place % len(SERIES)]
        there = _drawable(found)
        lines.append(Line(name, 100 * found.far[there], 100 * found.frr[there], colour))
        if found.eer.value:
            equal = 100 * found.eer.value
            lines.append(Line(f"{name}: EER", [equal], [equal], colour, style="", marker="o"))
    chart = Chart(
        f"DET curve{_word(document)}", lines, x_label="pairs of two people accepted, %",
        y_label="pairs of one person rejected, %", log=True, log_x=True,
    )  # fmt: skip
    spoken = "; ".join(f"{name} EER {_spoken(of.verification.eer.value)}" for name, of in answers.items())
    return as_svg(chart, f"DET curve: {spoken}", width=WIDTH, height=HEIGHT)


def reliability_chart(answers: Mapping[str, HeldOut], document: Document) -> Html:
    """How often what was promised came true, for people whom the calibration had not seen."""
    lines = [Line("as promised", [0, 100], [0, 100], INK, style=":")]
    for place, (name, found) in enumerate(answers.items()):
        curve = found.curve
        colour = SERIES[place % len(SERIES)]
        lines.append(Line(name, 100 * curve.promised, 100 * curve.true, colour, marker="o"))
    chart = Chart(
        f"Reliability{_word(document)}", lines, x_label="probability promised, %", y_label="same person, %",
        x_range=(-2, 102), y_range=(-2, 102),
    )  # fmt: skip
    spoken = "; ".join(f"{name} calibration error {found.curve.error:.3f}" for name, found in answers.items())
    return as_svg(chart, f"Reliability: {spoken}", width=WIDTH, height=HEIGHT)


def _charts(evaluation: Evaluation, document: Document) -> Iterator[Html]:
    """Histograms, DET and reliability of each pair of the protocol that has pairs of its own."""
    words = {**ARROWS, **FURTHER}
    by_arrow = {words[name]: of for name, of in evaluation.answers.items()}
    own = {_names(arrows): by_arrow[arrows[0]] for arrows, _ in verifications(document)}
    for name, of in own.items():
        found = separation_of(of.counts)
        title = f"{name}: AUC {found.auc:.3f}" if found.auc is not None else name
        ends = float(found.edges[0]), float(found.edges[-1])
        spoken = f"{title}: {found.n_same} pairs of one person, {found.n_others} of two"
        draw = partial(draw_distances, f"Distances{_word(document)}\n{title}", found, ends, False)
        yield drawn_svg(draw, spoken, width=WIDTH, height=HEIGHT, key=key_of_pairs())
    if any(_drawable(of.verification).any() for of in own.values()):
        yield det_chart(own, document)
    reliable = {name: of.calibration for name, of in own.items() if isinstance(of.calibration, HeldOut)}
    if reliable:
        note = [_calibration_note(name, found) for name, found in reliable.items()]
        yield element("div", reliability_chart(reliable, document), *note)
    yield from _reasons(of.calibration for of in own.values() if isinstance(of.calibration, str))


def _drawable(found: Verification) -> npt.NDArray[np.bool_]:
    """The points of the DET curve that logarithmic axes have: neither rate is 0."""
    return np.asarray((found.frr > 0) & (found.far > 0), np.bool_)


def _calibration_note(name: str, found: HeldOut) -> Html:
    text = (
        f"{name}: probabilities for a prior of one half, fitted ({found.kind}) on four fifths of {found.n_people:,} "
        f"people, measured on the fifth, for each fifth. Calibration error (ECE) {found.curve.error:.3f}, Brier score "
        f"{found.brier:.3f} (0.25 knows nothing), log-loss {found.log_loss:.3f} ({np.log(2):.3f} knows nothing)."
    )
    return element("p", text, class_="small soft")


def _cell(figure: Document) -> Child:
    if figure["value"] is None:
        return "refused"
    return [percent(figure["value"]), element("small", f" {interval(figure['interval'])}", class_="soft")]


def _why(figures: Sequence[Document]) -> list[str]:
    return [figure["why"] for figure in figures if figure["value"] is None]


def _reasons(why: Iterator[str]) -> list[Html]:
    """The reasons for refused figures, each once."""
    found = list(dict.fromkeys(why))
    return [element("p", f"Refused: {'; '.join(found)}.", class_="small soft")] if found else []


def _names(arrows: Sequence[str]) -> str:
    return "both directions" if len(arrows) > 1 else arrows[0]


def _word(document: Document) -> str:
    return " (SYNTHETIC data)" if document["synthetic"] else ""


def _synthetic(document: Document) -> str:
    return "SYNTHETIC data. " if document["synthetic"] else ""


def _spoken(value: float | None) -> str:
    return "refused" if value is None else f"{percent(value)} %"
