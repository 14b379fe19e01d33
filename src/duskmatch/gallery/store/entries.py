"""The record of one tracklet in a gallery, validated where it is made, and the digest that seals it."""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from dataclasses import dataclass
from typing import Literal, get_args

from duskmatch.errors import DataError
from duskmatch.records import MODALITIES, Modality

# What times count from: unix = seconds since 1970, UTC; video = seconds since a video began, comparable with nothing.
Clock = Literal["unix", "video"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)

LONGEST_ID = 512  # characters
LONGEST_TEXT = 4096
MOST_THUMBNAILS = 16
LARGEST_THUMBNAIL = 1 << 20  # bytes
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything a gallery keeps of one tracklet besides its vector.

    id: unique in its gallery. tracklet: its name within `source`, which says where its pictures lie; both may be empty.
    begin_s, end_s: by `clock`, None where unknown. pid -1: nobody knows who it is. thumbnails: encoded pictures.
    model: the fingerprint of the network that made the vector. added_s: when it was added, Unix seconds.

    Raises DataError where a value breaks its rule.
    """

    id: str
    camera: int
    modality: Modality
    tracklet: str = ""
    source: str = ""
    begin_s: float | None = None
    end_s: float | None = None
    clock: Clock = "unix"
    pid: int = -1
    note: str = ""
    thumbnails: tuple[bytes, ...] = ()
    model: str = ""
    added_s: float = 0.0

    def __post_init__(self) -> None:
        _check_text("id", self.id, LONGEST_ID)
        if not self.id:
            raise DataError("an entry's id must not be empty; leave it out to get a new one")
        for name in ("tracklet", "source", "note", "model"):
            _check_text(f"entry {self.id!r}: {name}", getattr(self, name), LONGEST_TEXT)
        for name in ("camera", "pid"):
            _check_number(f"entry {self.id!r}: {name}", getattr(self, name))
        if self.modality not in MODALITIES:
            raise DataError(f"entry {self.id!r}: modality must be visible or infrared; got {self.modality!r}")
        if self.clock not in CLOCKS:
            raise DataError(f"entry {self.id!r}: clock must be unix or video; got {self.clock!r}")
        self._check_times()
        self._check_thumbnails()

    def _check_times(self) -> None:
        for name in ("begin_s", "end_s", "added_s"):
            value = getattr(self, name)
            if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
                raise DataError(f"entry {self.id!r}: {name} must be seconds or None; got {value!r}")
        if self.begin_s is not None and self.end_s is not None and self.end_s < self.begin_s:
            raise DataError(f"entry {self.id!r}: end_s must not be before begin_s; got {self.begin_s} to {self.end_s}")

    def _check_thumbnails(self) -> None:
        if len(self.thumbnails) > MOST_THUMBNAILS:
            raise DataError(
                f"entry {self.id!r}: at most {MOST_THUMBNAILS} thumbnails; got {len(self.thumbnails)}; leave some out"
            )
        for picture in self.thumbnails:
            if not isinstance(picture, bytes) or not 0 < len(picture) <= LARGEST_THUMBNAIL:
                raise DataError(f"entry {self.id!r}: a thumbnail must be 1 byte to 1 MiB of an encoded picture")


def digest(entry: Entry, vector: bytes, added_s: float) -> bytes:
    """The checksum of everything that a gallery keeps of an entry, its vector and pictures too."""
    facts = (
        entry.id, entry.tracklet, entry.source, entry.camera, entry.modality, _float(entry.begin_s),
        _float(entry.end_s), entry.clock, entry.pid, entry.note, float(added_s),
    )  # fmt: skip
    found = hashlib.blake2b(json.dumps(facts).encode(), digest_size=DIGEST_BYTES)
    for part in (vector, *entry.thumbnails):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


def entry_id(namespace: str, tracklet: str, source: str) -> str:
    """The id of an entry: namespace/tracklet, else namespace/source, else a new UUID."""
    name = tracklet or source or new_uuid()
    return f"{namespace}/{name}" if namespace else name


def new_uuid() -> str:
    """A UUID that begins with the time: ids of one batch lie side by side in the index of ids (RFC 9562, version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    drawn = uuid.uuid4().int & ((1 << 62) - 1)
    head = uuid.uuid4().int & 0xFFF
    return str(uuid.UUID(int=(milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | head << 64 | 2 << 62 | drawn))


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _check_text(name: str, value: object, longest: int) -> None:
    """Refuses what is no text, too long, or holds characters that cannot be stored or that steer a terminal."""
    if not isinstance(value, str):
        raise DataError(f"{name} must be text; got {type(value).__name__}")
    if len(value) > longest:
        raise DataError(f"{name} must have at most {longest} characters; got {len(value)}")
    if value.isascii() and value.isprintable():
        return
    for c in value:
        if is_control(c):
            raise DataError(f"{name} must hold no control characters and no broken ones; got {c!r}; leave it out")


def is_control(c: str) -> bool:
    """True for a control character, and for half of a character, which cannot be stored."""
    return ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000


def _check_number(name: str, value: object) -> None:
    if type(value) is not int or not -1 <= value < 2**63:
        raise DataError(f"{name} must be a whole number, -1 (unknown) or more; got {value!r}")
