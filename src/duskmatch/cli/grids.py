"""What commands that run a grid of cells share: their flags, the queue under a progress bar, the files at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from duskmatch.experiments.grids.cells import Cell, Order
    from duskmatch.experiments.grids.grid import Base, Grid
    from duskmatch.experiments.grids.variants import Row
    from duskmatch.pictures.charts import Chart

Document = Mapping[str, Any]


def grid_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.train import settings_arguments
    from duskmatch.config import PRESETS

    parser.add_argument("--data", type=Path, required=True, metavar="DATASET", help="train and score on this data set")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="cells and tables; goes on with what is there"
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        metavar="NAME",
        help="where all settings start, see train --help (default small, or what the settings file names)",
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="a YAML file with settings to change in all rows")
    parser.add_argument(
        "--seeds", default="0", metavar="A,B", help="training seeds (default 0); the first of all rows first"
    )
    parser.add_argument("--budget", type=int, metavar="N", help="iterations of each cell (default: the preset's)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose people (default test)")
    parser.add_argument(
        "--selection",
        default="last",
        choices=("last", "validation", "test_best_legacy"),
        help="which checkpoint is scored; test_best_legacy shows the field's habit beside the last (default last)",
    )
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N", help="cells side by side, one thread each (default 2)"
    )
    parser.add_argument(
        "--mix-machines", action="store_true", help="finish a seed on another machine than it was begun on"
    )
    parser.add_argument("--table-only", action="store_true", help="run nothing; write the tables of what is done")
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
    args: argparse.Namespace,
    name: str,
    rows: Sequence[Row],
    base: Base,
    charts: Callable[[Document], list[Chart]] = lambda _: [],
) -> None:
    """Runs what is not done, then writes NAME.json, .md, .csv, .html (and .png where there are curves)."""
    from duskmatch.cli import check_at_once, console
    from duskmatch.data import open_dataset
    from duskmatch.experiments.grids.cells import Order
    from duskmatch.experiments.grids.grid import check_data, check_machine, make_grid
    from duskmatch.machine import describe, pick_device
    from duskmatch.models.start import check_imagenet

    if args.seed is not None:
        raise SettingsError(f"--seed is not used by a grid of runs; got {args.seed}; pass --seeds {args.seed}")
    check_at_once("--at-once", args.at_once)
    pick_device(args.device)
    grid = make_grid(rows, seeds_of(args.seeds), base, args.out)
    order = Order(args.data, args.split, args.selection, args.device, args.threads or 1)
    dataset = open_dataset(args.data)
    fingerprint = check_data(dataset, order, grid)
    failed: dict[str, str] = {}

    def write() -> dict[str, Any]:
        return written(name, grid, base, order, dataset, fingerprint, failed, args.out, charts)

    waiting = [] if args.table_only else [c for c in grid.queue() if not c.result_path(args.split).is_file()]
    done = grid.results(order, fingerprint)  # refused before anything runs
    if waiting:
        if not args.mix_machines:
            check_machine(waiting, done, describe())
        for cell in waiting:
            check_imagenet(cell.settings.model)
        grid.check_folders(order, fingerprint)
        console.say(f"{len(waiting)} of {len(grid.queue())} cells to run, {args.at_once} at once: {args.out}")
        try:
            failed.update(run_with_progress(waiting, order, args.at_once, on_end=lambda: void(write())))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on from what is done") from None
        for cell in waiting:
            if cell.result_path(args.split).is_file():
                failed.pop(str(cell.folder), None)  # another process has done it meanwhile
    document = write()
    console.result(document, words)
    if failed:
        first = next(iter(failed.values()))
        raise TrainingError(f"cells that are not done: {len(failed)}, the first: {first}; run the same command again")


def run_with_progress(cells: Sequence[Cell], order: Order, at_once: int, on_end: Callable[[], None]) -> dict[str, str]:
    from rich.markup import escape

    from duskmatch.cli import console
    from duskmatch.experiments.grids.queue import run_cells

    with console.progress() as bar:
        whole = bar.add_task("cells", total=len(cells), note="")
        tasks: dict[Path, Any] = {}

        def on_step(cell: Cell, done: int, total: int) -> None:
            if cell.folder not in tasks:
                tasks[cell.folder] = bar.add_task(escape(f"{cell.row}, seed {cell.seed}"), total=total, note="")
            bar.update(tasks[cell.folder], completed=done)

        def ended(cell: Cell, why: str | None) -> None:
            if cell.folder in tasks:
                bar.remove_task(tasks.pop(cell.folder))
            bar.advance(whole)
            console.say(
                f"{'done' if why is None else 'NOT done'}: {cell.row}, seed {cell.seed}{': ' + why if why else ''}"
            )
            on_end()

        return run_cells(cells, order, at_once=at_once, on_step=on_step, on_end=ended)


def written(
    name: str,
    grid: Grid,
    base: Base,
    order: Order,
    dataset: Any,
    fingerprint: str,
    failed: Mapping[str, str],
    out: Path,
    charts: Callable[[Document], list[Chart]],
) -> dict[str, Any]:
    """All files of the experiment as it stands; returns the document."""
    from duskmatch.experiments.grids.document import experiment_document
    from duskmatch.experiments.grids.tables import write_experiment
    from duskmatch.pictures.charts import as_svg, save_png

    results = grid.results(order, fingerprint)
    document = experiment_document(name, grid, base, order, dataset, results, failed)
    drawn = charts(document)
    svgs = [as_svg(chart, chart.title) for chart in drawn]
    write_experiment(out, name, document, charts=svgs)
    curves = out / f"{name}_curves.png"
    if drawn:
        save_png(drawn, curves)
    else:
        curves.unlink(missing_ok=True)  # of an earlier sweep of this name
    return document


def words(document: Document) -> str:
    from duskmatch.experiments.grids.tables import markdown

    return markdown(document).rstrip()


def void(_: Any) -> None:
    return None
