"""`duskmatch gallery search G --query TRACKLETS --run RUN`, or `--id ID`: who is nearest, as a table and strips."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.gallery import Entry, Gallery, Hits
    from duskmatch.records import Embeddings, Tracklet

FACTS = ("pid", "camera", "modality", "begin_s", "end_s", "clock", "tracklet", "source", "note")  # of an entry
COLUMNS = (
    "query", "query_pid", "query_camera", "query_modality", "rank", "id", "similarity", "probability", *FACTS,
    "person", "name",
)  # fmt: skip

NOBODY = "nobody we know"


def add_search(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import bad_frame_argument, engine_arguments
    from duskmatch.records import MODALITIES

    parser.add_argument(
        "--query", metavar="TRACKLETS", help="tracklets to search for, or a picture or folder of pictures of one person"
    )
    parser.add_argument(
        "--query-modality", choices=MODALITIES, help="modality of --query where it has no tracklets.csv"
    )
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="folder of the trained run or export that embeds --query"
    )
    parser.add_argument("--id", nargs="+", metavar="ID", help="entries of the gallery to search for instead")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="hits for each query (default 10)")
    parser.add_argument("--modality", choices=MODALITIES, help="only entries of this modality")
    parser.add_argument("--camera", type=int, nargs="+", metavar="N", help="only entries of these cameras")
    parser.add_argument("--pid", type=int, nargs="+", metavar="N", help="only entries of these people")
    parser.add_argument(
        "--between",
        nargs=2,
        metavar="TIME",
        help="only entries seen between two times (both included), like 2026-11-27T18:00; UTC unless they name a zone",
    )
    parser.add_argument(
        "--false-alarms", type=float, metavar="P",
        help="only hits so similar that somebody who is not in the gallery gets any with at most this chance, as 0.01; "
        "a query without one is nobody we know",
    )  # fmt: skip
    parser.add_argument(
        "--prior", type=float, metavar="P",
        help="chance that an entry is the query's person before its similarity is known (default 1 / (people + 1))",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write ranking.csv, ranking.json and strips of pictures into"
    )
    engine_arguments(parser)
    bad_frame_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the results in DIR")


class Sought(NamedTuple):
    """Queries, their pictures by the names in `sources`, their place, and whether data or model are synthetic."""

    embeddings: Embeddings
    pictures: dict[str, list[bytes] | Tracklet]
    origin: str = ""
    synthetic: bool = False
    trained_on_synthetic: bool | None = None  # None: of stored vectors it is not known


def run_search(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.gallery.linking.people import in_json
    from duskmatch.machine import set_threads

    _check(args)
    set_threads(args.threads)
    with opened(args) as gallery:
        sought = _stored(gallery, args.id) if args.id else _embedded(args)
        hits = _hits(gallery, sought, args)
        found = list(dict.fromkeys(id for line in hits.ids for id in line if id))
        entries = dict(zip(found, gallery.entries(found), strict=True))
        people = dict(zip(found, gallery.linked_to(found), strict=True))
        searched, calibrated = len(gallery), gallery.calibration()
    rows = [{**row, **in_json(people[row["id"]])} for row in table(sought.embeddings, hits, entries)]
    outcome: dict[str, Any] = {
        "gallery": str(args.gallery),
        "queries": len(sought.embeddings),
        "entries": searched,
        "synthetic": sought.synthetic,
        "trained_on_synthetic": sought.trained_on_synthetic,
        "calibration": None if calibrated is None else dict(calibrated.facts),
    }
    if args.false_alarms is not None:
        outcome |= judged(sought.embeddings, hits, args.false_alarms)
    if args.out:
        outcome |= {"out": str(args.out), "pictures": _written(args, sought, hits, entries, {**outcome, "hits": rows})}
    console.result({**outcome, "hits": rows}, _words)


def _hits(gallery: Gallery, sought: Sought, args: argparse.Namespace) -> Hits:
    from duskmatch.cli.gallery_sources import moment

    return gallery.search(
        sought.embeddings,
        top=args.top,
        modality=args.modality,
        cameras=args.camera,
        between=None if args.between is None else (moment(args.between[0]), moment(args.between[1])),
        pids=args.pid,
        origin=sought.origin,
        prior=args.prior,
        false_alarms=args.false_alarms,
    )


def judged(queries: Embeddings, hits: Hits, rate: float) -> dict[str, Any]:
    """The promise of false alarms with its thresholds, and the queries of whom nobody reaches them."""
    nobody = [q for q, line in enumerate(hits.ids) if not any(line)]
    return {
        "false_alarms": {
            "promised": rate,
            "extrapolated": any(limit.extrapolated for limit in hits.thresholds),
            "thresholds": [asdict(limit) for limit in hits.thresholds],
        },
        "nobody_we_know": [
            {
                "query": queries.sources[q] if queries.sources else "",
                "query_pid": int(queries.pids[q]),
                "query_camera": int(queries.camids[q]),
                "query_modality": queries.modalities[q],
            }
            for q in nobody
        ],
    }


def table(queries: Embeddings, hits: Hits, entries: dict[str, Entry]) -> list[dict[str, Any]]:
    """One row for each query and hit, best first."""
    return [
        _row(queries, q, place, entries[id], float(hits.similarity[q, place]), float(hits.probability[q, place]))
        for q, line in enumerate(hits.ids)
        for place, id in enumerate(line)
        if id
    ]


def _row(
    queries: Embeddings, q: int, place: int, entry: Entry, similarity: float, probability: float
) -> dict[str, Any]:
    facts = {name: getattr(entry, name) for name in FACTS}
    return {
        "query": queries.sources[q],
        "query_pid": int(queries.pids[q]),
        "query_camera": int(queries.camids[q]),
        "query_modality": queries.modalities[q],
        "rank": place + 1,
        "id": entry.id,
        "similarity": round(similarity, 6),
        "probability": None if math.isnan(probability) else round(probability, 6),
        **facts,
    }


def _embedded(args: argparse.Namespace) -> Sought:
    from duskmatch.cli.embed import embed_with_progress
    from duskmatch.cli.gallery_sources import origin_of, people_of
    from duskmatch.cli.rank import side_of
    from duskmatch.data import is_synthetic
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.embedder import source_of

    tracklets = people_of(args.query, side_of(args.query, args.query_modality, "--query-modality"))
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    embeddings, _ = embed_with_progress(embedder, tracklets)
    pictures: dict[str, list[bytes] | Tracklet] = {source_of(tracklet): tracklet for tracklet in tracklets}
    generated = bool((embedder.header.get("data") or {}).get("synthetic"))
    return Sought(embeddings, pictures, origin_of(args.query), is_synthetic(args.query), generated)


def _stored(gallery: Gallery, ids: list[str]) -> Sought:
    """Entries of the gallery as queries, with the pictures that are kept of them; their sources may be gone."""
    entries = gallery.entries(ids)
    pictures: dict[str, list[bytes] | Tracklet] = {e.id: [*e.thumbnails] for e in entries}
    generated = any(_is_generated(source) for source in {e.source for e in entries})
    return Sought(gallery.embeddings(ids), pictures, synthetic=generated)


def _is_generated(source: str) -> bool:
    """True if generated people lie there still; a source may also be gone, unreadable or no place at all."""
    from duskmatch.data import is_synthetic
    from duskmatch.errors import DuskmatchError

    try:
        return bool(source) and is_synthetic(source)
    except (OSError, DuskmatchError):
        return False


def _written(
    args: argparse.Namespace, sought: Sought, hits: Hits, entries: dict[str, Entry], outcome: dict[str, Any]
) -> list[str]:
    """Writes the table, the strips and the JSON document last; the paths of the strips."""
    from duskmatch.cli.gallery_strips import strips
    from duskmatch.files import claimed, write_csv, write_json

    title = f"{'SYNTHETIC data: ' if sought.synthetic else ''}nearest entries of {args.gallery.resolve().name}"
    with claimed(args.out, overwrite=args.overwrite) as out:
        write_csv(out / "ranking.csv", outcome["hits"], COLUMNS)
        nobody = NOBODY if args.false_alarms is not None else ""
        pages = strips(out, sought.embeddings, sought.pictures, hits, entries, title[0].upper() + title[1:], nobody)
        kept = ("gallery", "synthetic", "false_alarms", "nobody_we_know", "hits")
        write_json(out / "ranking.json", {key: outcome[key] for key in kept if key in outcome})
    return [str(page) for page in pages]


def _check(args: argparse.Namespace) -> None:
    if bool(args.query) == bool(args.id):
        raise SettingsError(
            "gallery search takes --query TRACKLETS --run RUN or --id ID; got both or neither; name one"
        )
    if args.query and not args.run:
        raise SettingsError("--query TRACKLETS needs --run RUN, the model that embeds them; name one")
    if args.id and args.run:
        raise SettingsError("--id names entries with vectors; --run has no use there; leave it out")
    if args.overwrite and not args.out:
        raise SettingsError("--overwrite is for --out DIR, which is not there; name one or leave it out")


def _words(outcome: dict[str, Any]) -> str:
    from duskmatch.cli.gallery import counted, linked_in_words, when
    from duskmatch.cli.gallery_show import calibration_words

    asked = counted(outcome["queries"], "query", "queries")
    lines = [f"{asked} among {counted(outcome['entries'])} of {outcome['gallery']}"]
    lines += ["SYNTHETIC data: generated people"] if outcome["synthetic"] else []
    lines += ["the model was trained on synthetic people"] if outcome["trained_on_synthetic"] else []
    if outcome["calibration"]:
        lines.append(f"probabilities: calibrated {calibration_words(outcome['calibration'])}")
    lines += _promise(outcome["false_alarms"]) if "false_alarms" in outcome else []
    for row in outcome["hits"]:
        if row["rank"] == 1:
            lines.append(f"{row['query']} ({row['query_modality']}, camera {row['query_camera']})")
        person = "person unknown" if row["pid"] < 0 else f"person {row['pid']}"
        seen = f"{person}, {row['modality']}, camera {row['camera']}, {when(row['begin_s'], row['clock'])}"
        seen += f", {to}" if (to := linked_in_words(row)) else ""
        lines.append(f"  {row['rank']:>2}  {row['similarity']:.3f}{_chance(row['probability'])}  {row['id']}  {seen}")
    for row in outcome.get("nobody_we_know", []):
        lines += [f"{row['query']} ({row['query_modality']}, camera {row['query_camera']})", f"      {NOBODY}"]
    if "out" in outcome:
        lines.append(f"{outcome['out']}: ranking.csv, ranking.json and strips (pages: {len(outcome['pictures'])})")
    return "\n".join(lines)


def _promise(promise: dict[str, Any]) -> list[str]:
    """The thresholds in words."""
    lines = [
        f"false alarms: somebody who is not in the gallery gets a hit with a chance of at most {promise['promised']:g}"
    ]
    for limit in promise["thresholds"]:
        mark = ", EXTRAPOLATED beyond the labelled people" if limit["extrapolated"] else ""
        lines.append(
            f"  {limit['query']} queries among {limit['n_people']} people with {limit['n_entries']} {limit['entries']} "
            f"entries: similarity {limit['similarity']:.3f} or more{mark}"
        )
    return lines


def _chance(probability: float | None) -> str:
    """A probability, after two spaces; nothing where there is none."""
    from duskmatch.evaluation.words import chance

    return "" if probability is None else f"  {chance(probability):>7}"
