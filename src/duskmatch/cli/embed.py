"""`duskmatch embed RUN TRACKLETS --out FILE`: vectors with their pid, camid, modality and source."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.embedding import Embedder
    from duskmatch.records import Embeddings, Tracklet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a trained run, or an exported folder")
    parser.add_argument(
        "tracklets", metavar="TRACKLETS", help="a folder with tracklets.csv, or DATASET:query and the like"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")
    engine_arguments(parser)
    parser.add_argument("--on-bad-frame", choices=("stop", "skip"), default="stop", help="(default stop)")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """What runs the network of a RUN, and in which number format."""
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="torch, torch-compiled, openvino, onnxruntime, or auto: the fastest that is installed (default auto)",
    )
    parser.add_argument(
        "--precision", metavar="NAME", help="fp32 or bf16 (default fp32; an exported folder has its own)"
    )


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.data import is_synthetic
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.run import run_files
    from duskmatch.embedding.shards import Shards, share_of_process
    from duskmatch.errors import OutputError
    from duskmatch.evaluation import save_embeddings
    from duskmatch.files import check_file
    from duskmatch.machine import set_threads

    if args.out.suffix != ".safetensors":
        raise OutputError(f"{args.out}: the name must end in .safetensors")
    if args.out.exists() and not args.overwrite:
        if share_of_process()[0]:
            return  # the first process has written it, from blocks that include this one's
        raise OutputError(f"{args.out} exists; choose another FILE or pass --overwrite")
    check_file(args.out, inputs=run_files(args.run))
    set_threads(args.threads)
    tracklets = tracklets_of(args.tracklets)
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    started_s = process_started_s()
    rank, world = share_of_process()
    shards = Shards(embedder, tracklets, args.out, rank, world) if world > 1 else None
    if shards is not None:
        if rank and written_since(args.out, started_s):
            return  # all was joined before this process had started
        shards.compute()
        if rank:
            if written_since(args.out, started_s):
                shards.remove()  # joined meanwhile: what this process wrote after that is nobody's
            return
    embeddings = shards.joined() if shards is not None else embed_with_progress(embedder, tracklets)
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
        "bad_frames": len(embedder.bad_frames.frames),
    }
    console.result(outcome, words)


def written_since(out: Path, started_s: float) -> bool:
    """Whether the first process has written OUT in this very run."""
    return out.is_file() and out.stat().st_mtime >= started_s


def process_started_s() -> float:
    """When this process began, by the wall clock, before torch was imported; now, where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time()


def tracklets_of(spec: str) -> list[Tracklet]:
    """The tracklets that `spec` names, at least one."""
    from duskmatch.data import open_tracklets
    from duskmatch.errors import DataError

    tracklets = open_tracklets(spec)
    if not tracklets:
        raise DataError(f"{spec} must hold at least one tracklet; it holds none; choose another")
    return tracklets


def embed_with_progress(embedder: Embedder, tracklets: list[Tracklet], what: str = "embedding") -> Embeddings:
    """The tracklets' embeddings, under a progress bar."""
    from duskmatch.cli import console

    with console.progress() as bar:
        task = bar.add_task(what, total=len(tracklets), note="")
        return embedder.embed(tracklets, lambda done, total: bar.update(task, completed=done, total=total))


def words(outcome: dict[str, Any]) -> str:
    skipped = outcome["bad_frames"]
    tail = f"; {skipped} bad frames left out" if skipped else ""
    return f"{outcome['tracklets']} tracklets, {outcome['width']} numbers each: {outcome['out']}{tail}"
