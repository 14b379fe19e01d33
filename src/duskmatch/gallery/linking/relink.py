"""A run of linking: from a snapshot of the gallery to people, written in one transaction.

New entries join people or found new ones; who is linked already stays, and two people who stand are never linked. A run
`again` links all entries anew under all decisions, and people keep their numbers and names by most of their members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.gallery.linking import people
from duskmatch.gallery.linking.decided import Decided
from duskmatch.gallery.linking.decisions import read_decided
from duskmatch.gallery.linking.linkage import MARGIN, Grouping, check, link
from duskmatch.gallery.linking.numbering import kept_numbers
from duskmatch.gallery.linking.reasons import reasoned
from duskmatch.gallery.linking.seen import Barred, LogRatio, Seen, seen, simultaneous, totals
from duskmatch.gallery.store.forgetting import tidy
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import Ints

if TYPE_CHECKING:
    import apsw

MOST_GROUPS = 20_000  # 3.2 GB: people who stand and new entries are compared all with all
Rows = list[int]


@dataclass(frozen=True, slots=True)
class LinkRun:
    """What a run did. new_entries: those that it placed; new_people: those that it founded.

    log_prior_odds, margin: each link's mean log-likelihood ratio and these odds reach the margin. highest_log_odds: of
    the nearest two groups at the beginning; None where no two may be linked.
    """

    entries: int
    people: int
    new_entries: int
    new_people: int
    log_prior_odds: float
    margin: float
    highest_log_odds: float | None
    again: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A person after the run: its number, None of a new one, all its rows, and those that the run placed."""

    number: int | None
    rows: Rows
    new: Rows


@dataclass(frozen=True, slots=True)
class Known:
    """What a run reads, in one moment. changes: the state of who is linked, which must not have changed at its end."""

    entries: Seen
    decided: Decided
    ratio: LogRatio
    members: dict[int, int]
    names: dict[int, str]
    changes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will write."""

    placed: list[Placed]
    known: Known
    run: LinkRun


def read(snapshot: Snapshot, ratio: LogRatio) -> Known:
    db = snapshot.db
    members, names, changes = people.members(db), people.names(db), people.changes(db)
    return Known(seen(snapshot), read_decided(db), ratio, members, names, changes)


def plan(known: Known, *, again: bool, prior: float | None, margin: float | None) -> Plan:
    """What a run would do."""
    margin = MARGIN if margin is None else margin
    check(margin, prior)
    entries, decided, before, names = known.entries, known.decided, known.members, known.names
    groups = _groups(entries, decided, {} if again else before)
    _check_number(len(groups))
    group = _group_of(entries, groups)
    barred = chain(
        simultaneous(entries),
        _apart_by_decision(entries, decided),
        _named_apart(entries, before, names) if again else _standing_apart(entries, before),
    )
    total = totals(entries, group, len(groups), known.ratio, barred)
    sizes = np.array([len(rows) for rows in groups], np.int64)
    grouping = link(total, sizes, margin=margin, prior=prior)
    placed = _placed(entries, group, grouping, before, names, again)
    run = LinkRun(
        entries=len(entries),
        people=len(placed),
        new_entries=sum(len(one.new) for one in placed),
        new_people=sum(one.number is None for one in placed),
        log_prior_odds=grouping.log_prior_odds,
        margin=margin,
        highest_log_odds=grouping.highest + grouping.log_prior_odds if grouping.highest > -np.inf else None,
        again=again,
    )
    return Plan(placed, known, run)


def write(db: apsw.Connection, made: Plan) -> bool:
    """Writes what was planned, inside a transaction; False, with nothing written, if others changed who is linked."""
    known, run = made.known, made.run
    if people.changes(db) != known.changes:
        return False
    there = {row for (row,) in db.execute("SELECT row FROM entries")}
    if run.again:
        db.execute("DELETE FROM members")
    for one in made.placed:
        if new := [row for row in one.new if row in there]:  # some may have been deleted meanwhile
            rows = [row for row in one.rows if row in there]
            number = people.new_person(db) if one.number is None else one.number
            odds = run.log_prior_odds
            people.put(db, reasoned(known.entries, number, rows, new, known.decided, known.ratio, odds))
    people.changed(db)
    tidy(db)
    return True


def _groups(entries: Seen, decided: Decided, standing: dict[int, int]) -> list[Rows]:
    """Rows that begin together, by their first: people who stand, and entries that are the same by decision."""
    of_person: dict[int, Rows] = {}
    for row, person in standing.items():
        of_person.setdefault(person, []).append(row)
    left, found = dict.fromkeys(entries.rows.tolist()), []
    for first in entries.rows.tolist():
        if first not in left:
            continue
        together, fresh = {first}, {first}
        while fresh:  # a person's rows, what is the same as one of them, the people of these, ...
            near = set[int]().union(*(decided.same_as(row) for row in fresh))
            near |= {other for row in near if row in standing for other in of_person[standing[row]]}
            fresh = near - together
            together |= near
        found.append(sorted(together & left.keys()))
        for row in found[-1]:
            del left[row]
    return found


def _group_of(entries: Seen, groups: Sequence[Rows]) -> Ints:
    """The number of each entry's group."""
    number = {row: g for g, rows in enumerate(groups) for row in rows}
    return np.array([number[row] for row in entries.rows.tolist()], np.int64)


def _apart_by_decision(entries: Seen, decided: Decided) -> Barred:
    """Pairs that a person called different."""
    place = {row: i for i, row in enumerate(entries.rows.tolist())}
    for a, b in decided.different():
        if a in place and b in place:
            yield place[a], np.array([place[b]])


def _named_apart(entries: Seen, before: dict[int, int], names: dict[int, str]) -> Barred:
    """Members of people with different names: nobody has two."""
    person = np.array([before.get(row, -1) for row in entries.rows.tolist()], np.int64)
    person[~np.isin(person, list(names))] = -1
    for i in np.flatnonzero(person >= 0):
        others = np.flatnonzero((person >= 0) & (person != person[i]))
        if len(others):
            yield int(i), others


def _standing_apart(entries: Seen, before: dict[int, int]) -> Barred:
    """People who stand: one entry of each stands for all."""
    rows, seen_people = entries.rows.tolist(), set[int]()
    firsts = [i for i, row in enumerate(rows) if row in before and not _met(before[row], seen_people)]
    for n, i in enumerate(firsts):
        if firsts[n + 1 :]:
            yield i, np.array(firsts[n + 1 :])


def _met(person: int, seen_people: set[int]) -> bool:
    """Whether a person was met before; from now on it was."""
    met = person in seen_people
    seen_people.add(person)
    return met


def _placed(
    entries: Seen, group: Ints, grouping: Grouping, before: dict[int, int], names: dict[int, str], again: bool
) -> list[Placed]:
    rows, person = entries.rows.tolist(), grouping.person[group] if len(group) else group
    numbers = kept_numbers(person.tolist(), [before.get(row) for row in rows], names)
    its_rows: list[Rows] = [[] for _ in range(grouping.n_people)]
    for row, one in zip(rows, person.tolist(), strict=True):
        its_rows[one].append(row)
    return [
        Placed(numbers.get(one), all_rows, all_rows if again else [row for row in all_rows if row not in before])
        for one, all_rows in enumerate(its_rows)
    ]


def _check_number(n: int) -> None:
    if n > MOST_GROUPS:
        raise GalleryError(
            f"at most {MOST_GROUPS} people and new entries can be linked together; got {n}; link as entries are added"
        )
