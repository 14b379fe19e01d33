"""`duskmatch reproduce table2`: the compared methods of Table II, resumable, with paired differences."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.grids import table_arguments

    table_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli.grids import run_table
    from duskmatch.experiments.grids.variants import TABLE2

    run_table(args, "table2", TABLE2)
