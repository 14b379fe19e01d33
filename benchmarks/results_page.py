"""Writes the table of docs/results.md from the scores.json files in benchmarks/results: no figure is typed by hand.

python benchmarks/results_page.py            # after copying a demo's scores.json there
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results.md"
BEGIN, END = "<!-- begin: benchmarks/results_page.py -->\n", "<!-- end -->\n"
DIRECTIONS = {"infrared_to_visible": "infrared → visible", "visible_to_infrared": "visible → infrared"}


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def row(name: str, document: dict[str, Any], direction: str, words: str) -> str:
    scores = document[direction]
    before = (document["untrained"] or {}).get(direction)
    low, high = scores["rank1_interval"]
    cells = [
        name,
        words,
        f"**{percent(scores['rank1'])}**",
        f"{percent(low)} to {percent(high)}",
        percent(scores["rank5"]),
        percent(scores["rank10"]),
        percent(scores["mAP"]),
        percent(before["rank1"]) if before else "none",
        percent(scores["chance"]),
        f"{scores['rank1'] / scores['chance']:.1f}",
        str(scores["n_queries"]),
    ]
    return "| " + " | ".join(cells) + " |"


def table(documents: dict[str, dict[str, Any]]) -> str:
    """Markdown; every line of it says which run, and its head says synthetic."""
    versions = sorted({d["data"]["version"] for d in documents.values()})
    lines = [
        f"Synthetic people (Duskwalk version {', '.join(versions)}), per cent.",
        "",
        "| run | direction | rank-1 | 95 % over people | rank-5 | rank-10 | mAP | rank-1 untrained | chance | "
        "rank-1 / chance | queries |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, document in documents.items():
        lines += [row(name, document, direction, words) for direction, words in DIRECTIONS.items()]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its table made anew."""
    files = sorted((HERE / "results").glob("demo_*.json"))
    documents = {file.stem.removeprefix("demo_"): json.loads(file.read_text(encoding="utf-8")) for file in files}
    head, rest = text.split(BEGIN)
    return head + BEGIN + table(documents) + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
