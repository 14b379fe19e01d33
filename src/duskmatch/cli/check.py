"""`duskmatch check`: counts what is in a data set and lists every problem with it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.evaluate import protocol_argument

    parser.add_argument("dataset", metavar="DATASET", help="folder of a data set, or one with a tracklets.csv")
    protocol_argument(parser)
    parser.add_argument(
        "--frames", choices=("all", "sample", "none"), default="sample",
        help="pictures to open: all; sample: the middle one of each track, checking only size and end of the others; "
        "none: check only that they exist (default sample)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Prints what was found; exits with status 2 if there are problems."""
    from duskmatch.cli import console
    from duskmatch.errors import DataError

    found = find(args)
    console.result(found, show)
    if n := len(found["problems"]):
        what = "problem is" if n == 1 else "problems are"
        raise DataError(f"{args.dataset}: {n} {what} listed above; correct the data and check again")


def find(args: argparse.Namespace) -> dict[str, Any]:
    """The counts and problems of a data set or of a folder of tracklets."""
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import given_protocol
    from duskmatch.data import Problem, checking, open_dataset, tracklets

    problems: list[Problem] = []
    folder, threads = Path(args.dataset).expanduser(), args.threads or os.cpu_count() or 1
    if (folder / tracklets.TABLE).is_file() and not tracklets.has_splits(folder):
        opened = tracklets.open_folder(folder, problems.append)
        return checking.describe_tracklets(folder.resolve(), opened, problems, args.frames, threads)
    console.say(f"reading {folder}")
    dataset = open_dataset(folder, problems.append, **given_protocol(args))
    return checking.describe_dataset(dataset, problems, args.frames, threads)


def show(found: dict[str, Any]) -> str:
    """The result as text: the kind of data, counts, tracks by camera, problems."""
    from duskmatch.cli import printable

    lines = [f"{found['kind']}: {found['name']}" + (f", version {found['version']}" if found.get("version") else "")]
    if "synthetic" in found:
        lines += [f"synthetic: {'yes, generated pictures' if found['synthetic'] else 'no'}"]
        lines += [f"fingerprint: {found['fingerprint'] or 'none, an info file is missing'}"]
    lines += ["people: " + ", ".join(f"{split} {n}" for split, n in found["people"].items())]
    if "short" in found:
        lines += ["left out, under 12 frames: " + ", ".join(f"{split} {n}" for split, n in found["short"].items())]
        lines += ["names in no track: " + ", ".join(f"{split} {n}" for split, n in found["names_in_no_track"].items())]
    frames = found["frames"]
    lines += [
        f"pictures: {frames['listed']} listed, {frames['missing']} missing, "
        f"{frames['opened']} opened ({frames['checked']}), {frames['unreadable']} unreadable"
    ]
    counts = [[c["what"], c["found"], "-" if c["expected"] is None else c["expected"]] for c in found["counts"]]
    lines += ["", *table(["counts", "found", "expected"], counts)]
    if found["cameras"]:
        header = ["tracks by camera", *(key for key in found["cameras"][0] if key != "camid")]
        lines += ["", *table(header, [list(row.values()) for row in found["cameras"]])]
    lines += ["", f"problems: {len(found['problems'])}" if found["problems"] else "no problems"]
    for problem in found["problems"]:
        line = f", line {problem['line']}" if problem["line"] is not None else ""
        lines.append(f"  {problem['kind']}: {problem['file']}{line}: {problem['text']}")
    return "\n".join(printable(line) for line in lines)


def table(header: list[str], rows: list[list[Any]]) -> list[str]:
    """The lines of a table: the first column aligned left, the others right."""
    cells = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
