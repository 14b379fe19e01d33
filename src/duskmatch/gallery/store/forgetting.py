"""What goes with entries that are deleted: their places among people, and the decisions and names of nobody else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

AMONG = "(SELECT value FROM json_each(?))"
# In this order: decisions that no pair or name of an entry is left of, then what they changed, then empty people.
LEFT_OVER = (
    "DELETE FROM decisions WHERE kind != 'name' AND number NOT IN (SELECT number FROM decided)",
    "DELETE FROM moved WHERE number NOT IN (SELECT number FROM decisions)",
    "DELETE FROM renamed WHERE number NOT IN (SELECT number FROM decisions)",
    "DELETE FROM renamed WHERE person NOT IN (SELECT person FROM members) "
    "AND person NOT IN (SELECT person FROM moved WHERE person IS NOT NULL)",
    "DELETE FROM decisions WHERE kind = 'name' AND number NOT IN (SELECT number FROM renamed)",
    "DELETE FROM people WHERE person NOT IN (SELECT person FROM members)",
)


def forget(db: apsw.Connection, rows: Sequence[int]) -> None:
    """Takes rows out of people and decisions, with what is left of nobody then: numbers, names, decisions."""
    keys = json.dumps(list(rows))
    db.execute(f"DELETE FROM members WHERE row IN {AMONG}", (keys,))
    db.execute(f"DELETE FROM moved WHERE row IN {AMONG}", (keys,))
    db.execute(f"DELETE FROM decided WHERE row IN {AMONG} OR other IN {AMONG}", (keys, keys))
    tidy(db)


def tidy(db: apsw.Connection) -> None:
    """Removes decisions and people of which nothing is left."""
    for statement in LEFT_OVER:
        db.execute(statement)
