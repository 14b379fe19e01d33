"""`duskmatch reproduce probes`: measures what linear probes can read from each layer besides the person."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.reproduce import result_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of trained runs")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATASET", help="data set whose people are embedded"
    )
    parser.add_argument(
        "--backgrounds", nargs="+", action="extend", type=Path, default=[], metavar="DIR",
        help="the same test people before other backgrounds, made with `synth --vary background`; required to probe "
        "for the background",
    )  # fmt: skip
    result_arguments(parser, "probes")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import given_protocol
    from duskmatch.cli.reproduce import check_runs, publish_result
    from duskmatch.embedding.layers import LAYERS, load_whole
    from duskmatch.experiments.probes.experiment import probes
    from duskmatch.experiments.probes.places import with_places
    from duskmatch.experiments.probes.words import probes_charts, probes_table
    from duskmatch.experiments.subjects import open_sets, run_names
    from duskmatch.machine import set_threads

    names = run_names(args.runs, args.names)
    set_threads(args.threads)
    sets = with_places(open_sets([args.data, *args.backgrounds], **given_protocol(args)), args.split)
    embedders = {
        name: (load_whole(place, device=args.device), load_whole(place, device=args.device, untrained=True))
        for name, place in zip(names, args.runs, strict=True)
    }
    check_runs(args, "probes", (trained for trained, _ in embedders.values()), sets.values())
    with console.progress() as bar:
        task = bar.add_task("probing", total=len(names) * len(LAYERS), note="")
        document = probes(embedders, sets, split=args.split, seed=args.seed, on_step=lambda: bar.advance(task))
    publish_result(args.out, "probes", document, probes_table(document), probes_charts(document))
