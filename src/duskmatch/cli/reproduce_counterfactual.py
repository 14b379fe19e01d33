"""`duskmatch reproduce counterfactual RUN ... --data DATASET --out DIR`: scores on people with one factor changed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from duskmatch.cli.synth import FACTORS
from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.experiments.counterfactual.document import Counterfactual

SEVERITIES = (1, 2, 3, 4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of trained runs or exports")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATASET", help="a Duskwalk set made without --vary"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="folder for generated pictures and results: new, empty, or that of an earlier call, which is continued",
    )  # fmt: skip
    parser.add_argument("--names", metavar="A,B", help="names of the RUNs (default: the end of each path)")
    parser.add_argument(
        "--factors", metavar="A,B", default=",".join(FACTORS),
        help=f"factors to change, one at a time: {', '.join(FACTORS)} (default all)",
    )  # fmt: skip
    parser.add_argument(
        "--severities", metavar="1,2", default=",".join(map(str, SEVERITIES)),
        help="steps by which each factor is changed, 1 (least) to 4 (default all)",
    )  # fmt: skip
    parser.add_argument(
        "--people", type=int, metavar="N", help="use only the first N test people (default 40, or all if fewer)"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes that generate pictures (default: one a core, at most 8)"
    )
    parser.add_argument(
        "--keep-films", action="store_true",
        help="keep the generated pictures (default: delete them once embedded, and generate them again if needed)",
    )  # fmt: skip
    engine_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    """Runs the test with a progress bar; prints the shift and rank-1 of each RUN."""
    from duskmatch.cli import console
    from duskmatch.experiments.counterfactual.experiment import Listener, Request, counterfactual
    from duskmatch.machine import set_threads

    set_threads(args.threads)
    request = Request(
        runs=args.runs,
        data=args.data,
        out=args.out,
        names=args.names,
        factors=words_of(args.factors),
        severities=numbers_of(args.severities),
        people=args.people,
        seed=args.seed,
        keep_films=args.keep_films,
        overwrite=args.overwrite,
        n_processes=args.processes,
        embedder_options={"device": args.device, "engine": args.engine, "precision": args.precision},
    )
    with console.progress() as bar:
        task = bar.add_task("counterfactuals", total=None, note="", visible=False)  # until work begins
        listener = Listener(
            on_piece=lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            on_work=lambda what, done, total: bar.update(task, note=f"{what}, {done} of {total}", visible=True),
            on_note=lambda note: console.say(f"note: {note}"),
        )
        document = counterfactual(request, listener)
    value = {**document.model_dump(mode="json"), "out": str(args.out)}
    console.result(value, lambda _: words(document, args.out))


def words_of(text: str) -> list[str]:
    """The parts between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers_of(text: str) -> list[int]:
    """Whole numbers between commas."""
    try:
        return [int(word) for word in words_of(text)]
    except ValueError as error:
        raise SettingsError(f"--severities must be whole numbers with commas between them; got {text!r}") from error


def words(document: Counterfactual, out: Path) -> str:
    from duskmatch.experiments.counterfactual.words import short_words

    return f"{short_words(document)}\n\npage: {out}/counterfactual.html"
