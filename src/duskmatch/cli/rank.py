"""`duskmatch rank RUN --query T --gallery T --camera-rule R --out DIR`: who is nearest, as a table and as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.records import Embeddings, Ranking

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
    parser.add_argument("run", type=Path, metavar="RUN", help="a trained run")
    parser.add_argument("--query", required=True, metavar="TRACKLETS", help="whom to look for")
    parser.add_argument("--gallery", required=True, metavar="TRACKLETS", help="where to look")
    parser.add_argument(
        "--camera-rule",
        required=True,
        choices=("none", "same-pid-same-camera"),
        help="whether a person's entries from the query's own camera are left out",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="how many hits for each query (default 10)")
    parser.add_argument("--on-bad-frame", choices=("stop", "skip"), default="stop", help="(default stop)")
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.embed import embed_spec
    from duskmatch.data import is_synthetic, open_tracklets
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.machine import set_threads
    from duskmatch.errors import EvaluationError, SettingsError
    from duskmatch.evaluation import rank, score
    from duskmatch.files import prepare_folder, write_csv, write_json
    from duskmatch.pictures import ranked_strips

    if args.top < 1:
        raise SettingsError(f"--top must be at least 1; got {args.top}")
    out = prepare_folder(args.out, overwrite=args.overwrite)
    set_threads(args.threads)
    embedder = load_embedder(args.run, device=args.device, on_bad_frame=args.on_bad_frame)
    query = embed_spec(embedder, args.query, "embedding queries")
    gallery = embed_spec(embedder, args.gallery, "embedding gallery")
    ranking = rank(query, gallery, camera_rule=args.camera_rule, k=args.top)
    rows = table(query, gallery, ranking)
    write_csv(out / "ranking.csv", rows, COLUMNS)
    found = {t.tracklet_id: t for spec in (args.query, args.gallery) for t in open_tracklets(spec)}
    pages = ranked_strips(out, query, gallery, ranking, found)
    outcome: dict[str, Any] = {
        "out": str(out),
        "queries": len(query),
        "gallery": len(gallery),
        "camera_rule": args.camera_rule,
        "synthetic": is_synthetic(args.query) or is_synthetic(args.gallery),
        "trained_on_synthetic": bool((embedder.header.get("data") or {}).get("synthetic")),
        "precision": query.meta["precision"],
        "pictures": [str(page) for page in pages],
        "rank1": None,
        "bad_frames": len(embedder.bad_frames.frames),
    }
    try:
        scores = score(query, gallery, camera_rule=args.camera_rule)
        outcome |= {"rank1": scores.rank1, "mAP": scores.mean_average_precision, "n_left_out": scores.n_left_out}
    except EvaluationError as error:
        outcome["not_scored"] = str(error)  # people without known pids can be ranked, not scored
    write_json(out / "ranking.json", {**outcome, "ranking": rows})
    console.result(outcome, words)


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
    text = f"{outcome['queries']} queries, {outcome['gallery']} gallery tracklets, camera rule {outcome['camera_rule']}"
    text += "\nSYNTHETIC data: generated people" if outcome["synthetic"] else ""
    text += "\nthe model was trained on synthetic people" if outcome["trained_on_synthetic"] else ""
    if outcome["rank1"] is not None:
        text += f"\nrank-1 {100 * outcome['rank1']:.1f} %, mAP {100 * outcome['mAP']:.1f} %"
        text += f", {outcome['n_left_out']} queries without a match left out" if outcome["n_left_out"] else ""
    else:
        text += f"\nnot scored: {outcome['not_scored']}"
    return f"{text}\n{outcome['out']}: ranking.csv, ranking.json and {len(outcome['pictures'])} pages of strips"
