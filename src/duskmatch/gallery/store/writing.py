"""Adding and deleting rows, inside a transaction that the store holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from duskmatch.errors import DataError, GalleryError
from duskmatch.gallery.store import erasure
from duskmatch.gallery.store.entries import Entry, digest
from duskmatch.gallery.store.forgetting import forget
from duskmatch.gallery.store.model import check_model
from duskmatch.gallery.store.reading import read_facts
from duskmatch.records import Floats

if TYPE_CHECKING:
    import apsw

OnDuplicate = Literal["refuse", "skip", "replace"]
ON_DUPLICATE: tuple[OnDuplicate, ...] = get_args(OnDuplicate)

INSERT_ENTRY = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries with their vectors (n d), in one order, all of one model and normalisation."""

    entries: Sequence[Entry]
    vectors: Floats
    model: str = ""

    def __post_init__(self) -> None:
        if len(self.entries) != len(self.vectors):
            raise DataError(f"a batch must have one vector an entry; got {len(self.vectors)} for {len(self.entries)}")


class Fresh(NamedTuple):
    """An entry that is to be stored, and the time of it."""

    entry: Entry
    vector: bytes
    added_s: float
    checksum: bytes


@dataclass
class Outcome:
    """The ids of a batch in its order, and the number of entries that were replaced."""

    ids: list[str] = field(default_factory=list)
    replaced: int = 0


def insert(db: apsw.Connection, batch: Batch, on_duplicate: OnDuplicate) -> Outcome:
    """Stores a batch: of ids that are there, those with the same bytes are skipped, others refused or replaced."""
    if on_duplicate not in ON_DUPLICATE:
        raise GalleryError(f"on_duplicate must be {', '.join(ON_DUPLICATE)}; got {on_duplicate!r}")
    _check_model(db, batch)
    now, fresh, gone = time.time(), dict[str, Fresh](), list[int]()
    for entry, vector in zip(batch.entries, batch.vectors.astype("<f4", copy=False), strict=True):
        new = _sealed(entry, vector.tobytes(), now)
        if (twin := fresh.get(entry.id)) is not None:
            if twin.checksum != new.checksum:
                raise GalleryError(f"two entries of one batch have the id {entry.id!r}; pass a namespace or rename one")
        elif (there := _there(db, entry.id)) is None:
            fresh[entry.id] = new
        elif not _same(there, new) and on_duplicate != "skip":
            if on_duplicate == "refuse":
                raise GalleryError(
                    f"the gallery holds another entry with the id {entry.id!r}; pass a namespace (the camera or the "
                    "video), or on_duplicate skip or replace"
                )
            gone.append(there.row)
            fresh[entry.id] = new
    delete_rows(db, gone)
    _store(db, list(fresh.values()))
    return Outcome([entry.id for entry in batch.entries], len(gone))


def delete_rows(db: apsw.Connection, rows: Iterable[int]) -> None:
    """Deletes rows that are there, says so in the change sequence, and marks their erasure as pending.

    Memberships, decisions and names that are left of nobody then go with them.
    """
    if not (keys := [(row,) for row in rows]):
        return
    for table in ("entries", "vectors", "thumbnails"):
        db.executemany(f"DELETE FROM {table} WHERE row = ?", keys)
    forget(db, [row for (row,) in keys])
    db.executemany("INSERT INTO deletions (row) VALUES (?)", keys)
    erasure.mark(db)


class _There(NamedTuple):
    row: int
    added_s: float
    checksum: bytes


def _there(db: apsw.Connection, id: str) -> _There | None:
    cells = db.execute("SELECT row, added_s, checksum FROM entries WHERE id = ?", (id,)).fetchone()
    return None if cells is None else _There(*cells)


def _same(there: _There, new: Fresh) -> bool:
    """True if the stored entry and the new one differ at most in the time at which they were added."""
    return digest(new.entry, new.vector, there.added_s) == there.checksum


def _sealed(entry: Entry, vector: bytes, added_s: float) -> Fresh:
    return Fresh(entry, vector, added_s, digest(entry, vector, added_s))


def _check_model(db: apsw.Connection, batch: Batch) -> None:
    """Takes the first batch's model for the gallery's, and refuses entries of another."""
    model = read_facts(db).model
    if model is None:
        db.execute("UPDATE gallery SET model = ?", (batch.model,))
    check_model(batch.model, model, "entries")


def _store(db: apsw.Connection, fresh: Sequence[Fresh]) -> None:
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").get or 0
    numbered = list(enumerate(fresh, start=last + 1))
    db.executemany(INSERT_ENTRY, (_cells(row, new) for row, new in numbered))
    db.executemany("INSERT INTO vectors VALUES (?, ?)", ((row, new.vector) for row, new in numbered))
    pictures = ((row, place, picture) for row, new in numbered for place, picture in enumerate(new.entry.thumbnails))
    db.executemany("INSERT INTO thumbnails VALUES (?, ?, ?)", pictures)


def _cells(row: int, new: Fresh) -> tuple[object, ...]:
    e = new.entry
    return (
        row, e.id, e.tracklet, e.source, e.camera, e.modality, e.begin_s, e.end_s, e.clock, e.pid, e.note, new.added_s,
        len(e.thumbnails), new.checksum,
    )  # fmt: skip
