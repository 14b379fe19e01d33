"""People and decisions of one gallery put into another that has entries with the same ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from duskmatch.gallery.linking import people
from duskmatch.gallery.store.forgetting import tidy
from duskmatch.gallery.store.reading import Snapshot

if TYPE_CHECKING:
    import apsw

AS_THEY_ARE = ("people", "decisions", "renamed")
OF_ROWS = {"members": (0,), "decided": (1, 2), "moved": (1,)}  # the columns that are rows


def carry(old: Snapshot, db: apsw.Connection) -> None:
    """Copies who is linked, names and decisions into a gallery without any; the caller holds the transaction.

    Reasons are left behind but for decisions: the vectors they came from are others.
    """
    of_id = dict(db.execute("SELECT id, row FROM entries"))
    row_of = {row: of_id[id] for row, id in old.db.execute("SELECT row, id FROM entries") if id in of_id}
    for table in AS_THEY_ARE:
        _insert(db, table, old.db.execute(f"SELECT * FROM {table}").fetchall())
    for table, columns in OF_ROWS.items():
        lines = [list(cells) for cells in old.db.execute(f"SELECT * FROM {table}")]
        there = [cells for cells in lines if all(cells[column] in row_of for column in columns)]
        for cells in there:
            for column in columns:
                cells[column] = row_of[cells[column]]
        _insert(db, table, there)
    members: Any = db.execute("SELECT row, reasons FROM members").fetchall()
    kept = [(_decision_alone(text), row) for row, text in members]
    db.executemany("UPDATE members SET reasons = ? WHERE row = ?", kept)
    people.changed(db)
    tidy(db)


def _insert(db: apsw.Connection, table: str, lines: list[list[object]] | list[tuple[object, ...]]) -> None:
    if lines:
        places = ", ".join("?" * len(lines[0]))
        db.executemany(f"INSERT INTO {table} VALUES ({places})", lines)


def _decision_alone(reasons: str) -> str:
    return json.dumps({key: value for key, value in people.read_reasons(reasons).items() if key == "decision"})
