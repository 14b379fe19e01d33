"""The settings of a grid as text: those that all rows share, and those that differ by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duskmatch.experiments.grids.document import GridDocument
from duskmatch.experiments.publish import Table

KINDS = {  # setting of a row -> its name in tables
    "preset": "preset",
    "method": "method",
    "iterations": "iterations",
    "clips_per_iteration": "clips",
    "training_frames": "frames",
    "size": "size",
    "schedule": "schedule",
    "camera_rule": "camera rule",
}


def facts(document: GridDocument) -> dict[str, str]:
    """The facts that all rows share: name -> text."""
    cells = {(one.name, one.seed): one.status for one in document.rows}
    reads = document.data["test_reads"]
    threads = document.threads if isinstance(document.threads, list) else [document.threads]
    return {
        "split": document.split,
        "budget of a cell": budget(document),
        **settings_file(document),
        "seeds": ", ".join(map(str, sorted({seed for _, seed in cells}))),
        "cells done": f"{list(cells.values()).count('done')} of {len(cells)}",
        "selection": selection_in_words(document.selection, document.split),
        "camera rule": camera_rule(document),
        "times these people were read": "not counted" if reads is None else str(reads),
        "machine": f"{document.machine}, {' or '.join(map(str, threads))} thread(s) a cell",
        "torch": document.versions["torch"],
        "fingerprint": document.data["fingerprint"][:16],
    }


def budget(document: GridDocument) -> str:
    """The training of every cell in one line, and the parts of it that differ by row."""
    given = document.budget
    iterations = f"{given.iterations} iterations" if given.iterations else "the data set's own number of iterations"
    overrides = f", {' '.join('--' + override for override in given.overrides)}" if given.overrides else ""
    differing = [f"{KINDS[key]} {spread(values)}" for key, values in differing_settings(document).items()]
    return (
        f"{iterations} of {2 * given.pids_per_batch * given.tracklets_per_pid} clips x {given.training_frames} frames "
        f"at {given.size[0]}x{given.size[1]}, preset {given.preset}, schedule {given.schedule}{overrides}"
        + (f" (the first row's; differs by row: {', '.join(differing)})" if differing else "")
    )


def differing_settings(document: GridDocument) -> dict[str, list[Any]]:
    """The settings that differ between rows, with each row's value; empty for an older document."""
    rows = document.rows_settings.values()
    columns = {key: [getattr(row, key) for row in rows] for key in KINDS}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def settings_table(document: GridDocument) -> list[Table]:
    """A table of the settings that differ by row; an empty list if none does."""
    differing = differing_settings(document)
    if not differing:
        return []
    rows = zip(document.rows_settings, *differing.values(), strict=True)
    cells = [[name, *map(value_in_words, rest)] for name, *rest in rows]
    return [Table("Settings that differ by row", ["row", *(KINDS[key] for key in differing)], cells)]


def spread(values: list[Any]) -> str:
    """The least and the greatest if they are numbers, else all different values."""
    if all(isinstance(value, int) for value in values):
        return f"{value_in_words(min(values))} to {value_in_words(max(values))}"
    return " or ".join(dict.fromkeys(map(value_in_words, values)))


def value_in_words(value: Any) -> str:
    if value is None:
        return "the data set's own"
    if isinstance(value, int):
        return f"{value:,}"
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def camera_rule(document: GridDocument) -> str:
    rules = differing_settings(document).get("camera_rule")
    return f"differs by row: {spread(rules)}" if rules else document.camera_rule


def settings_file(document: GridDocument) -> dict[str, str]:
    """The name and content of the --settings file; empty if there was none."""
    file = document.settings_file
    if file is None:
        return {}
    changed = "changed or gone since the cells were planned"
    return {f"settings of {file.name}": changed if file.content is None else dotted(file.content) or "empty"}


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
