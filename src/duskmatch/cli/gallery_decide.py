"""`duskmatch gallery same`, `different`, `split`, `name` and `undo`: a person's decisions, which every link obeys."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.gallery.linking.decisions import Decision

WORDS = {
    "same": "the two entries are the same person",
    "different": "the two entries are different people",
    "split": "the entries are somebody else",
    "name": "the person is called {name}",
}


def add_same(parser: argparse.ArgumentParser) -> None:
    _two(parser)


def add_different(parser: argparse.ArgumentParser) -> None:
    _two(parser)


def add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", metavar="PERSON", help="number or name of the person")
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids of the entries that are somebody else")


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", metavar="PERSON", help="number or name of the person")
    parser.add_argument("name", metavar="NAME", help="name to give; nobody else in the gallery may have it")


def add_undo(parser: argparse.ArgumentParser) -> None:
    del parser  # no flags of its own


def run_same(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        _say(args, gallery.same(args.a, args.b))


def run_different(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        _say(args, gallery.different(args.a, args.b))


def run_split(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        _say(args, gallery.split(number_or_name(args.person), args.ids))


def run_name(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        _say(args, gallery.name(number_or_name(args.person), args.name))


def run_undo(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        _say(args, gallery.undo(), undone=True)


MOST_DIGITS = 20  # no person's number has as many


def number_or_name(text: str) -> int | str:
    """A person as people write it: names are never numbers."""
    return int(text) if len(text) < MOST_DIGITS and text.isascii() and text.removeprefix("-").isdigit() else text


def _two(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="ID", help="id of an entry")
    parser.add_argument("b", metavar="ID2", help="id of another entry")


def _say(args: argparse.Namespace, made: Decision, *, undone: bool = False) -> None:
    from duskmatch.cli import console

    outcome = {
        "gallery": str(args.gallery),
        "decision": made.number,
        "kind": made.kind,
        "name": made.name or None,
        "people": list(made.people),
        "undone": undone,
    }
    console.result(outcome, _words)


def _words(outcome: dict[str, Any]) -> str:
    what = WORDS[outcome["kind"]].format(name=outcome["name"])
    whom = f"; people: {', '.join(map(str, outcome['people']))}" if outcome["people"] else ""
    return f"decision {outcome['decision']}{' is undone' if outcome['undone'] else ''}: {what}{whom}"
