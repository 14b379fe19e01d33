"""A counterfactual document as text: counterfactual.md, and the tables of the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duskmatch.evaluation.words import ARROWS, origin
from duskmatch.experiments.counterfactual.charts import SEARCHES, SHIFT, Shown
from duskmatch.experiments.counterfactual.document import Counterfactual
from duskmatch.experiments.document import Estimate
from duskmatch.experiments.publish import Table
from duskmatch.records import DIRECTIONS

NAMED = 2  # columns of names; the others hold figures


def in_words(document: Counterfactual) -> str:
    """The text of counterfactual.md: each figure by severity with its interval, and everything it depends on."""
    parts = ["# Counterfactuals: one factor at a time", f"**{origin_of(document)}**", *sentences(document)]
    parts += [f"**Note.** {note}." for note in document.notes]
    parts += [table.markdown(n_names=NAMED) for table in tables(document)]
    parts += ["## What the figures depend on", "\n".join(f"- {what}: {how}" for what, how in facts(document).items())]
    return "\n\n".join(parts) + "\n"


def short_words(document: Counterfactual) -> str:
    """The terminal's tables: the shift and both directions' rank-1 by severity, without intervals."""
    lines = [origin_of(document), *(f"note: {note}" for note in document.notes)]
    for shown in (SHIFT, *SEARCHES[: len(DIRECTIONS)]):
        found = _table(document, shown, shown.title + (", %" if shown.percent else ""))
        cells = [
            found.head,
            *([*row[:NAMED], *(cell.partition(" (")[0] for cell in row[NAMED:])] for row in found.rows),
        ]
        wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["", found.title, *("  ".join(map(str.ljust, row, wide)).rstrip() for row in cells)]
    return "\n".join(lines)


def origin_of(document: Counterfactual) -> str:
    """The line that says that the people are generated."""
    return origin({"synthetic": document.synthetic, "data": document.data.model_dump()})


def sentences(document: Counterfactual) -> list[str]:
    """The paragraphs that say what was measured and how to read it."""
    data = document.data
    return [
        f"{data.n_people_filmed} of {data.n_people} test people walk their own walks again with one factor changed: "
        f"{', '.join(document.factors)}. Severity 0 is the data set as it is. Changed tracks are looked for among the "
        "unchanged gallery of all test people.",
        "In brackets: 95 % intervals over people. Changes since severity 0 and differences between RUNs are paired, "
        f"query by query and track by track. Shift: {document.protocol.shift}.",
    ]


def tables(document: Counterfactual) -> Iterator[Table]:
    """Tables of the shift and its differences between RUNs, then of each score and its change since severity 0."""
    yield _table(document, SHIFT, f"Embedding shift ({SYNTHETIC})")
    if document.differences:
        yield _differences(document)
    for shown in SEARCHES:
        title = shown.title.replace("rank", "Rank")
        yield _table(document, shown, f"{title}, % ({SYNTHETIC})")
        change = shown._replace(key=f"{shown.key}_change")
        yield _table(document, change, f"{title}: change since severity 0, points ({SYNTHETIC})", changes=True)


SYNTHETIC = "SYNTHETIC data"


def facts(document: Counterfactual) -> dict[str, str]:
    """The settings behind the figures: name -> words."""
    data, protocol = document.data, document.protocol
    found = {
        "data": f"{origin_of(document)}; {data.preset}, seed {data.seed}{f', {data.twins}' if data.twins else ''}",
        "fingerprint": data.fingerprint[:16],
        "protocol": protocol.name,
        "split": protocol.split,
        "camera rule": protocol.camera_rule,
        "sampling": DIFFERS if protocol.sampling is None else protocol.sampling,
        "re-ranking": protocol.re_ranking,
        "test-time extras": DIFFERS if protocol.test_time_extras is None else _listed(protocol.test_time_extras),
        "intervals": f"{protocol.interval}, seed {protocol.bootstrap_seed}",
        "times these test people were read": "not counted" if data.test_reads is None else str(data.test_reads),
        "filmed again for a check": "{equal} of {pictures} pictures equal to the byte".format(**data.refilmed),
        "machine": document.machine,
    }
    for direction in DIRECTIONS:
        out = f", {data.n_left_out[direction]} left out (no match)" if data.n_left_out[direction] else ""
        found[ARROWS[direction]] = (
            f"{data.n_queries[direction]} queries{out}, {data.n_gallery[direction]} in the gallery, "
            f"chance {100 * data.chance[direction]:.2f} %"
        )
    for run in document.runs:
        between = ", ".join(f"{value:.3f} {modality}" for modality, value in run.between_people.items())
        within = ", ".join(f"{value:.3f} {modality}" for modality, value in run.same_person.items())
        differing = "".join(
            f"{what} {how}; "
            for what, how, shared in (
                ("sampling", run.sampling, protocol.sampling),
                ("test-time extras", _listed(run.test_time_extras or []), protocol.test_time_extras),
            )
            if shared is None
        )
        found[f"RUN {run.name}"] = (
            f"preset {run.preset}, seed {run.seed}, {run.checkpoint or 'checkpoint not said'}, {run.selection}; "
            f"{run.frames_per_clip} frames, {run.engine} {run.precision}; {differing}trained on {run.training_data}; "
            f"distance between people {between}, between walks of one person {within} of that; "
            f"weights {run.weights_sha256[:16]}"
        )
    return found


DIFFERS = "not the same for all, see each RUN"


def _listed(extras: Sequence[str]) -> str:
    return ", ".join(extras) or "none"


def _table(document: Counterfactual, shown: Shown, title: str, *, changes: bool = False) -> Table:
    points = {(p.factor, p.run, p.severity): shown.of(p) for p in document.points}
    severities = [s for s in document.severities if s or not changes]
    rows = [
        [factor, run.name, *(_cell(points[factor, run.name, s], shown.percent, signed=changes) for s in severities)]
        for factor in document.factors
        for run in document.runs
    ]
    return Table(title, ["factor", "RUN", *map(str, severities)], rows)


def _differences(document: Counterfactual) -> Table:
    severities = document.severities[1:]
    found = {(d.factor, d.run, d.against, d.severity): d.shift.all for d in document.differences}
    pairs = list(dict.fromkeys((d.run, d.against) for d in document.differences))
    rows = [
        [factor, f"{run} − {against}", *(_cell(found[factor, run, against, s], False, signed=True) for s in severities)]
        for factor in document.factors
        for run, against in pairs
    ]
    head = ["factor", "RUNs", *map(str, severities)]
    return Table(f"Embedding shift, RUN against RUN on the same tracks ({SYNTHETIC})", head, rows)


def _cell(figure: Estimate, percent: bool, *, signed: bool) -> str:
    unit, digits = (100, 1) if percent else (1, 3)
    sign = "+" if signed else ""
    low, high = (f"{unit * end:{sign}.{digits}f}" for end in figure.interval)
    return f"{unit * figure.value:{sign}.{digits}f} ({low} to {high})".replace("-", "−")
