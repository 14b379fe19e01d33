"""What a gallery keeps of its calibration: likelihood ratios, false alarms, how well the probabilities held.

One JSON document in the table `calibration`. It holds no vector, no picture and no pid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from duskmatch.errors import EvaluationError, GalleryError, first_fault
from duskmatch.gallery.probability.strangers import Counts, Strangers
from duskmatch.gallery.store import erasure
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import Modality

if TYPE_CHECKING:
    import apsw

    from duskmatch.evaluation.calibration import Calibration

FORMAT = 1
ROUNDED = 1e-6  # shares are kept with nine digits
AGAIN = "calibrate again with `duskmatch gallery calibrate`"
Number = Annotated[int, Field(ge=1, lt=2**53)]
Place = Annotated[int, Field(ge=0, lt=2**53)]
Plain = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # text that steers no terminal
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Goodness(_Part):
    """How well probabilities hold: ECE with equally full bins, Brier score, log loss (natural)."""

    ece: float
    brier: float
    log_loss: float


class Quality(_Part):
    """Of the entries of one pair of modalities that come among a query's first ten, in a gallery of `people`.

    before: the similarity itself, cut off at 0, as the probability. after: calibrated on other people (cross-fitted).
    """

    pair: str
    people: Number
    before: Goodness
    after: Goodness


class _Counts(_Part):
    n_entries: Number
    starts: list[Place]
    found: list[Place]
    share: list[Share]


class _Strangers(_Part):
    query: Modality
    entries: Modality
    n_queries: Annotated[int, Field(ge=2, lt=2**53)]
    n_people: Number
    threshold: list[float]
    one: _Counts
    several: _Counts


class _Facts(_Part):
    """`calibration.facts`: of whom the calibration was made, and when."""

    data: list[Plain]
    synthetic: bool
    n_people: Annotated[int, Field(ge=2)]
    n_tracklets: Number
    n_unknown: Annotated[int, Field(ge=0)]
    pairs: list[Plain]
    camera_rule: Plain
    made_s: float
    version: Plain
    not_fitted: dict[Plain, Plain] = {}


class _Document(_Part):
    format: Literal[1]
    model: str
    calibration: dict[str, Any]
    strangers: list[_Strangers]
    quality: list[Quality]


@dataclass(frozen=True)
class Calibrated:
    """A gallery's calibration; `calibration.facts` says of which people, data sets and model."""

    calibration: Calibration
    strangers: tuple[Strangers, ...]
    quality: tuple[Quality, ...]
    model: str

    def among(self, query: Modality, entries: Modality) -> Strangers:
        """The false alarms of these queries among these entries; GalleryError where they were not measured."""
        for one in self.strangers:
            if (one.query, one.entries) == (query, entries):
                return one
        raise GalleryError(
            f"false alarms of {query} queries among {entries} entries were not measured: fewer than two of the "
            "labelled people were seen so; calibrate with people seen in both"
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.calibration.facts

    def text(self) -> str:
        """The JSON document."""
        found = {
            "format": FORMAT,
            "model": self.model,
            "calibration": self.calibration.document(),
            "strangers": [_plain(one) for one in self.strangers],
            "quality": [one.model_dump() for one in self.quality],
        }
        return json.dumps(found, separators=(",", ":"), allow_nan=False)


def read(snapshot: Snapshot) -> Calibrated | None:
    """The calibration of a gallery, None where it has none.

    GalleryError that names what is wrong where it is damaged, newer, or of another model than the gallery's.
    """
    text = snapshot.db.execute("SELECT document FROM calibration").get
    if text is None:
        return None
    found = _parsed(str(text))
    if found.model != snapshot.facts.model:
        raise GalleryError(
            f"the gallery's calibration is of another model, {found.model or 'one without a name'}, not of "
            f"{snapshot.facts.model or 'one without a name'}; {AGAIN}"
        )
    return found


def replace(db: apsw.Connection, calibrated: Calibrated) -> None:
    """Stores a calibration; the bytes of the one before it are erased. The caller holds the transaction."""
    if db.execute("SELECT count(*) FROM calibration").get:
        db.execute("DELETE FROM calibration")
        erasure.mark(db)
    db.execute("INSERT INTO calibration VALUES (1, ?)", (calibrated.text(),))


def _parsed(text: str) -> Calibrated:
    from duskmatch.evaluation.calibration import Calibration  # with torch

    try:
        document = _Document.model_validate_json(text)
        strangers = tuple(_strangers(one) for one in document.strangers)
        calibration = Calibration.from_document(document.calibration)
        _Facts.model_validate(calibration.facts)
    except (EvaluationError, ValueError) as error:
        fault = first_fault(error) if isinstance(error, ValueError) else str(error)
        raise GalleryError(f"the gallery's calibration is damaged: {fault}; {AGAIN}") from error
    return Calibrated(calibration, strangers, tuple(document.quality), document.model)


def _plain(one: Any) -> Any:
    """A dataclass of numbers and arrays as JSON."""
    if isinstance(one, np.ndarray):
        return one.tolist()
    if isinstance(one, Strangers | Counts):
        return {field.name: _plain(getattr(one, field.name)) for field in fields(one)}
    return one


def _strangers(read: _Strangers) -> Strangers:
    """ValueError where numbers contradict each other."""
    threshold = np.array(read.threshold)
    _hold(len(threshold) > 0 and (np.diff(threshold) > 0).all(), "threshold must ascend")
    _hold(threshold[0] >= -1.01 and threshold[-1] <= 1.01, "threshold must be a similarity, from -1 to 1")
    one, several = (_counts(counts, len(threshold), read.n_people) for counts in (read.one, read.several))
    for counts in (one, several):
        _hold((np.diff(counts.match_rate(read.n_people)) <= ROUNDED).all(), "more people found at a higher threshold")
    return Strangers(read.query, read.entries, read.n_queries, read.n_people, threshold, one, several)


def _counts(read: _Counts, n_levels: int, n_people: int) -> Counts:
    starts, found, share = np.array(read.starts, np.int64), np.array(read.found, np.int64), np.array(read.share)
    _hold(len(starts) == n_levels and len(found) == len(share), "lists must be equally long")
    _hold(starts[0] == 0 and (np.diff(starts) > 0).all() and starts[-1] < len(found), "starts must ascend from 0")
    _hold(((found >= 0) & (found <= n_people)).all(), "found must be from 0 to n_people")
    _hold((np.abs(np.add.reduceat(share, starts) - 1) < 1e-6).all(), "shares must sum to 1")
    return Counts(read.n_entries, starts, found, share)


def _hold(rule: Any, words: str) -> None:
    if not rule:
        raise ValueError(f"false alarms: {words}")


class CurrentCalibration:
    """A gallery's calibration and a number of its people, read again where the database has changed.

    The caller guards it with the lock under which it takes snapshots.
    """

    def __init__(self) -> None:
        self._state: tuple[int, int] | None = None
        self._calibrated: Calibrated | None = None
        self._n_people: int | None = None

    def at(self, snapshot: Snapshot) -> Calibrated | None:
        state = int(snapshot.db.pragma("data_version")), snapshot.db.total_changes()
        if state != self._state:
            self._state, self._n_people, self._calibrated = None, None, read(snapshot)
            self._state = state
        return self._calibrated

    def n_people(self, count: Callable[[], int]) -> int:
        """The number of people at the state that `at` saw."""
        if self._n_people is None:
            self._n_people = count()
        return self._n_people


def words(facts: Mapping[str, Any]) -> str:
    """What a gallery was calibrated on, in a line."""
    pairs = ", ".join(facts["pairs"])
    synthetic = ", SYNTHETIC" if facts["synthetic"] else ""
    return f"{facts['n_people']} people of {_list(facts['data'])}{synthetic} ({pairs})"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
