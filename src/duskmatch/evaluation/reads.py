"""Counts how often the test people of a data set were scored: a line in the user's state folder for each time."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from duskmatch.files import sync, user_folder

FILE = "test_reads.jsonl"
log = logging.getLogger("duskmatch")


def count_test_reads(fingerprint: str) -> int | None:
    """The number of times this user account scored these test people; None if the count cannot be read."""
    try:
        path = user_folder("state") / FILE
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    return sum(_fingerprint(line) == fingerprint for line in lines)


def note_test_read(fingerprint: str, name: str) -> int | None:
    """Adds one reading and returns the new count; None, with a warning, if it cannot be written."""
    try:
        folder = user_folder("state")
        folder.mkdir(parents=True, exist_ok=True)
        _append(folder / FILE, json.dumps({"fingerprint": fingerprint, "name": name}))
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        log.warning("readings of test people cannot be counted: %s: %s", _place(), reason)
        return None
    return count_test_reads(fingerprint)


def _append(path: Path, line: str) -> None:
    """Appends a line in one write; if a crash cut off the last line, a line break goes first."""
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
    except (ValueError, RecursionError):
        return None  # cut off by a crash, or damaged
    return record.get("fingerprint") if isinstance(record, dict) else None


def _place() -> str:
    try:
        return str(user_folder("state"))
    except RuntimeError:
        return "no home folder"
