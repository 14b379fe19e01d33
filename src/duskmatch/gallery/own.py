"""Nobody is found in their own entry: a query that the gallery holds is left out of its own hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from duskmatch.gallery.store.entries import Entry
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import Embeddings

if TYPE_CHECKING:
    from duskmatch.gallery.search.search import Found

Look = Callable[[int, Sequence[set[int]]], "Found"]  # the first so many of each query, its own rows left out


def without_own(look: Look, queries: Embeddings, origin: str, snapshot: Snapshot, top: int) -> Found:
    """The first `top` of each query that are not of the same tracklet.

    One entry more than asked for is looked at, which is enough where a query is in the gallery once.
    """
    own: list[set[int]] = [set() for _ in range(len(queries))]
    if not queries.sources:
        return look(top, own)
    while True:
        found = look(top + 1, own)
        new = [_own_rows(found, i, queries, origin, snapshot) for i in range(len(queries))]
        if all(len(rows) <= 1 for rows in new):
            return _dropped(found, new, top)
        own = [before | rows for before, rows in zip(own, new, strict=True)]


def _own_rows(found: Found, i: int, queries: Embeddings, origin: str, snapshot: Snapshot) -> set[int]:
    """The rows among a query's hits that are entries of its own tracklet; an id ends in the tracklet's name."""
    name = queries.sources[i]
    named = [j for j, id in enumerate(found.ids[i]) if name and (id == name or id.endswith(f"/{name}"))]
    rows = [int(found.rows[i, j]) for j in named]
    entries = snapshot.entries(rows)
    return {row for row, entry in zip(rows, entries, strict=True) if _is_of(entry, queries, i, origin)}


def _is_of(entry: Entry, queries: Embeddings, i: int, origin: str) -> bool:
    """True if an entry is of the query's tracklet: of the same place, or, if one is unknown, alike in all facts."""
    if queries.sources[i] not in (entry.id, entry.tracklet):
        return False
    if entry.source and origin:
        return entry.source == origin
    times = [list(known)[i] if known else None for known in (queries.begin_s, queries.end_s)]
    return (
        entry.camera == queries.camids[i]
        and entry.modality == queries.modalities[i]
        and all(None in pair or pair[0] == pair[1] for pair in zip((entry.begin_s, entry.end_s), times, strict=True))
    )


def _dropped(found: Found, own: Sequence[set[int]], top: int) -> Found:
    """Each query's hits without its own row, of which there is at most one, and without those behind the first."""
    keep = np.ones(found.rows.shape, bool)
    for i, left_out in enumerate(own):
        place = np.flatnonzero(np.isin(found.rows[i], list(left_out))) if left_out else [found.rows.shape[1] - 1]
        keep[i, place] = False
    rows, similarity = (array[keep].reshape(len(own), top) for array in (found.rows, found.similarity))
    ids = [list(compress(line, kept)) for line, kept in zip(found.ids, keep, strict=True)]
    return replace(found, rows=rows, similarity=similarity, ids=ids)
