"""Shared by experiments on trained runs: their flags, the check of their splits, the results at the end."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.pictures.dots import DotChart


def outcome_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    from duskmatch.cli.evaluate import split_arguments

    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"for {name}.json, .md and .png")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier call wrote there")
    parser.add_argument("--names", metavar="A,B", help="what to call each RUN (default: the end of its path)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose people (default test)")
    split_arguments(parser)


def check_splits(args: argparse.Namespace, headers: Iterable[Mapping[str, Any]], sets: Iterable[Dataset]) -> None:
    """Refuses data sets on another split than a RUN was trained on, unless --any-split is given."""
    from duskmatch.cli.evaluate import check_split

    for place, header in zip(args.runs, headers, strict=True):
        for dataset in () if args.any_split else sets:
            check_split(place, header.get("data"), dataset)


def write_outcome(out: Path, name: str, document: dict[str, Any], table: str, charts: list[DotChart]) -> None:
    """Writes the experiment's three files and prints its table."""
    from duskmatch.cli import console
    from duskmatch.experiments.outputs import write_results

    write_results(out, name, document, table, charts)
    console.say(f"written: {out / name}.json, {name}.md and {name}.png beside it")
    console.result(document, lambda _: table.rstrip())
