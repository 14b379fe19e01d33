"""The health of a run's learned parts: figures from its log, their limits, the verdicts, RUN/health.json.

All limits stand in `CHECKS`; docs/health.md says why each is where it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from duskmatch.errors import CheckpointError, first_fault

FILE = "health.json"
SCHEMA_VERSION: Final = 1
LEAST_ROWS = 3  # of the log; with fewer a part is not judged

State = Literal["alive", "dead", "idle", "not judged", "not in this run"]
Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Limit:
    """The range of a figure: the sum of columns of the log, divided by column `over` if there is one."""

    columns: tuple[str, ...]
    over: str | None = None
    least: float | None = None
    most: float | None = None

    @property
    def name(self) -> str:
        return " + ".join(self.columns) + (f" / {self.over}" if self.over else "")

    def value(self, row: Mapping[str, float]) -> float | None:
        """The figure of one row; None if the row lacks it or it is not finite."""
        numbers = [row.get(column) for column in (*self.columns, *([self.over] if self.over else ()))]
        if any(number is None or not math.isfinite(number) for number in numbers):
            return None
        total = sum(row[column] for column in self.columns)
        if self.over is None:
            return total
        return total / row[self.over] if row[self.over] > 0 else None

    def excludes(self, value: float) -> bool:
        return (self.least is not None and value < self.least) or (self.most is not None and value > self.most)


@dataclass(frozen=True, slots=True)
class Sign:
    """The sign that a run may have a part although its log lacks the figures: one column is there, another is not."""

    present: str
    absent: str = ""

    def fits(self, rows: Rows) -> bool:
        return any(self.present in row for row in rows) and not any(self.absent in row for row in rows)


@dataclass(frozen=True, slots=True)
class Check:
    """The test of one part: outside any of its limits it is `state`, for the reason `why`.

    Limits apply to the median over the last `share` of the rows after the warm-up, of `stage` only if it is given.
    `sign` tells whether the run may have the part although its log lacks the figures.
    """

    part: str
    state: Literal["dead", "idle"]
    why: str
    limits: tuple[Limit, ...]
    stage: int | None = None
    share: float = 0.1
    sign: Sign | None = None

    def figures(self, row: Mapping[str, float]) -> tuple[float, ...] | None:
        """The figure of each limit; None if the row lacks one."""
        found = [limit.value(row) for limit in self.limits]
        return None if None in found else tuple(value for value in found if value is not None)


EFFECTIVE = (0.10, 0.30)  # Eq. 3's gradient over Eq. 9's where the attack has an effect but does not dominate
FIXED = "it is (nearly) a fixed mask: almost all of it fully shut or fully open, or the same for every clip"
SHUT = "its branch has hardly opened: without a gain from it, the part was not tested"


def gate(part: str, name: str, sign: Sign | None = None) -> Check:
    """The check of a gate between 0 and 1."""
    ends = Limit((f"{name}_low", f"{name}_high"), most=0.95)
    return Check(part, "dead", FIXED, (ends, Limit((f"{name}_deviation",), least=0.002)), sign=sign)


def adding(part: str, name: str, beside: str, sign: Sign | None = None) -> Check:
    """The check of a term that is added to features which differ between clips."""
    why = "it is (nearly) the same for every clip: it adds a constant and nothing about the clip"
    limit = Limit((f"{name}_deviation",), over=f"{beside}_deviation", least=0.02)
    return Check(part, "dead", why, (limit,), sign=sign)


def branch(part: str, name: str) -> Check:
    """The check of a residual branch. Source: docs/method.md, row 35."""
    return Check(part, "idle", SHUT, (Limit((f"{name}_ratio",), least=0.01),))


MOTION, HIGHLIGHT, ATTACK, POOLED = "LSTM_mot", "A (Eq. 12)", "Eq. 3", "pooled head"
MEMORY, GUIDES = "memory", "guides"
HEAD = Sign("sequence_identity", absent="parts_deviation")  # the run has j_d; the missing figures would tell its kind
CHECKS: tuple[Check, ...] = (
    adding(MOTION, "motion", "parts", HEAD),
    gate(HIGHLIGHT, "highlight", HEAD),
    adding(POOLED, "pooled", "parts", HEAD),
    branch("IMSA", "self_attention"),
    branch("CMCA after stage 3", "cross_attention3"),
    branch("CMCA after stage 4", "cross_attention4"),
    branch("temporal mixing", "temporal_mixing"),
    Check(
        ATTACK,
        "idle",
        "its gradient at the stems is small beside that of Eq. 9: the attack has had no effect",
        (Limit(("confusion_share",), least=0.05),),
        stage=1,
        share=1 / 3,
        sign=Sign("confusion"),
    ),
    branch("non-local blocks of stage 2", "non_local2"),
    branch("non-local blocks of stage 3", "non_local3"),
    branch("part attention", "part_attention"),
    branch("channel attention, visible", "visible_attention"),
    branch("channel attention, infrared", "infrared_attention"),
    branch("channel attention, shared", "shared_attention"),
    gate("gates after stage 3", "gate3"),
    gate("gates after stage 4", "gate4"),
    gate("masks of patterns", "mask"),
    adding(MEMORY, "memory", "time", Sign("identity")),
    gate(GUIDES, "guide", Sign("identity")),
)


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figure(Entry):
    """A median over rows of the log, and its limits."""

    name: str
    value: float
    least: float | None
    most: float | None


class Verdict(Entry):
    """A part's state, its figures and the reason, for iterations `first` to `last`."""

    part: str
    state: State
    figures: list[Figure]
    why: str
    first: int | None
    last: int | None


class KnockOut(Entry):
    """mAP with a part's output replaced by its mean, and the difference from the mAP of the whole embedding."""

    part: str
    mAP: float
    difference: float


class Validation(Entry):
    """mAP on validation people, both directions averaged: of the whole embedding, and without each part."""

    n_people: int
    embedding: str
    mAP: float
    without: list[KnockOut]


class Health(Entry):
    """RUN/health.json; without `validation`, `not_measured` gives the reason."""

    schema_version: Literal[1]
    checkpoint: str
    parts: list[Verdict]
    validation: Validation | None
    not_measured: str | None


def verdicts(rows: Rows, columns: Collection[str], *, warmup: float) -> list[Verdict]:
    """The verdict on each part whose figures are among `columns`; the first `warmup` iterations do not count."""
    return [verdict(check, rows, warmup=warmup) for check in checks_of(columns)]


def checks_of(columns: Collection[str]) -> list[Check]:
    """The checks of the method whose log has these columns."""
    return [check for check in CHECKS if all(set(limit.columns) <= set(columns) for limit in check.limits)]


def verdict(check: Check, rows: Rows, *, warmup: float) -> Verdict:
    """The verdict on one part."""
    found = readings(check, rows, warmup=warmup)
    if len(found) >= LEAST_ROWS:
        return judged(check, found)
    if any(check.figures(row) is not None for row in rows):
        stage = f" in stage {check.stage}" if check.stage else ""
        why = f"fewer than {LEAST_ROWS} rows of the log{stage} after the warm-up"
    else:
        why = "the log has no figure of it" if check.sign and check.sign.fits(rows) else ""
    state: State = "not judged" if why else "not in this run"
    return Verdict(part=check.part, state=state, figures=[], why=why, first=None, last=None)


class Reading(NamedTuple):
    """The figures of one row of the log by which a part is judged."""

    step: int
    figures: tuple[float, ...]  # one for each limit


def readings(check: Check, rows: Rows, *, warmup: float) -> list[Reading]:
    """The rows by which a part is judged."""
    counted = (row for row in rows if row["step"] > warmup and check.stage in (None, row.get("stage")))
    found = ((int(row["step"]), check.figures(row)) for row in counted)
    return [Reading(step, figures) for step, figures in found if figures is not None]


def judged(check: Check, found: Sequence[Reading]) -> Verdict:
    """Alive, dead or idle by the medians over the last rows."""
    window = found[-max(LEAST_ROWS, math.ceil(check.share * len(found))) :]
    medians = [median(values) for values in zip(*(reading.figures for reading in window), strict=True)]
    outside = any(limit.excludes(value) for limit, value in zip(check.limits, medians, strict=True))
    return Verdict(
        part=check.part,
        state=check.state if outside else "alive",
        figures=[
            Figure(name=limit.name, value=value, least=limit.least, most=limit.most)
            for limit, value in zip(check.limits, medians, strict=True)
        ],
        why=check.why if outside else _attack_strength(check, medians[0]),
        first=window[0].step,
        last=window[-1].step,
    )


def _attack_strength(check: Check, share: float) -> str:
    """The strength of a live attack, in words; empty for other parts."""
    if check.part != ATTACK:
        return ""
    low, high = EFFECTIVE
    if share < low:
        return f"it is weak; it has an effect from {low:g} on"
    return "it has an effect" if share <= high else f"it is strong: above {high:g} it dominates"


def read_health(run: Path) -> dict[str, Any] | None:
    """RUN/health.json, checked; None if the RUN has none."""
    path = run / FILE
    if not path.is_file():
        return None
    try:
        return Health.model_validate_json(path.read_text(encoding="utf-8")).model_dump(mode="json")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}; change its owner or mode") from error
    except ValueError as error:
        again = "`duskmatch train --resume` makes it again"
        raise CheckpointError(f"{path} is damaged: {first_fault(error)}; {again}") from error


def in_short(health: Mapping[str, Any] | None) -> str:
    """For a cell of a table: the dead and idle parts, or "all alive"."""
    if health is None:
        return ""
    by_state = named_by_state(health)
    ill = [f"{state}: {', '.join(by_state[state])}" for state in ("dead", "idle") if state in by_state]
    return "; ".join(ill) or ("all alive" if "alive" in by_state else "not judged" if by_state else "")


def named_by_state(health: Mapping[str, Any]) -> dict[str, list[str]]:
    """State -> its parts, the worst first; parts that are not in the run are left out."""
    order = ("dead", "idle", "not judged", "alive")
    found = {state: [v["part"] for v in health["parts"] if v["state"] == state] for state in order}
    return {state: parts for state, parts in found.items() if parts}


def in_words(health: Mapping[str, Any] | None) -> list[str]:
    """A line on the parts, and one on the knock-outs."""
    if health is None:
        return ["health of the parts: not known (no health.json; `duskmatch train --resume` makes it)"]
    by_state = named_by_state(health)
    parts = "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items())
    return [f"health of the parts: {parts or 'none that is watched'}", knock_outs_in_words(health)]


def knock_outs_in_words(health: Mapping[str, Any]) -> str:
    """The mAP on validation people without each part."""
    validation = health["validation"]
    if validation is None:
        return f"knock-outs: not measured: {health['not_measured']}"
    without = ", ".join(
        f"{one['part']} fixed {100 * one['mAP']:.2f} ({100 * one['difference']:+.2f})" for one in validation["without"]
    )
    return (
        f"knock-outs, mAP on {validation['n_people']} validation people, both directions averaged: "
        f"as it is {100 * validation['mAP']:.2f}, {without}"
    )


def death_message(one: Verdict) -> str:
    """The message about a part that is dead."""
    figures = ", ".join(figure_in_words(figure.model_dump()) for figure in one.figures)
    return (
        f"{one.part} is dead by iteration {one.last}: {figures} (median from iteration {one.first} on); {one.why}; "
        "give it a lower rate (train.rates), or see docs/health.md"
    )


def figure_in_words(figure: Mapping[str, Any]) -> str:
    """A figure with its limits: motion_deviation / parts_deviation 0.0123 (at least 0.02)."""
    limits = [f"at {word} {figure[word]:g}" for word in ("least", "most") if figure[word] is not None]
    return f"{figure['name']} {figure['value']:.3g} ({', '.join(limits)})"
