"""People that entries are linked to, as they lie in the gallery: numbers, names, members with reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from duskmatch.errors import GalleryError, first_fault
from duskmatch.gallery.store.forgetting import AMONG
from duskmatch.gallery.store.reading import Snapshot

if TYPE_CHECKING:
    import apsw

LONGEST_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class Link:
    """The reasons why an entry is with the others of its person, as they were when it was linked.

    log_odds: that it is the same person as the others, the mean over its pairs with them; strongest, weakest: the id
    and log-odds of the nearest and of the furthest of them, "" for one that was deleted since; None where the entry was
    alone, or nothing but a decision linked it. cameras: of the person. decision: the number of one that says so.
    """

    log_odds: float | None = None
    strongest: tuple[str, float] | None = None
    weakest: tuple[str, float] | None = None
    cameras: tuple[int, ...] = ()
    decision: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Entries that are linked, in the order they were added, and the reasons of each. name: "" if nobody gave one."""

    number: int
    name: str
    ids: tuple[str, ...]
    links: tuple[Link, ...]


class Member(NamedTuple):
    """Where an entry belongs, and the reasons as JSON."""

    row: int
    person: int
    reasons: str = "{}"


def members(db: apsw.Connection) -> dict[int, int]:
    """Row -> person, of all entries that are linked, by row; one whose person is gone is not."""
    query = "SELECT row, person FROM members WHERE person IN (SELECT person FROM people) ORDER BY row"
    return dict(db.execute(query))


def names(db: apsw.Connection) -> dict[int, str]:
    """Person -> name, of those who have one."""
    return dict(db.execute("SELECT person, name FROM people WHERE name != '' ORDER BY person"))


def name_of(db: apsw.Connection, person: int) -> str:
    return str(db.execute("SELECT name FROM people WHERE person = ?", (person,)).get or "")


def person_of(db: apsw.Connection, row: int) -> int | None:
    cells = db.execute("SELECT person FROM members WHERE row = ?", (row,)).fetchone()
    return None if cells is None else int(cells[0])


def rows_of(db: apsw.Connection, person: int) -> list[int]:
    return [row for (row,) in db.execute("SELECT row FROM members WHERE person = ? ORDER BY row", (person,))]


def linked(snapshot: Snapshot, rows: Sequence[int]) -> list[tuple[int, str] | None]:
    """The person of each row, and the name; None where it is not linked."""
    query = (
        "SELECT members.row, members.person, people.name FROM members JOIN people USING (person) "
        f"WHERE members.row IN {AMONG}"
    )
    found = {row: (person, name) for row, person, name in snapshot.db.execute(query, (json.dumps(list(rows)),))}
    return [found.get(row) for row in rows]


def in_json(to: tuple[int, str] | None) -> dict[str, Any]:
    """The person that an entry is linked to: a number and a name, None where there is none."""
    return {"person": None, "name": None} if to is None else {"person": to[0], "name": to[1] or None}


def people(snapshot: Snapshot, wanted: int | str | None = None) -> list[Person]:
    """All people by number, or the one with this number or name."""
    number = None if wanted is None else number_of(snapshot.db, wanted)
    where, values = ("", ()) if number is None else ("WHERE members.person = ?", (number,))
    query = (
        "SELECT members.person, people.name, entries.id, members.reasons FROM members "
        f"JOIN people USING (person) JOIN entries USING (row) {where} ORDER BY members.person, members.row"
    )
    lines: list[Any] = snapshot.db.execute(query, values).fetchall()
    reasons = [read_reasons(text) for *_, text in lines]
    ids = _ids(snapshot, reasons)
    found: dict[int, tuple[str, list[str], list[Link]]] = {}
    for (person, name, id, _), reason in zip(lines, reasons, strict=True):
        _, its_ids, its_links = found.setdefault(person, (name, [], []))
        its_ids.append(id)
        its_links.append(_link(reason, ids))
    return [Person(n, name, tuple(its), tuple(links)) for n, (name, its, links) in found.items()]


def number_of(db: apsw.Connection, wanted: int | str) -> int:
    """The number of a person that is there, by number or name; GalleryError where there is none."""
    column = "name" if isinstance(wanted, str) else "person"
    cells = db.execute(f"SELECT person FROM people WHERE {column} = ?", (_storable(wanted),)).fetchone()
    if cells is None:
        what = f"is called {wanted!r}" if isinstance(wanted, str) else f"has the number {wanted!r}"
        raise GalleryError(f"no person {what}; list the people with `duskmatch gallery people`")
    return int(cells[0])


def _storable(wanted: object) -> int | str | None:
    """None for what nobody can be: text with halves of characters, too large numbers, other types."""
    if isinstance(wanted, str):
        return None if any(0xD800 <= ord(c) < 0xE000 for c in wanted) else wanted
    return wanted if type(wanted) is int and -(2**63) <= wanted < 2**63 else None


def new_person(db: apsw.Connection, name: str = "") -> int:
    """The number of a new person, which no person had before."""
    db.execute("INSERT INTO people (name) VALUES (?)", (name,))
    return int(db.last_insert_rowid())


def put(db: apsw.Connection, given: Iterable[Member]) -> None:
    db.executemany("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", given)


def changes(db: apsw.Connection) -> int:
    """A number that rises with each change of who is linked."""
    return int(db.execute("SELECT changes FROM linking").get or 0)


def changed(db: apsw.Connection) -> None:
    """Says that who is linked has changed, by a run or by a decision."""
    db.execute("INSERT INTO linking VALUES (1, 1) ON CONFLICT (only) DO UPDATE SET changes = changes + 1")


def read_reasons(text: object) -> dict[str, Any]:
    """The reasons of a link, as they were stored; GalleryError where they are damaged."""
    try:
        found = _Reasons.model_validate_json(str(text))
    except ValueError as error:
        raise GalleryError(
            f"the gallery is damaged: reasons of a link: {first_fault(error)}; link again with --again"
        ) from error
    if found.log_odds is not None and (found.strongest is None or found.weakest is None):
        raise GalleryError("the gallery is damaged: reasons of a link lack its pairs; link again with --again")
    return found.model_dump(exclude_unset=True)


class _Reasons(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    cameras: list[int] = []
    log_odds: float | None = None
    strongest: tuple[int, float] | None = None
    weakest: tuple[int, float] | None = None
    decision: int | None = None


def _ids(snapshot: Snapshot, reasons: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """The ids of the rows that reasons name, of those that are still there."""
    rows = sorted({reason[key][0] for reason in reasons for key in ("strongest", "weakest") if reason.get(key)})
    return dict(snapshot.db.execute(f"SELECT row, id FROM entries WHERE row IN {AMONG}", (json.dumps(rows),)))


def _link(reason: Mapping[str, Any], ids: Mapping[int, str]) -> Link:
    def pair(key: str) -> tuple[str, float] | None:
        return (ids.get(of[0], ""), float(of[1])) if (of := reason.get(key)) else None

    cameras = tuple(reason.get("cameras", ()))
    return Link(reason.get("log_odds"), pair("strongest"), pair("weakest"), cameras, reason.get("decision"))
