"""`duskmatch reproduce probes`: what the layers of a network know besides the person."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.evaluate import split_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="trained runs")
    parser.add_argument("--data", type=Path, required=True, metavar="DATASET", help="whose people are looked at")
    parser.add_argument(
        "--backgrounds",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="DIR",
        help="the same walks before other places: synth --vary background",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for probes.json, .md and .png")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier call wrote there")
    parser.add_argument("--names", metavar="A,B", help="what to call each RUN (default: the end of its path)")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose people (default test)")
    split_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import check_split, given_protocol
    from duskmatch.cli.reproduce import published
    from duskmatch.embedding.layers import LAYERS, load_whole
    from duskmatch.experiments.probes.experiment import probes
    from duskmatch.experiments.probes.places import with_places
    from duskmatch.experiments.probes.words import probes_charts, probes_table
    from duskmatch.experiments.publish import check_place
    from duskmatch.experiments.subjects import open_sets, run_names
    from duskmatch.machine import set_threads

    names = run_names(args.runs, args.names)
    set_threads(args.threads)
    sets = with_places(open_sets([args.data, *args.backgrounds], **given_protocol(args)), args.split)
    embedders = {
        name: (load_whole(place, device=args.device), load_whole(place, device=args.device, untrained=True))
        for name, place in zip(names, args.runs, strict=True)
    }
    for place, (trained, _) in zip(args.runs, embedders.values(), strict=True):
        for dataset in () if args.any_split else sets.values():
            check_split(place, trained.header.get("data"), dataset)
    check_place(args.out, [f"probes.{kind}" for kind in ("json", "md", "png")], overwrite=args.overwrite)
    with console.progress() as bar:
        task = bar.add_task("probing", total=len(names) * len(LAYERS), note="")
        document = probes(embedders, sets, split=args.split, seed=args.seed, on_step=lambda: bar.advance(task))
    published(args.out, "probes", document, probes_table(document), probes_charts(document))
