"""`duskmatch reproduce table1`: the eight variants of Table I on one data set, resumable, with paired differences."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.grids import grid_arguments

    grid_arguments(parser)
    parser.add_argument("--rows", metavar="A,B", help="some of the eight rows by name (default all)")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli.grids import base_of, run_grid
    from duskmatch.cli.train import given_settings
    from duskmatch.experiments.grids.variants import table1_rows

    rows = table1_rows([name.strip() for name in args.rows.split(",")] if args.rows else None)
    run_grid(args, "table1", rows, base_of(args, given_settings(args)))
