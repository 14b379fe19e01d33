"""`duskmatch reproduce motion`: tests if models use motion, by clips whose frames are put in other orders."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments
    from duskmatch.cli.reproduce import result_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of trained runs or exports")
    parser.add_argument(
        "--data", nargs="+", action="extend", type=Path, required=True, metavar="DATASET",
        help="data sets to score on; one made with `synth --twins` is also scored within each group of four twins",
    )  # fmt: skip
    parser.add_argument(
        "--twins", nargs="+", action="extend", type=Path, default=[], metavar="DATASET",
        help="more data sets, each of which must hold twins",
    )  # fmt: skip
    result_arguments(parser, "motion")
    engine_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import given_protocol
    from duskmatch.cli.reproduce import check_runs, publish_result
    from duskmatch.embedding import load_embedder
    from duskmatch.experiments.motion.experiment import check_order, motion
    from duskmatch.experiments.motion.orders import ORDERS
    from duskmatch.experiments.motion.twins import twin_groups
    from duskmatch.experiments.motion.words import motion_charts, motion_table
    from duskmatch.experiments.subjects import open_sets, run_names
    from duskmatch.machine import set_threads

    names = run_names(args.runs, args.names)
    set_threads(args.threads)
    sets = open_sets([*args.data, *args.twins], **given_protocol(args))
    for name in list(sets)[len(args.data) :]:
        twin_groups(sets[name], args.split)
    for dataset in sets.values():
        check_order(dataset, args.split)
    load = {"device": args.device, "engine": args.engine, "precision": args.precision}
    embedders = {name: load_embedder(place, **load) for name, place in zip(names, args.runs, strict=True)}
    check_runs(args, "motion", embedders.values(), sets.values())
    with console.progress() as bar:
        task = bar.add_task("scoring", total=len(names) * len(sets) * len(ORDERS), note="")
        document = motion(embedders, sets, split=args.split, seed=args.seed, on_step=lambda: bar.advance(task))
    publish_result(args.out, "motion", document, motion_table(document), motion_charts(document))
