"""`duskmatch synth`: generates a Duskwalk data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Spelled out here so that `--help` need not load the generator; a test compares them with it.
PRESETS = ("tiny", "demo", "bench", "full")
FACTORS = ("view", "pose", "background", "occluder", "exposure", "modality")
TWINS = ("gait_twins", "look_twins", "part_twins")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be new or empty")
    parser.add_argument("--preset", choices=PRESETS, required=True, help="size and difficulty of the set")
    parser.add_argument("--vary", choices=FACTORS, help="generate only the test people, with this factor changed")
    parser.add_argument("--severity", type=int, choices=range(5), help="steps by which --vary changes it, 0 for none")
    parser.add_argument("--twins", choices=TWINS, help="test people in groups of four who differ in one thing only")
    parser.add_argument("--test-people", type=int, metavar="N", help="generate only the first N test people")
    parser.add_argument("--size", metavar="HxW", help="height and width of pictures in pixels (default: the preset's)")
    parser.add_argument("--overwrite", action="store_true", help="empty OUT first")
    parser.add_argument(
        "--processes", type=int, default=None, help="parallel processes (default one a core, at most 8)"
    )


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import check_at_once, console

    if args.processes is not None:
        check_at_once("--processes", args.processes)
    options = ("preset", "seed", "vary", "severity", "twins", "test_people", "overwrite")
    chosen = {k: getattr(args, k) for k in options}
    record = generate_with_progress(args.out, n_processes=args.processes, size=size_of(args.size), **chosen)
    console.result({"out": str(args.out), **record}, _words)


def size_of(text: str | None) -> tuple[int, int] | None:
    """96x48 as (96, 48)."""
    from duskmatch.errors import SettingsError

    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise SettingsError(f"--size must be HxW in pixels, such as 96x48; got {text}")
    return int(height), int(width)


def generate_with_progress(out: Path, **options: Any) -> dict[str, Any]:
    """`synthetic.generate` under a progress bar."""
    from duskmatch.cli import console
    from duskmatch.synthetic import generate

    with console.progress() as bar:
        task = bar.add_task("generating", total=None, note="frames")
        return generate(out, on_progress=lambda done, total: bar.update(task, completed=done, total=total), **options)


def _words(record: dict[str, Any]) -> str:
    pools = "; ".join(
        f"{pool}: {counts['people']} people, {counts['infrared_tracks']} infrared and"
        f" {counts['visible_tracks']} visible tracks"
        for pool, counts in record["pools"].items()
        if counts["people"]
    )
    return (
        f"Duskwalk {record['preset']} (synthetic, version {record['data_version']}, seed {record['seed']}) in"
        f" {record['out']}\n{pools}\n{record['n_frames']} frames in {record['seconds']} s"
    )
