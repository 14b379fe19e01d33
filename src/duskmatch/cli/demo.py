"""`duskmatch demo`: generates people, trains a model, scores it on other people, and writes a report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.config import Settings

PRESETS = {"demo": "small", "tiny": "tiny"}  # Duskwalk's preset -> the training preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default="demo", help="demo takes minutes, tiny takes seconds (default demo)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR",
        help="folder to write; must be new or empty (default demo)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.config import load_settings
    from duskmatch.files import claimed
    from duskmatch.machine import pick_device, set_threads
    from duskmatch.models.start import check_imagenet

    begin = time.perf_counter()
    settings = load_settings(PRESETS[args.preset], seed=args.seed)
    check_imagenet(settings.model)
    pick_device(args.device)
    threads = set_threads(args.threads)
    with claimed(args.out, overwrite=args.overwrite) as out:
        document = make(out, args, settings, threads)
    outcome = {**document, "report": str(out / "report.html"), "scores": str(out / "scores.json")}
    outcome["seconds"] = round(time.perf_counter() - begin, 1)
    console.result(outcome, words)


def make(out: Path, args: argparse.Namespace, settings: Settings, threads: int) -> dict[str, Any]:
    """Writes the data, the RUN and its report; returns the scores document."""
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import evaluate_run
    from duskmatch.cli.synth import generate_with_progress
    from duskmatch.cli.train import train_with_progress
    from duskmatch.data import open_dataset
    from duskmatch.machine import describe

    console.say(f"duskmatch demo on {describe()}, {threads} threads: generated people; nothing is downloaded or sent")

    generate_with_progress(out / "data", preset=args.preset, seed=args.seed)
    dataset = open_dataset(out / "data")
    train_with_progress(settings, dataset, out / "run", resume=False, device=args.device)
    return evaluate_run(
        out / "run", dataset, device=args.device, scores=out / "scores.json", report=out / "report.html"
    )


def words(outcome: dict[str, Any]) -> str:
    from duskmatch.evaluation import scores_in_words

    return (
        f"{scores_in_words(outcome)}\n\n"
        f"done in {outcome['seconds'] / 60:.1f} minutes\n"
        f"report: {outcome['report']}\n"
        f"scores: {outcome['scores']}"
    )
