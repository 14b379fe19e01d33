"""An experiment's files: NAME.json, NAME.md and NAME.png; the JSON is written last, so where it is all are whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duskmatch.errors import OutputError
from duskmatch.files import check_file, sync, write_json, write_text
from duskmatch.pictures.dots import DotChart, save_dots


def check_place(out: Path, name: str, *, overwrite: bool) -> None:
    """Refuses, before the work, a folder that cannot hold the files or holds them already."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} must be a folder; a file has that name; choose another --out")
    for place in places(out, name):
        if place.exists() and not overwrite:
            raise OutputError(f"{place} must not exist; it does; choose another --out or pass --overwrite")
        check_file(place)


def write_results(out: Path, name: str, document: Mapping[str, Any], table: str, charts: list[DotChart]) -> None:
    """The three files. An older JSON goes first: it never stands beside another command's table or picture."""
    document_file, table_file, picture_file = places(out, name)
    if document_file.exists():
        document_file.unlink()
        sync(out)
    save_dots(charts, picture_file)
    write_text(table_file, table)
    write_json(document_file, document)


def places(out: Path, name: str) -> tuple[Path, Path, Path]:
    return out / f"{name}.json", out / f"{name}.md", out / f"{name}.png"
