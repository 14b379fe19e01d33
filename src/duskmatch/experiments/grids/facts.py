"""What an experiment's figures depend on, in words: what all rows share, and what differs by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
Cells = list[list[str]]
KINDS = {  # of a row's settings, in words
    "preset": "preset",
    "method": "method",
    "iterations": "iterations",
    "clips_per_iteration": "clips",
    "training_frames": "frames",
    "size": "size",
    "schedule": "schedule",
    "camera_rule": "camera rule",
}


def facts(document: Document) -> dict[str, str]:
    """What all rows share."""
    budget = document["budget"]
    per_step = 2 * budget["pids_per_batch"] * budget["tracklets_per_pid"]
    iterations = (
        f"{budget['iterations']} iterations" if budget["iterations"] else "the data set's own number of iterations"
    )
    seeds = sorted({line["seed"] for line in document["rows"]})
    done = {(line["name"], line["seed"]) for line in document["rows"] if line["status"] == "done"}
    asked = {(line["name"], line["seed"]) for line in document["rows"]}
    reads = document["data"]["test_reads"]
    differing = [f"{KINDS[key]} {spread(values)}" for key, values in differing_settings(document).items()]
    threads = document["threads"] if isinstance(document["threads"], list) else [document["threads"]]
    return {
        "split": document["split"],
        "budget of a cell": (
            f"{iterations} of {per_step} clips x {budget['training_frames']} frames at "
            f"{budget['size'][0]}x{budget['size'][1]}, preset {budget['preset']}, schedule {budget['schedule']}"
            + (f", {' '.join('--' + o for o in budget['overrides'])}" if budget["overrides"] else "")
            + (f" (the first row's; differs by row: {', '.join(differing)})" if differing else "")
        ),
        **settings_file(document),
        "seeds": ", ".join(map(str, seeds)),
        "cells done": f"{len(done)} of {len(asked)}",
        "selection": selection_in_words(document["selection"], document["split"]),
        "camera rule": camera_rule(document),
        "times these people were read": "not counted" if reads is None else str(reads),
        "machine": f"{document['machine']}, {' or '.join(map(str, threads))} thread(s) a cell",
        "torch": document["versions"]["torch"],
        "fingerprint": document["data"]["fingerprint"][:16],
    }


def differing_settings(document: Document) -> dict[str, list[Any]]:
    """What is not the same in all rows: its values, row by row. An older document says nothing of its rows."""
    rows = list(document.get("rows_settings", {}).values())
    columns = {key: [row[key] for row in rows] for key in KINDS}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def settings_table(document: Document) -> tuple[list[str], Cells] | None:
    """A line for each row with what differs; None where nothing does."""
    differing = differing_settings(document)
    if not differing:
        return None
    lines = zip(document["rows_settings"], *differing.values(), strict=True)
    return ["row", *(KINDS[key] for key in differing)], [[name, *map(value_in_words, rest)] for name, *rest in lines]


def spread(values: list[Any]) -> str:
    """The least and the greatest of numbers, all of anything else."""
    if all(isinstance(value, int) for value in values):
        return f"{value_in_words(min(values))} to {value_in_words(max(values))}"
    return " or ".join(dict.fromkeys(map(value_in_words, values)))


def value_in_words(value: Any) -> str:
    if value is None:
        return "the data set's own"
    if isinstance(value, int):
        return f"{value:,}"
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def camera_rule(document: Document) -> str:
    rules = differing_settings(document).get("camera_rule")
    return f"differs by row: {spread(rules)}" if rules else str(document["camera_rule"])


def settings_file(document: Document) -> dict[str, str]:
    """The file of settings for all rows and what it says; nothing where there was none."""
    file = document.get("settings_file")
    if not file:
        return {}
    content = file["content"]
    said = "changed or gone since the cells were planned" if content is None else dotted(content) or "empty"
    return {f"settings of {file['name']}": said}


def dotted(tree: Mapping[str, Any], above: str = "") -> str:
    """section.key=value, ..."""
    return ", ".join(
        dotted(value, f"{above}{key}.") if isinstance(value, Mapping) and value else f"{above}{key}={value}"
        for key, value in tree.items()
    )


def selection_in_words(selection: str, split: str) -> str:
    if selection == "test_best_legacy":
        return f"last; beside it, flagged, the best checkpoint on the {split} people for each figure (no honest score)"
    return {"last": "the last checkpoint", "validation": "best on validation people"}[selection]
