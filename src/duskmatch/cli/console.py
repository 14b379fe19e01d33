"""Output of commands: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from threading import Event, Thread
from typing import Any, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from duskmatch.files import as_json

T = TypeVar("T")

_state = {"quiet": False, "json": False}
# Control characters but tab and line break, and those that turn the direction of text around.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
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
        _notes.print(without_controls(text), markup=False)


def result(value: dict[str, Any], show: Callable[[dict[str, Any]], str]) -> None:
    """The command's result: JSON under --json, else the words that `show` makes of it."""
    print(as_json(value) if _state["json"] else without_controls(show(value)), flush=True)


def without_controls(text: str) -> str:
    """The text with control characters escaped: those of a file or of its name must not steer the terminal."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, with a progress bar that says what is happening and how long it will take."""
    with progress() as bar:
        task = bar.add_task(what, note="", total=total if total is not None else len(items))  # type: ignore[arg-type]
        for item in items:
            yield item
            bar.advance(task)


def progress() -> Progress:
    """A progress bar on stderr; plain lines where no terminal is; nothing under -q and --json."""
    kind = Bars if _notes.is_terminal or _state["quiet"] else Lines
    return kind(
        Cut("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        Cut("{task.fields[note]}"),
        console=_notes,
        disable=_state["quiet"] or kind is Lines,
        transient=False,
    )


class Cut(TextColumn):
    """Text that ends in an ellipsis where it is longer than `most`."""

    most = 1000

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.truncate(self.most, overflow="ellipsis")
        return text


class Bars(Progress):
    """Bars of which a narrow terminal shortens the description, the note and the bar, never counts and times."""

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        tasks = [task for task in tasks if task.visible]
        description, bar, count, _, _, note = self.columns
        assert isinstance(description, Cut) and isinstance(bar, BarColumn) and isinstance(note, Cut)
        assert isinstance(count, ProgressColumn)
        description.most = note.most = Cut.most
        longest = [
            max((cell_len(str(column(task))) for task in tasks), default=0) for column in (description, count, note)
        ]
        description.most, bar.bar_width, note.most = shares(_notes.width, *longest)
        return super().make_tasks_table(tasks)


TIMES, GAPS = 2 * len("0:00:00"), 5  # characters of both times and between six columns
LONGEST_BAR, LEAST_BAR, LEAST_WORDS = 40, 8, 12


def shares(width: int, description: int, count: int, note: int) -> tuple[int, int, int]:
    """The characters of a line that the description, the bar and the note get."""
    room = max(0, width - TIMES - GAPS - count)
    if (bar := room - description - note) >= LEAST_BAR:
        return description, min(bar, LONGEST_BAR), note
    bar = min(LEAST_BAR, room)
    words = min(description, max(LEAST_WORDS, room - bar - note), room - bar)
    return words, bar, min(note, room - bar - words)


LINE_EVERY_S = 30.0


class Lines(Progress):
    """Progress without a terminal: each half minute and at the end a plain line with task, counts and times."""

    def start(self) -> None:
        self._over = Event()
        self._thread = Thread(target=self._speak, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._say([task for task in self.tasks if task.completed])

    def _speak(self) -> None:
        while not self._over.wait(LINE_EVERY_S):
            self._say([task for task in self.tasks if not task.finished])

    def _say(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if task.visible:
                say(in_a_line(task))


def in_a_line(task: Task) -> str:
    """`training: 40 of 400, 0:01:10, 0:10:30 left, stage 1`."""
    total = "" if task.total is None else f" of {task.total:.0f}"
    parts = [f"{task.completed:.0f}{total}", duration(task.elapsed or 0)]
    if task.time_remaining:
        parts.append(f"{duration(task.time_remaining)} left")
    return f"{Text.from_markup(task.description).plain}: {', '.join([*parts, *filter(None, [task.fields['note']])])}"


def duration(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
