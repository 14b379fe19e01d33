"""What experiments' tables share: Markdown, differences, whose RUNs and data. What was synthetic says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what a name holds of its own bars cannot cut a cell in two."""
    return markdown_lines([head, ["---"] * len(head), *rows])


def markdown_lines(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as a table, the line of dashes among them."""
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def change(difference: Document | None) -> str:
    """A difference in points of per cent, with its sign and interval; a dash where there is none."""
    if difference is None:
        return "–"
    return f"{100 * difference['value']:+.1f} ({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"


def origin(document: Document) -> str:
    """Whether the people were real, in one line."""
    made = [one["name"] for one in document["data"] if one["synthetic"]]
    if not made:
        return "Real data."
    return f"**SYNTHETIC data** ({', '.join(made)}): generated people, no figures of real ones."


def facts_tables(document: Document) -> list[str]:
    """The RUNs, the data and the machine, each with what the figures depend on."""
    runs = [
        (
            one["name"], str(one["seed"]), one["preset"], one["embedding"], _said(one["checkpoint"]),
            _said(one["selection"]), str(one["frames_per_clip"]), f"{one['engine']}, {one['precision']}",
        )
        for one in document["runs"]
    ]  # fmt: skip
    data = [
        (
            one["name"], " ".join(filter(None, (one["data"], one["version"]))),
            "synthetic" if one["synthetic"] else "real", _said(one["preset"]), _said(one["seed"]), _special(one),
            str(one["n_people"]), str(one["n_tracklets"]), one["fingerprint"][:16],
            "not counted" if one["test_reads"] is None else str(one["test_reads"]),
        )
        for one in document["data"]
    ]  # fmt: skip
    versions = ", ".join(f"{what} {which}" for what, which in document["versions"].items())
    return [
        "## Runs",
        markdown(("run", "seed", "preset", "embedding", "checkpoint", "selection", "frames", "computed by"), runs),
        f"## Data: {document['split']} people",
        markdown(
            ("data", "set", "people are", "preset", "seed", "made with", "people", "tracklets", "fingerprint", "reads"),
            data,
        ),
        f"Machine: {document['machine']}; {versions}.",
    ]


def _special(one: Document) -> str:
    if one["twins"]:
        return str(one["twins"])
    return f"{one['vary']} {one['severity']}" if one["vary"] else "nothing changed"


def _said(value: Any) -> str:
    return "not said" if value is None else str(value)
