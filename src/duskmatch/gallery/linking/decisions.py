"""A person's decisions: two entries are the same person, or not; some are split off; a person has a name; undo.

Each is made inside a transaction that the store holds, moves entries at once and constrains every later run. One that
contradicts another is refused, with that one's number. `undo` takes the last one back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.gallery.linking import people
from duskmatch.gallery.linking.decided import Decided, Pair
from duskmatch.gallery.linking.linkage import merges, people_of
from duskmatch.gallery.linking.people import Member
from duskmatch.gallery.linking.seen import LogRatio, seen, simultaneous, totals
from duskmatch.gallery.store.entries import is_control
from duskmatch.gallery.store.forgetting import tidy
from duskmatch.gallery.store.reading import Snapshot

if TYPE_CHECKING:
    import apsw

Kind = Literal["same", "different", "split", "name"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that was made or undone, and the people whom it has changed, by number."""

    number: int
    kind: Kind
    people: tuple[int, ...]
    name: str = ""


def read_decided(db: apsw.Connection) -> Decided:
    """The pairs of all decisions that stand."""
    cells = db.execute("SELECT number, row, other, same FROM decided ORDER BY number, row, other")
    return Decided([Pair(number, a, b, bool(same)) for number, a, b, same in cells])


def same(db: apsw.Connection, a: str, b: str) -> Decision:
    """Two entries are one person: so are the people they belong to, under the lower number and the name of either."""
    decided, (one, other) = read_decided(db), _two(db, a, b)
    if why := decided.why_same(one, other):
        raise GalleryError(f"{a!r} and {b!r} are the same person already by {_numbers(why)}")
    if (pair := decided.why_different(decided.same_as(one), decided.same_as(other))) is not None:
        raise GalleryError(
            f"{a!r} and {b!r} cannot be the same person: decision {pair.number} says that {_ids(db, pair)} are not; "
            "undo it first"
        )
    homes = [people.person_of(db, row) for row in (one, other)]
    known = sorted({home for home in homes if home is not None})
    if len(known) == 2:
        _check_one(db, decided, known[0], known[1], decided.same_as(one) | decided.same_as(other))
    elif homes[0] != homes[1]:
        fresh = one if homes[0] is None else other
        _check_joins(db, decided, known[0], [fresh], decided.same_as(one) | decided.same_as(other))
    number = _record(db, "same", [(one, other, True)])
    home = known[0] if known else people.new_person(db)
    if len(known) == 2:
        name = people.name_of(db, known[0]) or people.name_of(db, known[1])
        _rename(db, number, known[1], "")
        _rename(db, number, home, name)
    gone = people.rows_of(db, known[1]) if len(known) == 2 else []
    _move(db, number, sorted({*gone, one, other}), home)
    return _done(db, number, "same", [home])


def different(db: apsw.Connection, a: str, b: str, ratio: Callable[[], LogRatio]) -> Decision:
    """Two entries are two people. A person with both falls apart, as little as it can; the largest part stays it."""
    decided, (one, other) = read_decided(db), _two(db, a, b)
    if why := decided.why_same(one, other):
        raise GalleryError(
            f"{a!r} and {b!r} cannot be different people: {_say(why)} that they are the same; undo first"
        )
    if (pair := decided.why_different([one], [other])) is not None:
        raise GalleryError(f"{a!r} and {b!r} are different people already by decision {pair.number}")
    home = people.person_of(db, one)
    together = home is not None and home == people.person_of(db, other)
    measure = ratio() if together else None
    number = _record(db, "different", [(one, other, False)])
    if home is None or measure is None:
        return _done(db, number, "different", [])
    parts = _parts(db, people.rows_of(db, home), read_decided(db), measure)
    return _done(db, number, "different", [home, *(_new(db, number, part) for part in parts[1:])])


def split(db: apsw.Connection, person: int | str, ids: Sequence[str]) -> Decision:
    """These entries of a person are a person apart: none of them is the same as any that stays."""
    home = people.number_of(db, person)
    rows = sorted(set(Snapshot(db).rows_of(ids)))
    members = people.rows_of(db, home)
    if not rows:
        raise GalleryError("split takes the ids of the entries that are somebody else; got none; name them")
    if strangers := [id for id, row in zip(_list(ids), Snapshot(db).rows_of(ids), strict=True) if row not in members]:
        raise GalleryError(f"{strangers[0]!r} is not of person {home}; `duskmatch gallery people` lists who is")
    stay = [row for row in members if row not in set(rows)]
    if not stay:
        raise GalleryError(f"every entry of person {home} would be split off; leave some out")
    decided = read_decided(db)
    for row in rows:
        for other in decided.same_as(row) & set(stay):
            raise GalleryError(
                f"{_id(db, row)!r} cannot be split off: {_say(decided.why_same(row, other))} that it is the "
                f"same person as {_id(db, other)!r}; undo first"
            )
    number = _record(db, "split", [(row, other, False) for row in rows for other in stay])
    return _done(db, number, "split", [home, _new(db, number, rows)])


def name(db: apsw.Connection, person: int | str, text: str) -> Decision:
    """A person is called so; nobody else may be."""
    home = people.number_of(db, person)
    check_name(text)
    taken = db.execute("SELECT person FROM people WHERE name = ?", (text,)).fetchone()
    if taken is not None:
        who = f"person {taken[0]} is called {text!r}" + (" already" if taken[0] == home else "")
        raise GalleryError(f"{who}; if both are one person, say so with `duskmatch gallery same`, else choose another")
    number = _record(db, "name", [], text)
    _rename(db, number, home, text)
    return _done(db, number, "name", [home], text)


def undo(db: apsw.Connection) -> Decision:
    """Takes the last decision back: names, and entries that are still where it put them, go back where they were.

    An entry that cannot be the same person as one that was linked with its old person since stays where it is.
    """
    cells: Any = db.execute("SELECT number, kind, name FROM decisions ORDER BY number DESC LIMIT 1").fetchone()
    if cells is None:
        raise GalleryError("no decision is left to undo")
    number, kind, text = cells
    if kind not in get_args(Kind):
        raise GalleryError(f"the gallery is damaged: decision {number} is of no known kind; restore a backup")
    moved: Any = db.execute(
        "SELECT row, person, reasons, into_person FROM moved WHERE number = ?", (number,)
    ).fetchall()
    names: Any = db.execute("SELECT person, name FROM renamed WHERE number = ?", (number,)).fetchall()
    for table in ("decided", "moved", "renamed", "decisions"):
        db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))
    decided, now = read_decided(db), people.members(db)
    back = [(row, person, reasons) for row, person, reasons, into in moved if now.get(row) == into]
    changed = {into for *_, into in moved} | {person for person, _ in names}
    for row, person, reasons in back:
        if person is None:
            db.execute("DELETE FROM members WHERE row = ?", (row,))
        elif not _barred(db, decided, [row], _stay(db, person, [r for r, *_ in back]), decided.same_as(row)):
            db.execute("INSERT OR IGNORE INTO people VALUES (?, '')", (person,))
            people.put(db, [Member(row, person, reasons)])
            changed.add(person)
    for person, before in names:
        db.execute("UPDATE people SET name = ? WHERE person = ?", (before, person))
    return _done(db, number, kind, sorted(changed), text)


def check_name(text: object) -> None:
    """Refuses what is no name: empty, too long, or with characters that steer a terminal or turn text around."""
    if not isinstance(text, str) or not text.strip():
        raise GalleryError(f"a person's name must be a text that is not empty; got {text!r}")
    if text.strip().removeprefix("-").isdecimal():
        raise GalleryError(f"a person's name must not be a number, which people have already; got {text!r}")
    if len(text) > people.LONGEST_NAME:
        raise GalleryError(f"a person's name must have at most {people.LONGEST_NAME} characters; got {len(text)}")
    for c in text:
        if is_control(c) or c in STEERING:
            raise GalleryError(f"a person's name must hold no control characters; got {c!r}; leave it out")


STEERING = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def _check_one(db: apsw.Connection, decided: Decided, a: int, b: int, one_by_word: set[int]) -> None:
    """Refuses to make two people one who have other names or entries that cannot be of one person."""
    names = [people.name_of(db, person) for person in (a, b)]
    if all(names):
        raise GalleryError(
            f"person {a} is called {names[0]!r} and person {b} {names[1]!r}; undo one of the names, or split the entry "
            "off first"
        )
    _check_joins(db, decided, a, people.rows_of(db, b), one_by_word)


def _check_joins(
    db: apsw.Connection, decided: Decided, person: int, rows: Sequence[int], one_by_word: set[int]
) -> None:
    if reason := _barred(db, decided, rows, people.rows_of(db, person), one_by_word):
        raise GalleryError(f"{reason}, and they would become one person; split one of them off first")


def _barred(
    db: apsw.Connection, decided: Decided, rows: Sequence[int], others: Sequence[int], one_by_word: set[int]
) -> str:
    """Why a row of the one cannot be the same person as one of the others; "" if nothing is known against it.

    Entries that a person calls one may have been seen at the same time.
    """
    if (pair := decided.why_different(rows, others)) is not None:
        return f"decision {pair.number} says that {_ids(db, pair)} are different people"
    mine, theirs = set(rows), set(others)
    entries = seen(Snapshot(db), sorted(mine | theirs))
    for i, later in simultaneous(entries):
        for j in later:
            a, b = int(entries.rows[i]), int(entries.rows[j])
            crosses = (a in mine and b in theirs) or (b in mine and a in theirs)
            if crosses and not {a, b} <= one_by_word:
                camera = int(entries.camera[i])
                return f"camera {camera} saw {_id(db, a)!r} and {_id(db, b)!r} at the same time"
    return ""


def _stay(db: apsw.Connection, person: int, back: Iterable[int]) -> list[int]:
    """The members of a person without those that only come back to it."""
    gone = set(back)
    return [row for row in people.rows_of(db, person) if row not in gone]


def _parts(db: apsw.Connection, rows: Sequence[int], decided: Decided, ratio: LogRatio) -> list[list[int]]:
    """A person's rows, linked until nothing may be linked any more; the largest part first, of equal ones the older."""
    entries = seen(Snapshot(db), rows)
    place = {row: i for i, row in enumerate(entries.rows.tolist())}
    groups = decided.groups(entries.rows.tolist())
    group = np.zeros(len(entries), np.int64)
    for g, its in enumerate(groups):
        group[[place[row] for row in its]] = g
    pairs = [(place[a], np.array([place[b]])) for a, b in decided.different() if a in place and b in place]
    total = totals(entries, group, len(groups), ratio, iter([*simultaneous(entries), *pairs]))
    found = [*merges(total, np.array([len(its) for its in groups]), -np.inf)]
    person = people_of(len(groups), found)
    parts: dict[int, list[int]] = {}
    for g, its in enumerate(groups):
        parts.setdefault(int(person[g]), []).extend(its)
    return sorted((sorted(part) for part in parts.values()), key=lambda part: (-len(part), part[0]))


def _record(db: apsw.Connection, kind: Kind, pairs: Iterable[tuple[int, int, bool]], text: str = "") -> int:
    db.execute("INSERT INTO decisions (kind, name, made_s) VALUES (?, ?, ?)", (kind, text, time.time()))
    number = int(db.last_insert_rowid())
    db.executemany("INSERT INTO decided VALUES (?, ?, ?, ?)", ((number, a, b, int(is_one)) for a, b, is_one in pairs))
    return number


def _rename(db: apsw.Connection, number: int, person: int, text: str) -> None:
    """Gives a person a name, and keeps the one before."""
    db.execute("INSERT INTO renamed VALUES (?, ?, ?)", (number, person, people.name_of(db, person)))
    db.execute("UPDATE people SET name = ? WHERE person = ?", (text, person))


def _new(db: apsw.Connection, number: int, rows: Sequence[int]) -> int:
    """A new person of these rows."""
    person = people.new_person(db)
    _move(db, number, rows, person)
    return person


def _move(db: apsw.Connection, number: int, rows: Sequence[int], person: int) -> None:
    """Puts rows into a person because of a decision, and keeps where they were and why."""
    for row in rows:
        cells = db.execute("SELECT person, reasons FROM members WHERE row = ?", (row,)).fetchone()
        before, reasons = cells or (None, "{}")
        db.execute("INSERT INTO moved VALUES (?, ?, ?, ?, ?)", (number, row, before, reasons, person))
        kept = people.read_reasons(reasons) if before == person else {}
        people.put(db, [Member(row, person, json.dumps({**kept, "decision": number}))])


def _done(db: apsw.Connection, number: int, kind: Kind, whom: Iterable[int], text: str = "") -> Decision:
    people.changed(db)
    tidy(db)
    return Decision(number, kind, tuple(whom), text)


def _two(db: apsw.Connection, a: str, b: str) -> tuple[int, int]:
    one, other = Snapshot(db).rows_of([a, b])
    if one == other:
        raise GalleryError(f"a decision needs two entries; got {a!r} twice; name another")
    return one, other


def _list(ids: str | Sequence[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def _numbers(numbers: Sequence[int]) -> str:
    return f"decision{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _say(numbers: Sequence[int]) -> str:
    return f"{_numbers(numbers)} {'say' if len(numbers) > 1 else 'says'}"


def _id(db: apsw.Connection, row: int) -> str:
    return str(db.execute("SELECT id FROM entries WHERE row = ?", (row,)).get)


def _ids(db: apsw.Connection, pair: Pair) -> str:
    return f"{_id(db, pair.a)!r} and {_id(db, pair.b)!r}"
