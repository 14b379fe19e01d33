"""What a command prints: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

_state = {"quiet": False, "json": False}
_notes = Console(stderr=True, highlight=False, soft_wrap=True)


def setup(*, quiet: bool, verbose: bool, as_json: bool) -> None:
    """Called once by the command line."""
    _state.update(quiet=quiet or as_json, json=as_json)
    level = logging.DEBUG if verbose else logging.WARNING if quiet or as_json else logging.INFO
    logging.basicConfig(stream=sys.stderr, format="%(message)s", force=True, level=logging.WARNING)
    logging.getLogger("duskmatch").setLevel(level)


def say(text: str) -> None:
    """A note for the person at the terminal; silent under -q and --json."""
    if not _state["quiet"]:
        _notes.print(text, markup=False)


def result(value: dict[str, Any], show: Callable[[dict[str, Any]], str]) -> None:
    """The command's result: JSON under --json, else the words that `show` makes of it."""
    print(json.dumps(value, indent=2, allow_nan=False) if _state["json"] else show(value), flush=True)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, with a progress bar that says what is happening and how long it will take."""
    with progress() as bar:
        task = bar.add_task(what, note="", total=total if total is not None else len(items))  # type: ignore[arg-type]
        for item in items:
            yield item
            bar.advance(task)


def progress() -> Progress:
    """A progress bar on stderr, hidden under -q and --json."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_notes,
        disable=_state["quiet"],
        transient=False,
    )
