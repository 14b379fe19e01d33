"""Files that are whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from duskmatch.errors import OutputError


def write_whole(path: Path, write: Callable[[Path], None], *, make_folder: bool = True) -> None:
    """`path`, made by `write(temporary)`: synced before it takes the name, so a killed process leaves the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with suppress(OSError):  # where the folder itself is not there, the error above says so
            temporary.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    write_whole(path, lambda temporary: _write_and_close(temporary, data))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """JSON with two spaces and a last newline; NaN and infinity are refused, they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """A table that a spreadsheet opens without running it: text cells that begin like a formula get a leading quote."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: escape_cell(v) for k, v in row.items()})
    write_text(path, out.getvalue())


def escape_cell(value: Any) -> Any:
    """Text with a leading quote where a spreadsheet would take it for a formula; everything else as it is."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def sync(path: Path) -> None:
    """Puts a file or folder on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle for a folder; the rename itself is durable there
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder and those above it, where they are not there yet; OutputError where the disk refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(path, error) from error


def prepare_folder(path: Path, *, overwrite: bool = False) -> Path:
    """An empty folder at `path`; what lies there is refused, or removed where `overwrite` says so."""
    check_folder(path, overwrite=overwrite)
    try:
        if path.is_dir() and any(path.iterdir()):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(path, error) from error
    return path


def check_folder(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Refuses what `prepare_folder` would refuse, and a folder that holds one of the `inputs`; touches nothing."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path} must be a folder; a file or link has that name; choose another OUT")
        if not path.is_dir() or not any(path.iterdir()):
            return
    except OSError as error:
        raise refusal(path, error) from error
    if not overwrite:
        raise OutputError(f"{path} must be empty; it holds files; choose another OUT or pass --overwrite")
    place = path.resolve()
    for precious in _precious():  # a file system's root is a parent of them
        if precious.is_relative_to(place):
            raise OutputError(f"--overwrite must not remove {precious}; {path} is or holds it; choose another OUT")
    if place == Path(place.anchor) or os.path.ismount(place):
        raise OutputError(f"--overwrite must not remove a whole disk; {path} is the root of one; choose another OUT")
    for kept in inputs:
        if kept.expanduser().resolve().is_relative_to(place):
            raise OutputError(f"--overwrite must not remove what is read; {kept} lies in {path}; choose another OUT")


def check_file(path: Path) -> None:
    """Refuses a place where a file cannot be written, before the work whose result it is to hold."""
    if path.is_dir():
        raise OutputError(f"{path} must be a file's name; a folder has it; choose another")
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_close(probe, b"0")
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refusal(path: Path, error: OSError) -> OutputError:
    """The error for a place that cannot be written, in words."""
    reason = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EACCES: "no permission to write there; choose another place",
        errno.EROFS: "the disk is read-only; choose another place",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {reason}")


def _precious() -> list[Path]:
    """The current folder and the user's own, where there is one."""
    found = [Path.cwd().resolve()]
    with suppress(RuntimeError):
        found.append(Path.home().resolve())
    return found


def _write_and_close(path: Path, data: bytes) -> None:
    path.write_bytes(data)
