"""`duskmatch rank RUN --query T --gallery T --camera-rule R --out DIR`: nearest entries, as table and pictures."""

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
    from duskmatch.cli.embed import bad_frame_argument, engine_arguments
    from duskmatch.records import CAMERA_RULES, MODALITIES

    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run or an export")
    for side, what in (("query", "people to look for"), ("gallery", "people to look among")):
        parser.add_argument(
            f"--{side}", required=True, metavar="TRACKLETS",
            help=f"{what}: TRACKLETS as in `embed`, a picture, or a folder of pictures of one person",
        )  # fmt: skip
        parser.add_argument(
            f"--{side}-modality", choices=MODALITIES,
            help=f"modality of --{side}: required for a picture or a folder of pictures, and only allowed there",
        )  # fmt: skip
    parser.add_argument(
        "--camera-rule", required=True, choices=CAMERA_RULES,
        help="entries removed from each query's gallery: none, the query's person from the query's camera, or for "
        "queries from camera 3 all of camera 2",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; must be new or empty")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="hits listed for each query (default 10)")
    engine_arguments(parser)
    bad_frame_argument(parser)
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
    queries = side_of(args.query, args.query_modality, "--query-modality")
    entries = side_of(args.gallery, args.gallery_modality, "--gallery-modality")
    unrelated = unrelated_pids(args.query, args.gallery)
    if unrelated:  # a tracker's numbers mean nothing outside their video
        queries, entries = ([replace(t, pid=-1) for t in side] for side in (queries, entries))
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    with claimed(args.out, overwrite=args.overwrite) as out:
        query, account = embed_with_progress(embedder, queries, "embedding queries")
        gallery, of_gallery = embed_with_progress(embedder, entries, "embedding gallery")
        account.add(of_gallery)
        ranking = rank(query, gallery, camera_rule=args.camera_rule, k=args.top)
        rows = table(query, gallery, ranking)
        write_csv(out / "ranking.csv", rows, COLUMNS)
        synthetic = is_synthetic(args.query) or is_synthetic(args.gallery)
        title = f"{'SYNTHETIC data: ' if synthetic else ''}nearest to each query, by {args.run.resolve().name}"
        pages = ranked_strips(
            out, query, gallery, ranking, _by_name(queries), gallery_tracklets=_by_name(entries),
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
            outcome["not_scored"] = unrelated or str(error)  # people without known pids can be ranked, not scored
        write_json(out / "ranking.json", {**outcome, "ranking": rows})
    console.result(outcome, words)


def side_of(spec: str, modality: Modality | None, flag: str) -> list[Tracklet]:
    """The tracklets that `spec` names; a picture, or a folder of one person's pictures, becomes one tracklet."""
    from duskmatch.cli.embed import tracklets_of
    from duskmatch.data import loose_pictures
    from duskmatch.errors import SettingsError
    from duskmatch.records import Tracklet

    pictures = loose_pictures(spec)
    if pictures and modality is None:
        raise SettingsError(f"nothing says which modality {spec} is; pass {flag} visible or infrared")
    if not pictures and modality is not None:
        raise SettingsError(
            f"{flag} is for a picture or a folder without tracklets.csv; {spec} is neither; leave it out"
        )
    if modality is None:
        return tracklets_of(spec)
    return [Tracklet(pictures, -1, -1, modality, Path(spec).resolve().name)]


def _small_print(embedder: Embedder, n_queries: int, n_gallery: int) -> str:
    """The sizes of both sides, and the method, checkpoint and training data of the model."""
    from duskmatch.pictures.compared import trained_on

    return (
        f"Queries: {n_queries}, gallery: {n_gallery}. Method {embedder.settings.model.name}, checkpoint "
        f"{embedder.header.get('checkpoint') or 'not said'}, trained on {trained_on(embedder)}."
    )


def unrelated_pids(query: str, gallery: str) -> str | None:
    """A sentence for the user if the two sides come from different videos, whose pids are track numbers; else None."""
    accounts = [ingest_account(query), ingest_account(gallery)]
    if None in accounts or accounts[0] == accounts[1]:
        return None
    return (
        f"the pids of {query} and {gallery} are track numbers of two videos, so equal pids are not the same person; to "
        "score, give each person one pid in both tracklets.csv and remove both ingest.json"
    )


def ingest_account(spec: str) -> str | None:
    """The text of the ingest.json of TRACKLETS (of halves of tracks: one folder above); None if there is none."""
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
    """The rows of ranking.csv: one for each query and rank, nearest first."""
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
