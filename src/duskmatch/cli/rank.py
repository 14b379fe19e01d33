"""`duskmatch rank RUN --query T --gallery T --camera-rule R --out DIR`: who is nearest, as a table and as pictures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.embedding import Embedder
    from duskmatch.records import Embeddings, Modality, Ranking, Tracklet

COLUMNS = (
    "query",
    "query_pid",
    "query_camid",
    "query_modality",
    "rank",
    "gallery",
    "gallery_pid",
    "gallery_camid",
    "gallery_modality",
    "dist",
    "match",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments
    from duskmatch.records import CAMERA_RULES, MODALITIES

    parser.add_argument("run", type=Path, metavar="RUN", help="a trained run, or an exported folder")
    parser.add_argument(
        "--query", required=True, metavar="TRACKLETS", help="whom to look for, or pictures of one person"
    )
    parser.add_argument(
        "--gallery", required=True, metavar="TRACKLETS", help="where to look, or pictures of one person"
    )
    for side in ("query", "gallery"):
        parser.add_argument(
            f"--{side}-modality",
            choices=MODALITIES,
            help=f"the modality of --{side}, where it is a picture or a folder of pictures without a table",
        )
    parser.add_argument(
        "--camera-rule",
        required=True,
        choices=CAMERA_RULES,
        help="whether a person's entries from the query's own camera are left out",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="how many hits for each query (default 10)")
    engine_arguments(parser)
    parser.add_argument("--on-bad-frame", choices=("stop", "skip"), default="stop", help="(default stop)")
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.embed import embed_with_progress
    from duskmatch.data import is_synthetic, split_spec
    from duskmatch.embedding import load_embedder
    from duskmatch.errors import EvaluationError, SettingsError
    from duskmatch.evaluation import rank, score
    from duskmatch.files import check_folder, claimed, write_csv, write_json
    from duskmatch.machine import set_threads
    from duskmatch.pictures import ranked_strips

    if args.top < 1:
        raise SettingsError(f"--top must be at least 1; got {args.top}")
    inputs = [args.run, *(split_spec(spec)[0] for spec in (args.query, args.gallery))]
    check_folder(args.out, overwrite=args.overwrite, inputs=inputs)
    set_threads(args.threads)
    sought = side_of(args.query, args.query_modality, "--query-modality")
    searched = side_of(args.gallery, args.gallery_modality, "--gallery-modality")
    strangers = videos_apart(args.query, args.gallery)
    if strangers:  # a track's number says nothing outside its video: nobody is known
        sought, searched = ([replace(t, pid=-1) for t in side] for side in (sought, searched))
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    with claimed(args.out, overwrite=args.overwrite) as out:
        query, account = embed_with_progress(embedder, sought, "embedding queries")
        gallery, of_gallery = embed_with_progress(embedder, searched, "embedding gallery")
        account.add(of_gallery)
        ranking = rank(query, gallery, camera_rule=args.camera_rule, k=args.top)
        rows = table(query, gallery, ranking)
        write_csv(out / "ranking.csv", rows, COLUMNS)
        synthetic = is_synthetic(args.query) or is_synthetic(args.gallery)
        title = f"{'SYNTHETIC data: ' if synthetic else ''}nearest to each query, by {args.run.resolve().name}"
        pages = ranked_strips(
            out, query, gallery, ranking, _by_name(sought), gallery_tracklets=_by_name(searched),
            title=title[0].upper() + title[1:], note=_small_print(embedder, len(query), len(gallery)),
        )  # fmt: skip
        outcome: dict[str, Any] = {
            "out": str(out),
            "queries": len(query),
            "gallery": len(gallery),
            "camera_rule": args.camera_rule,
            "synthetic": synthetic,
            "trained_on_synthetic": bool((embedder.header.get("data") or {}).get("synthetic")),
            "precision": query.meta["precision"],
            "engine": query.meta["engine"],
            "pictures": [str(page) for page in pages],
            "rank1": None,
            "bad_frames": len(account.bad_frames.frames),
        }
        try:
            scores = score(query, gallery, camera_rule=args.camera_rule)
            outcome |= {"rank1": scores.rank1, "mAP": scores.mean_average_precision, "n_left_out": scores.n_left_out}
        except EvaluationError as error:
            outcome["not_scored"] = strangers or str(error)  # people without known pids can be ranked, not scored
        write_json(out / "ranking.json", {**outcome, "ranking": rows})
    console.result(outcome, words)


def side_of(spec: str, modality: Modality | None, flag: str) -> list[Tracklet]:
    """The tracklets that `spec` names; a picture, or a folder of one person's pictures, is one of `modality`."""
    from duskmatch.cli.embed import tracklets_of
    from duskmatch.data import loose_pictures
    from duskmatch.errors import SettingsError
    from duskmatch.records import Tracklet

    pictures = loose_pictures(spec)
    if pictures and modality is None:
        raise SettingsError(f"{spec} has no table that says what its pictures are; pass {flag} visible or infrared")
    if not pictures and modality is not None:
        raise SettingsError(f"{flag} is for pictures without a table; {spec} holds none; leave it out")
    if modality is None:
        return tracklets_of(spec)
    return [Tracklet(pictures, -1, -1, modality, Path(spec).resolve().name)]


def _small_print(embedder: Embedder, n_queries: int, n_gallery: int) -> str:
    """The sizes of both sides and where the model comes from."""
    from duskmatch.pictures.compared import trained_on

    return (
        f"Queries: {n_queries}, gallery: {n_gallery}. Method {embedder.settings.model.name}, checkpoint "
        f"{embedder.header.get('checkpoint') or 'not said'}, trained on {trained_on(embedder)}."
    )


def videos_apart(query: str, gallery: str) -> str | None:
    """A sentence where both sides were cut out of videos, and not of the same one: their pids are track numbers."""
    ways = [ingested(query), ingested(gallery)]
    if None in ways or ways[0] == ways[1]:
        return None
    return (
        f"the pids of {query} and {gallery} are track numbers of two videos and say nothing of each other; to score, "
        "number the people alike in both tracklets.csv and remove both ingest.json"
    )


def ingested(spec: str) -> str | None:
    """The account that `ingest` left beside TRACKLETS (its halves lie one folder below); None where there is none."""
    from duskmatch.data import split_spec

    folder, side = split_spec(spec)
    halves = (folder.parent,) if folder.name in ("first", "second") else ()
    for place in (folder, *halves) if side is None else ():
        if (place / "ingest.json").is_file():
            return str((place / "ingest.json").read_text(encoding="utf-8", errors="replace"))
    return None


def _by_name(tracklets: list[Tracklet]) -> dict[str, Tracklet]:
    return {tracklet.tracklet_id: tracklet for tracklet in tracklets}


def table(query: Embeddings, gallery: Embeddings, ranking: Ranking) -> list[dict[str, Any]]:
    """One row for each query and place, best first."""
    rows = []
    for q in range(len(query)):
        for place, g in enumerate(ranking.indices[q]):
            if g < 0:
                break
            rows.append(
                {
                    "query": query.sources[q],
                    "query_pid": int(query.pids[q]),
                    "query_camid": int(query.camids[q]),
                    "query_modality": query.modalities[q],
                    "rank": place + 1,
                    "gallery": gallery.sources[g],
                    "gallery_pid": int(gallery.pids[g]),
                    "gallery_camid": int(gallery.camids[g]),
                    "gallery_modality": gallery.modalities[g],
                    "dist": round(float(ranking.dist[q, place]), 6),
                    "match": bool(ranking.matches[q, place]),
                }
            )
    return rows


def words(outcome: dict[str, Any]) -> str:
    text = f"queries: {outcome['queries']}, gallery: {outcome['gallery']}, camera rule: {outcome['camera_rule']}"
    text += "\nSYNTHETIC data: generated people" if outcome["synthetic"] else ""
    text += "\nthe model was trained on synthetic people" if outcome["trained_on_synthetic"] else ""
    if outcome["rank1"] is not None:
        text += f"\nrank-1 {100 * outcome['rank1']:.1f} %, mAP {100 * outcome['mAP']:.1f} %"
        text += f", {outcome['n_left_out']} queries without a match left out" if outcome["n_left_out"] else ""
    else:
        text += f"\nnot scored: {outcome['not_scored']}"
    return f"{text}\n{outcome['out']}: ranking.csv, ranking.json and strips (pages: {len(outcome['pictures'])})"
