"""`duskmatch reproduce table1` and `table2`: trains and scores the rows of the paper's tables on one data set."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.grids import grid_arguments

    grid_arguments(parser)
    parser.add_argument("--rows", metavar="A,B", help="run only these rows, by name (default all)")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli.grids import base_of, run_grid
    from duskmatch.cli.train import given_settings
    from duskmatch.experiments.grids.variants import TABLE1, TABLE2, rows_of

    chosen = [row.strip() for row in args.rows.split(",")] if args.rows else None
    rows = rows_of({"table1": TABLE1, "table2": TABLE2}[args.what], chosen)
    run_grid(args, args.what, rows, base_of(args, given_settings(args)))
