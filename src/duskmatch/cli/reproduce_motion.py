"""`duskmatch reproduce motion`: does a model use motion? Frames in order, shuffled, one of them, reversed."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments
    from duskmatch.cli.evaluate import split_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="trained runs, or exported folders")
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        type=Path,
        required=True,
        metavar="DATASET",
        help="data sets, twins sets among them",
    )
    parser.add_argument(
        "--twins",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="DATASET",
        help="more of them, refused if without twins",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for motion.json, .md and .png")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier call wrote there")
    parser.add_argument("--names", metavar="A,B", help="what to call each RUN (default: the end of its path)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose people (default test)")
    split_arguments(parser)
    engine_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import check_split, given_protocol
    from duskmatch.cli.reproduce import published
    from duskmatch.embedding import load_embedder
    from duskmatch.experiments.motion.experiment import check_order, motion
    from duskmatch.experiments.motion.orders import ORDERS
    from duskmatch.experiments.motion.twins import twin_groups
    from duskmatch.experiments.motion.words import motion_charts, motion_table
    from duskmatch.experiments.publish import check_place
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
    for place, embedder in zip(args.runs, embedders.values(), strict=True):
        for dataset in () if args.any_split else sets.values():
            check_split(place, embedder.header.get("data"), dataset)
    check_place(args.out, [f"motion.{kind}" for kind in ("json", "md", "png")], overwrite=args.overwrite)
    with console.progress() as bar:
        task = bar.add_task("scoring", total=len(names) * len(sets) * len(ORDERS), note="")
        document = motion(embedders, sets, split=args.split, seed=args.seed, on_step=lambda: bar.advance(task))
    published(args.out, "motion", document, motion_table(document), motion_charts(document))
