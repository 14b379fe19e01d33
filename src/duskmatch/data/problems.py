"""Broken rules of data: the reader stops at the first, `check` collects them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from duskmatch.errors import DataError

Kind = Literal["malformed", "missing", "unreadable", "duplicate", "contradictory", "outside", "people", "counts"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule, the file (relative to the root, "." for the data set) and the line, counted from 1."""

    kind: Kind
    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        if self.file == ".":
            return self.text
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.text}"


def others_left_out(n: int, what: str) -> str:
    """The end of a problem's text that counts the others of its kind; empty if there are none."""
    return f"; the same holds for {n} more {what}{'s' if n > 1 else ''}, left out of the counts" if n else ""


Report = Callable[[Problem], None]


def stop_in(root: Path) -> Report:
    """A report that raises the first problem as a DataError about `root`."""

    def stop(problem: Problem) -> None:
        raise DataError(f"{root}: {problem}")

    return stop
