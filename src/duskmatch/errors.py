"""Everything duskmatch refuses with, in one tree.

DuskmatchError              caught by the command line: one line, exit status 2
├── SettingsError           a setting, flag or preset that is unknown or out of range
├── DataError               a data set, tracklet or frame that breaks its rules; names the file and row
│   └── FrameError          one picture that is missing, empty, cut off or no picture
├── CheckpointError         a RUN or weights file that is missing, damaged, hostile or made for something else
├── EvaluationError         features or a protocol that cannot be scored
├── TrainingError           training that cannot continue: non-finite loss, a changed machine on resume
├── GalleryError            a gallery that is missing, damaged, foreign or in use, and entries it cannot take
│   └── ErasurePending      deleted entries that no search finds, whose bytes are still in the gallery's files
└── OutputError             a place that cannot be written: not empty, full, forbidden

Each message holds the thing, the rule, the value and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DuskmatchError(Exception):
    """An error that a person can act on; its text is one line."""


class SettingsError(DuskmatchError):
    """A setting, flag or preset that is unknown or out of range."""


class DataError(DuskmatchError):
    """A data set, tracklet or frame that breaks its rules."""


class FrameError(DataError):
    """One picture that is missing, empty, cut off or no picture."""


class CheckpointError(DuskmatchError):
    """A RUN or weights file that is missing, damaged, hostile or made for something else."""


class EvaluationError(DuskmatchError):
    """Features or a protocol that cannot be scored."""


class TrainingError(DuskmatchError):
    """Training that cannot continue."""


class GalleryError(DuskmatchError):
    """A gallery that is missing, damaged, foreign or in use, and entries it cannot take."""


class ErasurePending(GalleryError):
    """Deleted entries that no search finds, whose bytes are still in the gallery's files."""


class OutputError(DuskmatchError):
    """A place that cannot be written."""


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a message about an unknown name, "; did you mean PREFIX...?"; empty if no known name is similar."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def first_fault(error: ValueError) -> str:
    """The first thing wrong with a record that was read, and where: "seconds: Input should be a finite number"."""
    faults = getattr(error, "errors", None)  # of pydantic's ValidationError
    if faults is None:
        return str(error)
    first = faults()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))))


def by_likeness(word: str, known: Iterable[str]) -> list[str]:
    """The known names, the most similar first."""
    return sorted(sorted(known), key=lambda name: -difflib.SequenceMatcher(None, word, name).ratio())
