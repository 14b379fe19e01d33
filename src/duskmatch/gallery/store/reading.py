"""Reading one snapshot of a gallery's database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.gallery.store.connection import one
from duskmatch.gallery.store.entries import Entry
from duskmatch.records import Floats, Ints

if TYPE_CHECKING:
    import apsw

# row, vector, modality, camera, begin_s, end_s, clock, pid
AddedRow = tuple[int, bytes, str, int, float | None, float | None, str, int]
VECTOR = "SELECT row, vector, id FROM vectors JOIN entries USING (row)"
MANY = 64  # rows that are worth reading as one range
AT_ONCE = 8192  # entries read together
ENTRY = "row, id, tracklet, source, camera, modality, begin_s, end_s, clock, pid, note, added_s, n_thumbnails"


class State(NamedTuple):
    """The change sequence: it differs between two snapshots where an entry was added or deleted between them."""

    last_row: int
    last_deletion: int


class SharedFacts(NamedTuple):
    """Facts that all entries of a gallery share. model: None until the first are added, "" if it has no name."""

    width: int
    normalisation: str
    model: str | None
    created_s: float
    erasure_pending: bool


class Stored(NamedTuple):
    """An entry, its row, the bytes of its vector and the checksum it was stored with."""

    row: int
    entry: Entry
    vector: bytes
    checksum: bytes


class Snapshot:
    """Reads within one transaction: what others write meanwhile is not seen."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self.facts = read_facts(db)

    def state(self) -> State:
        counts = dict(self.db.execute("SELECT name, seq FROM sqlite_sequence"))
        return State(counts.get("entries", 0), counts.get("deletions", 0))

    def __len__(self) -> int:
        return self.number("SELECT count(*) FROM entries")

    def ids(self) -> list[str]:
        """Every id, in the order they were added."""
        return [id for (id,) in self.db.execute("SELECT id FROM entries ORDER BY row")]

    def rows(self, where: str = "", values: Sequence[Any] = ()) -> list[int]:
        """The rows that a condition of this package's own holds for, ascending."""
        return [row for (row,) in self.db.execute(f"SELECT row FROM entries {where} ORDER BY row", tuple(values))]

    def rows_of(self, ids: Iterable[str]) -> list[int]:
        """The row of each id, in their order; GalleryError where one is not there."""
        if not isinstance(ids, Iterable):
            raise GalleryError(f"ids must be a list of texts; got {ids!r}")
        ids = [ids] if isinstance(ids, str) else list(ids)
        found = [self._row_of(id) for id in ids]
        missing = [id for id, row in zip(ids, found, strict=True) if row is None]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise GalleryError(f"no entry has the id {missing[0]!r}{more}; list the ids with `duskmatch gallery list`")
        return [row for row in found if row is not None]

    def _row_of(self, id: str) -> int | None:
        """None also for what no entry can be called by: no text, or text with halves of characters."""
        if not isinstance(id, str) or any(0xD800 <= ord(c) < 0xE000 for c in id):
            return None
        cells = self.db.execute("SELECT row FROM entries WHERE id = ?", (id,)).fetchone()
        return None if cells is None else int(cells[0])

    def entries(self, rows: Iterable[int]) -> list[Entry]:
        """The entries of these rows, their pictures too, in their order."""
        model = self.facts.model or ""
        found = (one(self.db, f"SELECT {ENTRY} FROM entries WHERE row = ?", row) for row in rows)
        return [_entry(cells, self.thumbnails(cells[0]) if cells[12] else (), model) for cells in found]

    def thumbnails(self, row: int) -> tuple[bytes, ...]:
        cells = self.db.execute("SELECT picture FROM thumbnails WHERE row = ? ORDER BY place", (row,))
        return tuple(picture for (picture,) in cells)

    def vectors(self, rows: Ints) -> tuple[Floats, list[str]]:
        """The vectors (m d) of rows that are there, and their ids, in their order."""
        found = self._side_by_side(rows) or [one(self.db, f"{VECTOR} WHERE row = ?", row)[1:] for row in rows.tolist()]
        return as_array([vector for vector, _ in found], self.facts.width), [id for _, id in found]

    def _side_by_side(self, rows: Ints) -> list[tuple[Any, ...]] | None:
        """The vectors and ids of many rows that lie close together, read in one go; None of others."""
        if len(rows) < MANY or rows[-1] - rows[0] > 2 * len(rows) or (np.diff(rows) <= 0).any():
            return None
        cells = self.db.execute(f"{VECTOR} WHERE row BETWEEN ? AND ? ORDER BY row", (int(rows[0]), int(rows[-1])))
        wanted = set(rows.tolist())
        found = [rest for row, *rest in cells if row in wanted]
        return [tuple(rest) for rest in found] if len(found) == len(rows) else None

    def after(self, row: int) -> Iterator[list[AddedRow]]:
        """The entries above `row`, as an index holds them, some at a time."""
        cursor = self.db.execute(
            "SELECT row, vector, modality, camera, begin_s, end_s, clock, pid FROM entries JOIN vectors USING (row) "
            "WHERE row > ? ORDER BY row",
            (row,),
        )
        while some := list(islice(cursor, AT_ONCE)):
            yield some

    def deleted_after(self, sequence: int) -> list[int]:
        """The rows that were deleted after this place in the change sequence."""
        return [row for (row,) in self.db.execute("SELECT row FROM deletions WHERE sequence > ?", (sequence,))]

    def stored(self, row: int) -> Stored:
        """An entry as it lies there; DataError where a value breaks its rule."""
        query = f"SELECT {ENTRY}, checksum, vector FROM entries LEFT JOIN vectors USING (row) WHERE row = ?"
        cells = one(self.db, query, row)
        entry = _entry(cells, self.thumbnails(row), self.facts.model or "")
        return Stored(row, entry, cells[14] or b"", cells[13])

    def number(self, query: str) -> int:
        """The only number that a query of this package's own answers."""
        return int(one(self.db, query)[0])


def as_array(vectors: Sequence[bytes], width: int) -> Floats:
    """Stored vectors (m d); GalleryError where one has another width than the gallery's."""
    data = b"".join(vectors)
    if len(data) != 4 * width * len(vectors):
        raise GalleryError("the gallery is damaged: a vector has another width; run `duskmatch gallery verify`")
    return np.frombuffer(data, "<f4").reshape(len(vectors), width)


def read_facts(db: apsw.Connection) -> SharedFacts:
    """The facts that all entries share."""
    query = "SELECT width, normalisation, model, created_s, erasure_pending FROM gallery"
    width, normalisation, model, created_s, erasure_pending = one(db, query)
    return SharedFacts(width, normalisation, model, created_s, bool(erasure_pending))


def _entry(cells: Sequence[Any], thumbnails: tuple[bytes, ...], model: str) -> Entry:
    id, tracklet, source, camera, modality, begin_s, end_s, clock, pid, note, added_s = cells[1:12]
    return Entry(
        id, camera, modality, tracklet, source, begin_s, end_s, clock, pid, note, thumbnails, model, added_s
    )  # fmt: skip
