"""`duskmatch gallery add G TRACKLETS --run RUN`, or `--features FILE`: entries, durable when it returns."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.gallery.entries import Clock
    from duskmatch.records import Embeddings, Tracklet

AT_ONCE = 1000  # entries added together
BEFORE_S = 1e8  # 1973: a time below it counts from the beginning of a video


def add_add(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments
    from duskmatch.gallery.writing import ON_DUPLICATE

    parser.add_argument(
        "tracklets", nargs="?", metavar="TRACKLETS", help="a folder with tracklets.csv, or DATASET:query"
    )
    parser.add_argument("--run", type=Path, metavar="RUN", help="the model that embeds TRACKLETS")
    parser.add_argument("--features", type=Path, metavar="FILE", help="vectors: what `duskmatch embed` wrote, or .npz")
    parser.add_argument("--namespace", default="", metavar="NAME", help="put before each id: the camera or the video")
    parser.add_argument(
        "--clock",
        choices=("unix", "video"),
        help="what the tracklets' times count from (default: video for what `ingest` cut, else unix)",
    )
    parser.add_argument(
        "--video-start", metavar="TIME", help="when the video began, like 2026-11-27T18:00:00+00:00: makes times unix"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="kept with every entry that is added")
    parser.add_argument("--thumbnails", type=int, default=1, metavar="N", help="pictures kept of each (default 1)")
    parser.add_argument(
        "--on-duplicate",
        choices=ON_DUPLICATE,
        default="refuse",
        help="what to do with an id that is there with other content (default refuse; the same content is skipped)",
    )
    engine_arguments(parser)
    parser.add_argument("--on-bad-frame", choices=("stop", "skip"), default="stop", help="(default stop)")


@dataclass
class Given:
    """What is added: embeddings, where each came from, and the pictures kept of it."""

    embeddings: Embeddings
    origin: str | list[str]
    thumbnails: list[list[bytes]]


def run_add(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.machine import set_threads

    _check(args)
    set_threads(args.threads)
    with opened(args) as gallery:
        before = len(gallery)
        given = _embedded(args) if args.features is None else _loaded(args)
        embeddings, clock = timed(given.embeddings, args, ingested=args.tracklets and was_ingested(args.tracklets))
        ids: list[str] = []
        for start in console.track(range(0, len(embeddings), AT_ONCE), "adding, thousands"):
            some = slice(start, start + AT_ONCE)
            part = embeddings.take(list(range(len(embeddings)))[some])
            ids += gallery.add(
                part,
                namespace=args.namespace,
                origin=given.origin if isinstance(given.origin, str) else given.origin[some],
                clock=clock,
                notes=[args.note] * len(part) if args.note else (),
                thumbnails=given.thumbnails[some],
                on_duplicate=args.on_duplicate,
            )
        outcome = {"gallery": str(args.gallery), "ids": ids, "entries": len(gallery), "before": before, "clock": clock}
    console.result(outcome, _words)


def timed(embeddings: Embeddings, args: argparse.Namespace, *, ingested: object) -> tuple[Embeddings, Clock]:
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
    """Unix seconds of an ISO 8601 time (UTC where it names no zone) or of a number."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"a time must be like 2026-11-27T18:00:00+00:00 or Unix seconds; got {text!r}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _embedded(args: argparse.Namespace) -> Given:
    from duskmatch.cli.embed import embed_with_progress, tracklets_of
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.embedder import source_of

    tracklets = people_of(args.tracklets, tracklets_of(args.tracklets))
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    embeddings, _ = embed_with_progress(embedder, tracklets)
    by_name = {source_of(tracklet): tracklet for tracklet in tracklets}
    pictures = [_thumbnails(by_name[name], args.thumbnails) for name in embeddings.sources]
    return Given(embeddings, origin_of(args.tracklets), pictures)


def _loaded(args: argparse.Namespace) -> Given:
    """Vectors of a file; of those without a name the file and the number are the origin."""
    from duskmatch.evaluation import load_embeddings
    from duskmatch.files import with_escapes

    embeddings = load_embeddings(args.features)
    if any(embeddings.sources):
        return Given(embeddings, with_escapes(str(args.features.resolve())), [])
    return Given(embeddings, [f"{with_escapes(args.features.name)}#{i}" for i in range(len(embeddings))], [])


def origin_of(spec: str) -> str:
    """Where TRACKLETS lie, as a text that finds them again from any folder."""
    from duskmatch.data import split_spec
    from duskmatch.files import with_escapes

    folder, side = split_spec(spec)
    return with_escapes(f"{folder.resolve()}{f':{side}' if side else ''}")


def _thumbnails(tracklet: Tracklet, n: int) -> list[bytes]:
    """Pictures at even steps, of one the middle."""
    from duskmatch.pictures.thumbnails import jpeg, thumbnail

    places = [(2 * i + 1) * len(tracklet) // (2 * n) for i in range(n)]
    return [jpeg(thumbnail(tracklet.frames[place])) for place in dict.fromkeys(places)]


def people_of(spec: str, tracklets: list[Tracklet]) -> list[Tracklet]:
    """The tracklets, of unknown people where `ingest` cut them: a track's number says nothing outside its video."""
    return [replace(tracklet, pid=-1) for tracklet in tracklets] if was_ingested(spec) else tracklets


def was_ingested(spec: str) -> bool:
    from duskmatch.cli.rank import ingest_account

    return ingest_account(spec) is not None


def _check(args: argparse.Namespace) -> None:
    if bool(args.tracklets) == bool(args.features):
        raise SettingsError("gallery add takes TRACKLETS --run RUN, or --features FILE; got both or neither; name one")
    if args.tracklets and not args.run:
        raise SettingsError("gallery add TRACKLETS needs --run RUN, the model that embeds them; name one")
    if args.features and args.run:
        raise SettingsError("--features FILE holds vectors; --run has no use there; leave it out")
    if not 0 <= args.thumbnails <= 16:
        raise SettingsError(f"--thumbnails must be from 0 to 16; got {args.thumbnails}")


def _words(outcome: dict[str, Any]) -> str:
    added = outcome["entries"] - outcome["before"]
    there = len(outcome["ids"]) - added
    tail = f", {there} were there already" if there > 0 else ""
    return f"{added} entries added{tail}; {outcome['gallery']} holds {outcome['entries']}"
