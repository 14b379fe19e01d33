"""`duskmatch gallery verify`, `backup`, `restore`, `copy` and `export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from duskmatch.cli.gallery import counted
from duskmatch.errors import GalleryError


def add_verify(parser: argparse.ArgumentParser) -> None:
    del parser  # no flags of its own


def add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write, best on another disk")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file that `duskmatch gallery backup` wrote")


def add_copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, metavar="G2", help="folder of the new gallery; must not exist")


def add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pid", type=int, required=True, metavar="N", help="pid of the person")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; must be new or empty")


def run_verify(args: argparse.Namespace) -> None:
    """Prints what is wrong; exit status 2 where something is."""
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        verdict = gallery.verify()
    outcome = {
        "gallery": str(args.gallery),
        "entries": verdict.n_entries,
        "whole": verdict.whole,
        "problems": list(verdict.problems),
    }
    console.result(outcome, _verdict)
    if not verdict.whole:
        raise GalleryError(f"{args.gallery} is damaged: {len(verdict.problems)} problems; restore a backup")


def run_backup(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        gallery.backup(args.file, overwrite=args.overwrite)
        _say({"gallery": str(args.gallery), "file": str(args.file), "bytes": args.file.stat().st_size}, "file")


def run_restore(args: argparse.Namespace) -> None:
    from duskmatch.gallery import Gallery

    with Gallery.restore(args.gallery, args.file) as gallery:
        _say({"file": str(args.file), "gallery": str(args.gallery), "entries": len(gallery)}, "gallery")


def run_copy(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery, gallery.copy(args.target) as other:
        _say({"gallery": str(args.gallery), "copy": str(args.target), "entries": len(other)}, "copy")


def run_export(args: argparse.Namespace) -> None:
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        n = gallery.export_person(args.pid, args.out)
    _say({"gallery": str(args.gallery), "pid": args.pid, "out": str(args.out), "entries": n}, "out")


def _say(outcome: dict[str, Any], made: str) -> None:
    from duskmatch.cli import console

    amount = counted(outcome["entries"]) if "entries" in outcome else f"{outcome['bytes'] / 2**20:.1f} MiB"
    console.result(outcome, lambda o: f"written: {o[made]} ({amount})")


def _verdict(outcome: dict[str, Any]) -> str:
    state = "whole" if outcome["whole"] else "damaged"
    return "\n".join([f"{outcome['gallery']}: {counted(outcome['entries'])}, {state}", *outcome["problems"]])
