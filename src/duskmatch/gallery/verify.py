"""The check of a whole gallery: the database's own, and the checksum of each entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duskmatch.errors import DuskmatchError
from duskmatch.gallery.linking.people import read_reasons
from duskmatch.gallery.probability.calibrated import read
from duskmatch.gallery.store.connection import damaged
from duskmatch.gallery.store.entries import digest
from duskmatch.gallery.store.reading import Snapshot

if TYPE_CHECKING:
    import apsw

NO_ENTRY = "NOT IN (SELECT row FROM entries)"
# What would be found by nobody, and erased by nobody: in words, the table, the condition.
STRAYS = (
    ("pictures belong to no entry", "thumbnails", f"row {NO_ENTRY}"),
    ("links belong to no entry", "members", f"row {NO_ENTRY}"),
    ("links lead to no person", "members", "person NOT IN (SELECT person FROM people)"),
    ("people have no entry", "people", "person NOT IN (SELECT person FROM members)"),
    ("pairs of decisions belong to no entry", "decided", f"row {NO_ENTRY} OR other {NO_ENTRY}"),
    ("pairs belong to no decision", "decided", "number NOT IN (SELECT number FROM decisions)"),
    ("changes by decisions belong to no entry", "moved", f"row {NO_ENTRY}"),
    ("changes belong to no decision", "moved", "number NOT IN (SELECT number FROM decisions)"),
    ("names before belong to no decision", "renamed", "number NOT IN (SELECT number FROM decisions)"),
)
MOST_PROBLEMS = 100  # named; more are counted


@dataclass(frozen=True, slots=True)
class Verdict:
    """The number of entries that were read, and a sentence for each problem; none if the gallery is whole."""

    n_entries: int
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(snapshot: Snapshot) -> Verdict:
    """Reads everything; a page that cannot be read is a problem like any other."""
    problems, n_entries = [*_of_database(snapshot.db)], 0
    try:
        rows = snapshot.rows()
        n_entries = len(rows)
        problems += _of_counts(snapshot, n_entries)
        problems += _of_calibration(snapshot)
        problems += [problem for row in rows for problem in _of_entry(snapshot, row)]
    except damaged() as error:
        problems.append(f"the database: {error}")
    hidden = len(problems) - MOST_PROBLEMS
    return Verdict(n_entries, (*problems[:MOST_PROBLEMS], *([f"and {hidden} more"] if hidden > 0 else [])))


def _of_database(db: apsw.Connection) -> Iterator[str]:
    try:
        for (line,) in db.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"the database: {' '.join(str(line).split())}"
    except damaged() as error:
        yield f"the database: {error}"


def _of_counts(snapshot: Snapshot, n_entries: int) -> Iterator[str]:
    """Vectors and pictures without an entry would be found by nobody, and erased by nobody."""
    n_vectors = snapshot.number("SELECT count(*) FROM vectors")
    if n_vectors != n_entries:
        yield f"{n_entries} entries have {n_vectors} vectors"
    for what, table, condition in STRAYS:
        if strays := snapshot.number(f"SELECT count(*) FROM {table} WHERE {condition}"):
            yield f"{strays} {what}"
    if damaged_links := sum(not _is_readable(text) for (text,) in snapshot.db.execute("SELECT reasons FROM members")):
        yield f"{damaged_links} links have damaged reasons"


def _is_readable(reasons: object) -> bool:
    try:
        read_reasons(reasons)
    except DuskmatchError:
        return False
    return True


def _of_calibration(snapshot: Snapshot) -> Iterator[str]:
    try:
        read(snapshot)
    except DuskmatchError as error:
        yield str(error)


def _of_entry(snapshot: Snapshot, row: int) -> Iterator[str]:
    try:
        stored = snapshot.stored(row)
    except DuskmatchError as error:
        yield f"row {row}: {error}"
        return
    except damaged() as error:
        yield f"row {row}: {error}"
        return
    if digest(stored.entry, stored.vector, stored.entry.added_s) != stored.checksum:
        yield f"entry {stored.entry.id!r} (row {row}) is not what was stored: its checksum differs"
    elif len(stored.vector) != 4 * snapshot.facts.width:
        yield f"entry {stored.entry.id!r} (row {row}) has a vector of {len(stored.vector)} bytes"
