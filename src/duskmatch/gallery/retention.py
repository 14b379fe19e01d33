"""The entries that have been kept for long enough."""

from __future__ import annotations

from duskmatch.gallery.store.reading import Snapshot

# When somebody was last seen; of entries without a time of day, when they were added.
LAST_SEEN = "CASE clock WHEN 'unix' THEN coalesce(end_s, begin_s, added_s) ELSE added_s END"


def seen_before(snapshot: Snapshot, time_s: float) -> list[int]:
    """The rows of entries last seen before a time (Unix seconds), or added before it where nobody knows."""
    return snapshot.rows(f"WHERE {LAST_SEEN} < ?", (time_s,))
