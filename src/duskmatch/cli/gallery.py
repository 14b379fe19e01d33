"""`duskmatch gallery WHAT`: one module for a few of them each, loaded when it is called."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.gallery import Gallery

# What -> what it does, and the module that has add_WHAT(parser) and run_WHAT(args).
ACTIONS = {
    "create": ("create an empty gallery", "gallery_create"),
    "add": ("add tracklets, or vectors made by any program", "gallery_add"),
    "search": ("find the entries that are nearest to each query", "gallery_search"),
    "calibrate": ("learn from labelled people what a similarity says", "gallery_calibrate"),
    "show": ("show everything about one entry", "gallery_show"),
    "list": ("list the entries, in the order they were added", "gallery_show"),
    "stats": ("show counts, times and size", "gallery_show"),
    "link": ("link entries to people, across cameras, day and night", "gallery_link"),
    "people": ("show the people that entries are linked to, and why", "gallery_link"),
    "same": ("decide that two entries are the same person", "gallery_decide"),
    "different": ("decide that two entries are different people", "gallery_decide"),
    "split": ("decide that entries of a person are somebody else", "gallery_decide"),
    "name": ("give a person a name", "gallery_decide"),
    "undo": ("take the last decision back", "gallery_decide"),
    "delete": ("delete entries so that no byte of them is left", "gallery_delete"),
    "expire": ("delete entries that were last seen too long ago", "gallery_delete"),
    "verify": ("check every entry and the database", "gallery_keep"),
    "backup": ("write a gallery into one file", "gallery_keep"),
    "restore": ("create a gallery from a backup", "gallery_keep"),
    "copy": ("create another gallery of the same entries", "gallery_keep"),
    "export": ("write everything about one person as files", "gallery_keep"),
    "reembed": ("create a gallery with the vectors of another model", "gallery_create"),
}
EXAMPLES = {
    "create": "duskmatch gallery create people --run run",
    "add": "duskmatch gallery add people night --run run --namespace night",
    "search": "duskmatch gallery search people --query day --run run --modality infrared --top 10 --out found",
    "calibrate": "duskmatch gallery calibrate people --data others --run run",
    "show": "duskmatch gallery show people night/0001",
    "list": "duskmatch gallery list people --pid 7",
    "stats": "duskmatch gallery stats people",
    "link": "duskmatch gallery link people",
    "people": "duskmatch gallery people people 3 --lanes lanes.png",
    "same": "duskmatch gallery same people night/0001 day/0007",
    "different": "duskmatch gallery different people night/0001 day/0008",
    "split": "duskmatch gallery split people 3 day/0008 day/0009",
    "name": "duskmatch gallery name people 3 Alice",
    "undo": "duskmatch gallery undo people",
    "delete": "duskmatch gallery delete people night/0001 night/0002",
    "expire": "duskmatch gallery expire people --older-than 30d",
    "verify": "duskmatch gallery verify people",
    "backup": "duskmatch gallery backup people people.backup",
    "restore": "duskmatch gallery restore people people.backup",
    "copy": "duskmatch gallery copy people others",
    "export": "duskmatch gallery export people --pid 7 --out person7",
    "reembed": "duskmatch gallery reembed people --run newer --out people2",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli import Parser, add_command, common_arguments

    common = common_arguments(argument_default=argparse.SUPPRESS)
    for action in common._actions:  # left out here, a common flag keeps what stands before WHAT, or its default
        action.default = argparse.SUPPRESS
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=Parser)
    for name, (summary, _) in ACTIONS.items():
        sub = add_command(kinds, name, summary, EXAMPLES[name], common)
        sub.add_argument("gallery", type=Path, metavar="G", help="folder of the gallery")
        getattr(_module(name), f"add_{name}")(sub)


def run(args: argparse.Namespace) -> None:
    getattr(_module(args.what), f"run_{args.what}")(args)


def opened(args: argparse.Namespace) -> Gallery:
    """The gallery that G names."""
    from duskmatch.gallery import Gallery

    return Gallery.open(args.gallery)


def linked_in_words(row: dict[str, Any]) -> str:
    """`linked to 3 (Alice)`; "" where an entry is not linked."""
    if row["person"] is None:
        return ""
    called = f" ({row['name']})" if row["name"] else ""
    return f"linked to {row['person']}{called}"


def when(seconds: float | None, clock: str) -> str:
    """A time as people read it: a day and an hour in UTC, or seconds of a video."""
    from datetime import UTC, datetime

    if seconds is None:
        return "?"
    if clock == "video":
        return f"{seconds:.2f} s of its video"
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # beyond the years that a calendar has
        return f"{seconds:.0f} s"


def counted(n: int, one: str = "entry", many: str = "entries") -> str:
    """1 entry, 2 entries."""
    return f"{n} {one if n == 1 else many}"


def _module(name: str) -> Any:
    return importlib.import_module(f"duskmatch.cli.{ACTIONS[name][1]}")
