"""`duskmatch reproduce WHAT`: the paper's tables, and experiments on trained runs; one file for each WHAT."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.embedding import Embedder
    from duskmatch.evaluation.document import Part
    from duskmatch.pictures.dots import DotChart

EXAMPLES = {
    "table1": "duskmatch reproduce table1 --data people --preset small --seeds 0,1,2 --out table1",
    "table2": "duskmatch reproduce table2 --data people --preset small --seeds 0,1,2 --out table2",
    "counterfactual": "duskmatch reproduce counterfactual run --data people --factors view,pose --out counterfactual",
    "motion": "duskmatch reproduce motion run --data people --out motion",
    "probes": "duskmatch reproduce probes run --data people --out probes",
}
# WHAT -> what it does. Its file is cli/reproduce_WHAT.py; both tables are in reproduce_tables.py.
EXPERIMENTS = {
    "table1": "train and score the eight variants of the paper's Table I",
    "table2": "train and score the methods of the paper's Table II",
    "counterfactual": "generate the test people of a Duskwalk set again with one factor changed (view, pose, ...), and "
    "measure how often they are still found and how far their embeddings move",
    "motion": "score clips with their frames in order, shuffled, reversed, or one repeated: does a model use motion?",
    "probes": "measure how well linear probes read camera, view, background and modality from each layer",
}
TABLES = ("table1", "table2")  # they take --seeds instead of --seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli import Parser, add_command, common_arguments

    # SUPPRESS: a common flag that is not given after WHAT keeps its value from before WHAT, or its default.
    parser.set_defaults(seed=None)  # None: not given; the tables refuse a --seed that is given
    common = common_arguments(argument_default=argparse.SUPPRESS)
    for action in common._actions:
        action.default = argparse.SUPPRESS
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=Parser)
    for name, summary in EXPERIMENTS.items():
        module(name).add_arguments(add_command(kinds, name, summary, EXAMPLES[name], common))


def run(args: argparse.Namespace) -> None:
    if args.seed is None and args.what not in TABLES:
        args.seed = 0
    module(args.what).run(args)


def module(name: str) -> Any:
    return importlib.import_module(f"duskmatch.cli.reproduce_{'tables' if name in TABLES else name}")


def result_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds the flags of an experiment that examines RUNs on one split and writes NAME.json, .md and .png."""
    from duskmatch.cli.evaluate import split_arguments

    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"folder for {name}.json, .md and .png")
    parser.add_argument("--overwrite", action="store_true", help="replace these files if they exist")
    parser.add_argument("--names", metavar="A,B", help="names of the RUNs (default: the end of each path)")
    split_arguments(parser)


def check_runs(args: argparse.Namespace, name: str, embedders: Iterable[Embedder], sets: Collection[Dataset]) -> None:
    """Refuses RUNs that were trained under another protocol (`check_split`), and an --out that holds results."""
    from duskmatch.cli.evaluate import check_split
    from duskmatch.experiments.publish import check_place

    for place, embedder in zip(args.runs, embedders, strict=True):
        for dataset in () if args.any_split else sets:
            check_split(place, embedder.header.get("data"), dataset)
    check_place(args.out, [f"{name}.{kind}" for kind in ("json", "md", "png")], overwrite=args.overwrite)


def publish_result(out: Path, name: str, document: Part, table: str, charts: list[DotChart]) -> None:
    """Writes NAME.png, NAME.md and NAME.json, and prints the table."""
    from duskmatch.cli import console
    from duskmatch.experiments.publish import publish
    from duskmatch.pictures.dots import save_dots

    publish(out, name, document, {f"{name}.png": partial(save_dots, charts), f"{name}.md": table})
    console.say(f"written: {out / name}.json, {name}.md and {name}.png beside it")
    console.result(document.model_dump(mode="json"), lambda _: table.rstrip())
