"""A new gallery of another model's vectors, from the pictures that the entries of an old one came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.data import open_tracklets
from duskmatch.errors import DuskmatchError, GalleryError
from duskmatch.gallery.linking.carry import carry
from duskmatch.gallery.store.making import initialise
from duskmatch.gallery.store.model import fingerprint
from duskmatch.gallery.store.place import staged
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.store.writing import Batch
from duskmatch.records import Tracklet

if TYPE_CHECKING:
    from duskmatch.embedding import Embedder

AT_ONCE = 256  # tracklets embedded and added together


@dataclass
class Reembedded:
    """The number of entries of the new gallery, and the ids that are not in it, each with the reason."""

    n_entries: int = 0
    missing: dict[str, str] = field(default_factory=dict)


def reembed(snapshot: Snapshot, target: Path, embedder: Embedder) -> Reembedded:
    """Makes a gallery at `target` with the same entries, their vectors computed anew from their sources.

    People, names and decisions are those of the old one; its calibration is not, as it is of another model.

    An entry whose tracklet is no longer there, or has no readable frame, is left out and named. Raises GalleryError
    where none is left, OutputError where the target is there.
    """
    outcome, model = Reembedded(), fingerprint(embedder.header)
    with staged(target) as part:
        store: SqliteStore | None = None
        for rows, tracklets in _found(snapshot, outcome):
            batch = _embedded(snapshot, rows, tracklets, embedder, outcome)
            if len(batch.entries) and store is None:
                initialise(part, batch.vectors.shape[1], model, "unit")
                store = SqliteStore(part)
            if store is not None:
                outcome.n_entries += len(store.add(replace(batch, model=model)))
        if store is None:
            raise GalleryError(f"no entry's pictures are there any more: {_first(outcome)}; nothing was made")
        store.write(lambda db: carry(snapshot, db))
        store.close()
    return outcome


def _found(snapshot: Snapshot, outcome: Reembedded) -> Iterator[tuple[list[int], list[Tracklet]]]:
    """Rows with their tracklets, some at a time; entries without are named in the outcome."""
    query = "SELECT source, tracklet, row, id FROM entries ORDER BY source, row"
    everything: list[Any] = snapshot.db.execute(query).fetchall()
    for source, lines in groupby(everything, key=lambda cells: cells[0]):
        there, reason = _tracklets(source)
        known: list[tuple[int, Tracklet]] = []
        for _, name, row, id in lines:
            if name in there:
                known.append((row, there[name]))
            else:
                outcome.missing[id] = reason or f"{source} has no tracklet {name}"
        for start in range(0, len(known), AT_ONCE):
            some = known[start : start + AT_ONCE]
            yield [row for row, _ in some], [tracklet for _, tracklet in some]


def _tracklets(source: str) -> tuple[dict[str, Tracklet], str]:
    """The tracklets of a source by name, or none and the reason."""
    if not source:
        return {}, "nobody recorded where its pictures lie"
    try:
        return {tracklet.tracklet_id: tracklet for tracklet in open_tracklets(source)}, ""
    except (DuskmatchError, OSError) as error:
        return {}, str(error)


def _embedded(
    snapshot: Snapshot, rows: Sequence[int], tracklets: Sequence[Tracklet], embedder: Embedder, outcome: Reembedded
) -> Batch:
    """The entries of these rows with new vectors, without those of which no frame can be read."""
    made = embedder.embed_rows(tracklets)
    entries = snapshot.entries(rows)
    left_out = set(range(len(rows))) - set(made.rows.tolist())
    outcome.missing.update({entries[i].id: "none of its frames can be read" for i in left_out})
    return Batch([entries[i] for i in made.rows], made.vectors)


def _first(outcome: Reembedded) -> str:
    return next(iter(outcome.missing.values()), "the gallery is empty")
