"""Counts of what a gallery holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duskmatch.gallery.probability.calibrated import read
from duskmatch.gallery.store.connection import one
from duskmatch.gallery.store.reading import Snapshot


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of entries by modality and camera; first_s and last_s in Unix seconds, None where no entry has such times.

    n_people: different known pids. bytes_on_disk: of all files of the gallery. calibration: facts of it, None without.
    """

    n_entries: int
    width: int
    normalisation: str
    model: str | None
    by_modality: dict[str, int]
    by_camera: dict[int, int]
    n_people: int
    n_unknown_people: int
    n_without_time_of_day: int
    first_s: float | None
    last_s: float | None
    bytes_on_disk: int
    erasure_pending: bool
    calibration: dict[str, Any] | None


def stats(snapshot: Snapshot, folder: Path) -> Stats:
    """The counts of one snapshot."""
    timed = "clock = 'unix' AND coalesce(begin_s, end_s) IS NOT NULL"
    first_s, last_s, n_timed = one(
        snapshot.db,
        f"SELECT min(coalesce(begin_s, end_s)), max(coalesce(end_s, begin_s)), count(*) FROM entries WHERE {timed}",
    )
    n_entries, facts = len(snapshot), snapshot.facts
    return Stats(
        n_entries=n_entries,
        width=facts.width,
        normalisation=facts.normalisation,
        model=facts.model,
        by_modality=_counts(snapshot, "modality"),
        by_camera=_counts(snapshot, "camera"),
        n_people=snapshot.number("SELECT count(DISTINCT pid) FROM entries WHERE pid >= 0"),
        n_unknown_people=snapshot.number("SELECT count(*) FROM entries WHERE pid < 0"),
        n_without_time_of_day=n_entries - n_timed,
        first_s=first_s,
        last_s=last_s,
        bytes_on_disk=sum(path.stat().st_size for path in folder.iterdir()),
        erasure_pending=facts.erasure_pending,
        calibration=None if (calibrated := read(snapshot)) is None else dict(calibrated.facts),
    )


def _counts(snapshot: Snapshot, column: str) -> dict[Any, int]:
    return dict(snapshot.db.execute(f"SELECT {column}, count(*) FROM entries GROUP BY {column} ORDER BY {column}"))
