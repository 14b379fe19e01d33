"""Common code of the commands that run a grid of cells: flags, running with a progress bar, writing the files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from duskmatch.experiments.grids.cells import Cell, Scoring
    from duskmatch.experiments.grids.grid import Base, Study
    from duskmatch.experiments.grids.tables import Curves
    from duskmatch.experiments.grids.variants import Row


def grid_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a grid: rows (variants) x training seeds; each row with one seed is a cell."""
    from duskmatch.cli.evaluate import split_argument
    from duskmatch.cli.train import settings_arguments
    from duskmatch.config import PRESETS

    parser.add_argument("--data", type=Path, required=True, metavar="DATASET", help="data set to train and score on")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="folder for runs and tables; runs that an earlier call finished there are not repeated",
    )  # fmt: skip
    parser.add_argument(
        "--preset", choices=PRESETS, metavar="NAME",
        help="settings to start from, listed by train --help (default small, or that of the --settings file)",
    )  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML file of settings that all rows share")
    parser.add_argument(
        "--seeds", default="0", metavar="A,B",
        help="training seeds, in place of --seed: every row is trained once with each; more seeds give more reliable "
        "differences (default 0)",
    )  # fmt: skip
    parser.add_argument("--budget", type=int, metavar="N", help="iterations of each training (default: the preset's)")
    split_argument(parser)
    parser.add_argument(
        "--selection", default="last", choices=("last", "validation", "test_best_legacy"),
        help="checkpoint to score: the last, the best on validation people, or test_best_legacy: the last, and beside "
        "it the best on the test people, as many papers report (default last)",
    )  # fmt: skip
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N",
        help="trainings at the same time, with one thread each unless --threads is given (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--mix-machines", action="store_true",
        help="finish a seed on another machine, whose different rounding acts like another seed (default: refuse)",
    )  # fmt: skip
    parser.add_argument("--table-only", action="store_true", help="train nothing; write the tables of finished runs")
    settings_arguments(parser)


def seeds_of(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise SettingsError(f"--seeds must be whole numbers, a,b,c; got {text}")
    return tuple(map(int, words))


def base_of(args: argparse.Namespace, shared: Mapping[str, str]) -> Base:
    from duskmatch.cli.train import of_protocol
    from duskmatch.config import file_preset
    from duskmatch.experiments.grids.grid import Base

    overrides = tuple(f"{key}={value}" for key, value in shared.items())
    return Base(
        args.preset or file_preset(args.settings) or "small",
        args.settings,
        overrides,
        args.budget,
        tuple(of_protocol(args)),
    )


def run_grid(
    args: argparse.Namespace, name: str, rows: Sequence[Row], base: Base, curves: Curves | None = None
) -> None:
    """Runs the cells that are not done, and after each writes NAME.json, .md, .csv, .html and pictures."""
    from duskmatch.cli import check_at_once, console
    from duskmatch.experiments.grids.cells import Scoring
    from duskmatch.experiments.grids.grid import make_grid, plan_study
    from duskmatch.experiments.grids.tables import file_names, in_markdown, publish_study
    from duskmatch.experiments.publish import check_place
    from duskmatch.machine import pick_device

    if args.seed is not None:
        raise SettingsError(f"--seed is not used by a grid of runs; got {args.seed}; pass --seeds {args.seed}")
    check_at_once("--at-once", args.at_once)
    pick_device(args.device)
    grid = make_grid(rows, seeds_of(args.seeds), base, args.out)
    scoring = Scoring(args.data, args.split, args.selection, args.device, args.threads or 1)
    study = plan_study(name, grid, scoring, args.out)
    check_place(args.out, file_names(name), overwrite=True)
    waiting = [] if args.table_only else study.waiting(mix_machines=args.mix_machines)
    publish = partial(publish_study, study, curves=curves or (lambda _: []))
    failed = run_waiting(waiting, study, args.at_once, on_end=lambda: publish({})) if waiting else {}
    document = publish(failed)
    console.result(document.model_dump(mode="json"), lambda _: in_markdown(document).rstrip())
    if failed:
        first = next(iter(failed.values()))
        raise TrainingError(f"cells that failed: {len(failed)}, the first: {first}; run the same command again")


def run_waiting(cells: Sequence[Cell], study: Study, at_once: int, on_end: Callable[[], object]) -> dict[str, str]:
    """Runs the cells; returns why each failed one did, by the path of its folder."""
    from duskmatch.cli import console

    console.say(f"{len(cells)} of {len(study.grid.queue())} cells to run, {at_once} at once: {study.out}")
    try:
        failed = run_with_progress(cells, study.scoring, at_once, on_end)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run the same command again to continue") from None
    done = {str(cell.folder) for cell in cells if cell.result_path(study.scoring.split).is_file()}
    return {folder: why for folder, why in failed.items() if folder not in done}  # another process may have done it


def run_with_progress(
    cells: Sequence[Cell], scoring: Scoring, at_once: int, on_end: Callable[[], object]
) -> dict[str, str]:
    from rich.markup import escape

    from duskmatch.cli import console
    from duskmatch.experiments.grids.queue import run_cells

    with console.progress() as bar:
        all_cells = bar.add_task("cells", total=len(cells), note="")
        tasks: dict[Path, Any] = {}

        def on_step(cell: Cell, done: int, total: int) -> None:
            if cell.folder not in tasks:
                tasks[cell.folder] = bar.add_task(escape(f"{cell.row}, seed {cell.seed}"), total=total, note="")
            bar.update(tasks[cell.folder], completed=done)

        def on_cell_end(cell: Cell, why: str | None) -> None:
            if cell.folder in tasks:
                bar.remove_task(tasks.pop(cell.folder))
            bar.advance(all_cells)
            console.say(
                f"{'done' if why is None else 'NOT done'}: {cell.row}, seed {cell.seed}{': ' + why if why else ''}"
            )
            on_end()

        return run_cells(cells, scoring, at_once=at_once, on_step=on_step, on_end=on_cell_end)
