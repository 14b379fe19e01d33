"""`duskmatch sweep --loss.attack_weight 0.1,1,9`: varies one setting at a time, or runs rows from a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.experiments.grids.grid import Base


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.grids import grid_arguments

    grid_arguments(parser)
    parser.add_argument(
        "--rows", type=Path, metavar="FILE",
        help="YAML file of rows, `name: {section.key: value}`, in place of a setting with several values",
    )  # fmt: skip
    parser.set_defaults(seed=None)  # --seeds takes its place
    parser.add_argument("--name", default="sweep", metavar="NAME", help="name of the files in DIR (default sweep)")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli.grids import base_of, run_grid
    from duskmatch.cli.train import given_settings
    from duskmatch.experiments.grids.sweep import sweep_charts, sweep_rows, swept
    from duskmatch.experiments.grids.variants import read_rows

    if not args.name.replace("-", "").replace("_", "").isalnum():
        raise SettingsError(f"--name must be letters, digits, - and _; got {args.name}")
    given = given_settings(args)
    lists = {key: values for key, text in given.items() if (values := swept(key, text))}
    base = base_of(args, {key: text for key, text in given.items() if key not in lists})
    if bool(args.rows) == bool(lists):
        raise SettingsError("sweep needs one of --rows FILE or a setting with several values, --section.key a,b,c")
    if args.rows:
        run_grid(args, args.name, read_rows(args.rows), base)
        return
    reference = reference_values(base)
    run_grid(
        args, args.name, sweep_rows(lists, reference), base, lambda document: sweep_charts(document, lists, reference)
    )


def reference_values(base: Base) -> dict[str, Any]:
    """The settings that every row starts from: dotted name -> value."""
    from duskmatch.experiments.grids.earlier import values_of
    from duskmatch.experiments.grids.grid import settings_of
    from duskmatch.experiments.grids.variants import Row

    return values_of(settings_of(Row("as is"), 0, base))
