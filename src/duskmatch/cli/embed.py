"""`duskmatch embed RUN TRACKLETS --out FILE`: embeddings with their pid, camid, modality and source."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.embedding import Account, Embedder
    from duskmatch.embedding.shards import Group
    from duskmatch.records import Embeddings, Tracklet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run or an export")
    parser.add_argument(
        "tracklets", metavar="TRACKLETS",
        help="a folder with tracklets.csv, or a side of a data set: DATASET:query (infrared test tracklets), "
        "DATASET:gallery (visible ones), :train, :validation-query or :validation-gallery",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")
    engine_arguments(parser)
    bad_frame_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --engine and --precision."""
    parser.add_argument(
        "--engine", default="auto", metavar="NAME",
        help="library that runs the network: torch, torch-compiled, openvino, onnxruntime, or auto for the "
        "fastest that is installed (default auto)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", metavar="NAME", help="fp32 or bf16 numbers (default fp32; an export has its own)"
    )


def bad_frame_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --on-bad-frame."""
    parser.add_argument(
        "--on-bad-frame", choices=("stop", "skip"), default="stop",
        help="if a picture cannot be read: stop with an error, or skip it and report how many (default stop)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from duskmatch.embedding.run import run_files
    from duskmatch.embedding.shards import process_group
    from duskmatch.errors import OutputError
    from duskmatch.files import check_file
    from duskmatch.machine import set_threads

    if args.out.suffix != ".safetensors":
        raise OutputError(f"{args.out}: the name must end in .safetensors")
    if args.out.exists() and not args.overwrite:
        raise OutputError(f"{args.out} exists; choose another FILE or pass --overwrite")
    check_file(args.out, inputs=run_files(args.run))
    set_threads(args.threads)
    with process_group() as group:
        embed(args, group)


def embed(args: argparse.Namespace, group: Group | None) -> None:
    """Writes FILE and prints what is in it; of several processes the first does so, after all have finished."""
    from duskmatch.cli import console
    from duskmatch.data import is_synthetic
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.shards import Shards
    from duskmatch.evaluation import save_embeddings

    tracklets = tracklets_of(args.tracklets)
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    shards = None if group is None else Shards(embedder, tracklets, args.out)
    if group is None or shards is None:
        embeddings, account = embed_with_progress(embedder, tracklets)
    else:
        shards.compute(group.rank, group.world)
        group.wait(args.out)
        if group.rank:
            return
        embeddings, account = shards.joined()
    if is_synthetic(args.tracklets):
        embeddings.meta["synthetic"] = True
    save_embeddings(args.out, embeddings)
    if shards is not None:
        shards.remove()
    outcome = {
        "out": str(args.out),
        "tracklets": len(embeddings),
        "width": int(embeddings.vectors.shape[1]),
        "precision": embeddings.meta["precision"],
        "engine": embeddings.meta["engine"],
        "bad_frames": len(account.bad_frames.frames),
    }
    console.result(outcome, words)


def tracklets_of(spec: str) -> list[Tracklet]:
    """The tracklets that `spec` names; refused if there are none."""
    from duskmatch.data import open_tracklets
    from duskmatch.errors import DataError

    tracklets = open_tracklets(spec)
    if not tracklets:
        raise DataError(f"{spec} must hold at least one tracklet; it holds none; choose another")
    return tracklets


def embed_with_progress(
    embedder: Embedder, tracklets: list[Tracklet], what: str = "embedding"
) -> tuple[Embeddings, Account]:
    """The tracklets' embeddings and the account of them, computed with a progress bar."""
    from duskmatch.cli import console

    with console.progress() as bar:
        task = bar.add_task(what, total=len(tracklets), note="")
        return embedder.embed_with_account(tracklets, lambda done, total: bar.update(task, completed=done, total=total))


def words(outcome: dict[str, Any]) -> str:
    skipped = outcome["bad_frames"]
    tail = f"; {skipped} bad frames left out" if skipped else ""
    return f"{outcome['tracklets']} tracklets, {outcome['width']} numbers each: {outcome['out']}{tail}"
