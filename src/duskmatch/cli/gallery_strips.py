"""Ranked strips of a search in a gallery, from the pictures that it keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from duskmatch.gallery import Entry, Hits
    from duskmatch.records import Embeddings, Ranking, Tracklet


def strips(
    out: Path,
    queries: Embeddings,
    pictures: Mapping[str, Sequence[bytes] | Tracklet],
    hits: Hits,
    entries: Mapping[str, Entry],
    title: str,
    nobody: str = "",
) -> list[Path]:
    """Pages of strips in `out`, in the manner of `duskmatch rank`; entries without a picture stay grey.

    nobody: what a strip without a hit says.
    """
    from duskmatch.gallery.person import embeddings_of
    from duskmatch.pictures import ranked_strips
    from duskmatch.records import Tracklet

    found = [*entries.values()]
    names = [entry.id for entry in found]
    side = embeddings_of(found, np.zeros((len(found), 1), np.float32), names)
    kept = {name: [*entry.thumbnails] for name, entry in entries.items()}
    kept_of_queries = {n: [*kept] for n, kept in pictures.items() if not isinstance(kept, Tracklet)}
    ranking = ranking_of(queries, hits, names, found)
    note = "A gallery's entries, by the picture kept of each. Entries of the query's own tracklet are left out."
    if not np.isnan(hits.probability).all():
        note += " Per cent: the chance that an entry is the query's person, by the gallery's calibration."
    with tempfile.TemporaryDirectory() as place:
        asked = {name: tracklet for name, tracklet in pictures.items() if isinstance(tracklet, Tracklet)}
        asked |= _tracklets(Path(place) / "queries", kept_of_queries)
        shown = _tracklets(Path(place) / "entries", kept)
        return ranked_strips(
            out, queries, side, ranking, asked, gallery_tracklets=shown, title=title, note=note,
            probability=hits.probability, nobody=nobody,
        )  # fmt: skip


def ranking_of(queries: Embeddings, hits: Hits, names: Sequence[str], entries: Sequence[Entry]) -> Ranking:
    """The hits as a ranking over the entries found."""
    from duskmatch.records import Ranking

    places = {name: place for place, name in enumerate(names)}
    indices = np.array([[places.get(id, -1) for id in line] for line in hits.ids], np.int64).reshape(hits.ids.shape)
    pids = np.array([*(entry.pid for entry in entries), -1], np.int64)
    dist = np.where(indices < 0, np.inf, 1 - hits.similarity).astype(np.float32)
    return Ranking(indices, dist, (pids[indices] == queries.pids[:, None]) & (indices >= 0), "none")


def _tracklets(place: Path, pictures: Mapping[str, Sequence[bytes]]) -> dict[str, Tracklet]:
    """Kept pictures as files, for as long as they are drawn from."""
    from duskmatch.records import Tracklet

    place.mkdir()
    found = {}
    for number, (name, kept) in enumerate(pictures.items()):
        if kept:
            path = place / f"{number}.jpg"
            path.write_bytes(kept[len(kept) // 2])
            found[name] = Tracklet((path,), -1, -1, "visible", name)
    return found
