"""`duskmatch gallery delete` and `expire`: entries that go, with every byte of them."""

from __future__ import annotations

import argparse
import re

from duskmatch.cli.gallery import counted
from duskmatch.errors import SettingsError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of entries")
    parser.add_argument("--pid", type=int, metavar="N", help="all entries of this person")


def add_expire(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        required=True,
        metavar="AGE",
        help="age since an entry was last seen, or added if it has no time of day: number and s, m, h, d or w, as 30d",
    )


def run_delete(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    if not args.ids and args.pid is None:
        raise SettingsError("gallery delete takes ID ... or --pid N; got neither; name what to delete")
    with opened(args) as gallery:
        _say(args, gallery.delete(args.ids, pid=args.pid), len(gallery))


def run_expire(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    older_than_s = age(args.older_than)
    with opened(args) as gallery:
        _say(args, gallery.expire(older_than_s), len(gallery))


def age(text: str) -> float:
    """The seconds of `30d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip(), re.ASCII)
    if found is None:
        raise SettingsError(f"--older-than must be a number and one of s, m, h, d, w, like 30d; got {text!r}")
    return float(found[1]) * SECONDS[found[2]]


def _say(args: argparse.Namespace, n: int, left: int) -> None:
    from duskmatch.cli import console

    outcome = {"gallery": str(args.gallery), "deleted": n, "entries": left}
    console.result(
        outcome, lambda o: f"{counted(o['deleted'])} deleted and erased; {o['gallery']} holds {o['entries']}"
    )
