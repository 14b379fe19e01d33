"""A count of how often a data set's test people were scored: one line each time, in the user's state folder."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from duskmatch.files import sync, user_folder

FILE = "test_reads.jsonl"
log = logging.getLogger("duskmatch")


def count_test_reads(fingerprint: str) -> int | None:
    """The number of times this data set's test people were read on this account; None where that cannot be known."""
    try:
        path = user_folder("state") / FILE
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    return sum(_fingerprint(line) == fingerprint for line in lines)


def note_test_read(fingerprint: str, name: str) -> int | None:
    """Notes one more reading and returns the count with it; None, and a warning, where it cannot be kept."""
    try:
        folder = user_folder("state")
        folder.mkdir(parents=True, exist_ok=True)
        _append(folder / FILE, json.dumps({"fingerprint": fingerprint, "name": name}))
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        log.warning("the times test people were read cannot be counted: %s: %s", _place(), reason)
        return None
    return count_test_reads(fingerprint)


def _append(path: Path, line: str) -> None:
    """One line, in one write; a last line that a crash cut off is closed first, so it cannot swallow this one."""
    cut_off = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, ("\n" * cut_off + line + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    sync(path.parent)


def _fingerprint(line: str) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # cut off by a crash
    return record.get("fingerprint") if isinstance(record, dict) else None


def _place() -> str:
    try:
        return str(user_folder("state"))
    except RuntimeError:
        return "no home folder"
