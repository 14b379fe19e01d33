"""`duskmatch gallery add G TRACKLETS --run RUN`, or `--features FILE`: entries, durable when it returns."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.cli.gallery import counted
from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.gallery import Gallery
    from duskmatch.gallery.store.entries import Clock
    from duskmatch.records import Embeddings, Tracklet

AT_ONCE = 1000  # entries added together


def add_add(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import bad_frame_argument, engine_arguments
    from duskmatch.gallery.store.writing import ON_DUPLICATE

    parser.add_argument(
        "tracklets", nargs="?", metavar="TRACKLETS", help="folder with a tracklets.csv, or DATASET:query"
    )
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="folder of the trained run or export that embeds TRACKLETS"
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="embeddings to add instead: a file of `duskmatch embed`, or .npz"
    )
    parser.add_argument(
        "--namespace", default="", metavar="NAME", help="first part of each id, such as the camera or the video"
    )
    parser.add_argument(
        "--clock",
        choices=("unix", "video"),
        help="origin of the tracklets' times: unix, seconds since 1970 (UTC), or video, seconds of their video "
        "(default: video for tracklets that `ingest` cut, else unix)",
    )
    parser.add_argument(
        "--video-start",
        metavar="TIME",
        help="time at which the video began, like 2026-11-27T18:00:00+00:00; turns its times into times of day",
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="text to keep with every entry that is added")
    parser.add_argument(
        "--thumbnails", type=int, default=1, metavar="N", help="pictures to keep of each tracklet, 0 to 16 (default 1)"
    )
    parser.add_argument(
        "--on-duplicate",
        choices=ON_DUPLICATE,
        default="refuse",
        help="for an id that is there with other content: refuse it, skip it, or replace the old one (default refuse; "
        "the same content is always skipped)",
    )
    engine_arguments(parser)
    bad_frame_argument(parser)


@dataclass
class Given:
    """Embeddings to add, the origin of each, and the pictures kept of it."""

    embeddings: Embeddings
    origin: str | list[str]
    thumbnails: list[list[bytes]]


def run_add(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.cli.gallery_sources import timed, was_ingested
    from duskmatch.machine import set_threads

    _check(args)
    set_threads(args.threads)
    with opened(args) as gallery:
        before = len(gallery)
        given = _embedded(args) if args.features is None else _loaded(args)
        embeddings, clock = timed(
            given.embeddings, args, ingested=bool(args.tracklets) and was_ingested(args.tracklets)
        )
        ids = _added(gallery, replace(given, embeddings=embeddings), clock, args)
        outcome = {"gallery": str(args.gallery), "ids": ids, "entries": len(gallery), "before": before, "clock": clock}
    console.result(outcome, _words)


def _added(gallery: Gallery, given: Given, clock: Clock, args: argparse.Namespace) -> list[str]:
    """Every id; so many at a time are durable together."""
    from duskmatch.cli import console

    ids: list[str] = []
    n = len(given.embeddings)
    for start in console.track(range(0, n, AT_ONCE), "adding, thousands"):
        some = slice(start, start + AT_ONCE)
        part = given.embeddings.take(list(range(n))[some])
        ids += gallery.add(
            part,
            namespace=args.namespace,
            origin=given.origin if isinstance(given.origin, str) else given.origin[some],
            clock=clock,
            notes=[args.note] * len(part) if args.note else (),
            thumbnails=given.thumbnails[some],
            on_duplicate=args.on_duplicate,
        )
    return ids


def _embedded(args: argparse.Namespace) -> Given:
    from duskmatch.cli.embed import embed_with_progress, tracklets_of
    from duskmatch.cli.gallery_sources import origin_of, people_of
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


def _thumbnails(tracklet: Tracklet, n: int) -> list[bytes]:
    """Pictures at even steps, of one the middle."""
    from duskmatch.pictures.thumbnails import jpeg, thumbnail

    places = [(2 * i + 1) * len(tracklet) // (2 * n) for i in range(n)]
    return [jpeg(thumbnail(tracklet.frames[place])) for place in dict.fromkeys(places)]


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
    return f"{counted(added)} added{tail}; {outcome['gallery']} holds {outcome['entries']}"
