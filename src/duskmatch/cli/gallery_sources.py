"""Origin, people and times of tracklets before they go into a gallery."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.gallery.store.entries import Clock
    from duskmatch.records import Embeddings, Tracklet

BEFORE_S = 1e8  # 1973: a time below it counts from the beginning of a video


def timed(embeddings: Embeddings, args: argparse.Namespace, *, ingested: bool) -> tuple[Embeddings, Clock]:
    """The embeddings with their times as they are to be kept, and what these count from."""
    known = [time for times in _times(embeddings) for time in times if time is not None]
    if args.video_start is not None:
        start = moment(args.video_start)
        begin_s, end_s = ([None if t is None else t + start for t in times] for times in _times(embeddings))
        return replace(embeddings, begin_s=begin_s, end_s=end_s), "unix"
    clock: Clock = args.clock or ("video" if ingested else "unix")
    if clock == "unix" and known and min(known) < BEFORE_S and args.clock is None:
        raise SettingsError(
            f"the tracklets' times begin at {min(known):g} s, which is no time of day since 1973; pass --clock video, "
            "or --video-start TIME"
        )
    return embeddings, clock


def _times(embeddings: Embeddings) -> tuple[Sequence[float | None], Sequence[float | None]]:
    return embeddings.begin_s, embeddings.end_s


def moment(text: str) -> float:
    """Unix seconds of an ISO 8601 time (UTC where it names no zone) or of a number, but of none that reads as a day."""
    if text.isdigit() and len(text) in (4, 8):
        raise SettingsError(f"{text!r} could be a date or Unix seconds; write 2026-11-27, or {text}.0 for seconds")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"a time must be like 2026-11-27T18:00:00+00:00 or Unix seconds; got {text!r}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def origin_of(spec: str) -> str:
    """The place of TRACKLETS, as a text that finds them again from any folder."""
    from duskmatch.data import split_spec
    from duskmatch.files import with_escapes

    folder, side = split_spec(spec)
    return with_escapes(f"{folder.resolve()}{f':{side}' if side else ''}")


def people_of(spec: str, tracklets: list[Tracklet]) -> list[Tracklet]:
    """The tracklets, of unknown people where `ingest` cut them: a track's number says nothing outside its video."""
    return [replace(tracklet, pid=-1) for tracklet in tracklets] if was_ingested(spec) else tracklets


def was_ingested(spec: str) -> bool:
    from duskmatch.cli.rank import ingest_account

    return ingest_account(spec) is not None
