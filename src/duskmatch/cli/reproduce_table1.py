"""`duskmatch reproduce table1`: the eight variants of Table I on one data set, resumable, with paired differences."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.grids import table_arguments

    table_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli.grids import run_table
    from duskmatch.experiments.grids.variants import TABLE1

    run_table(args, "table1", TABLE1)
