"""From embeddings to the entries of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from duskmatch.errors import GalleryError
from duskmatch.gallery.store.entries import Clock, Entry, entry_id
from duskmatch.gallery.store.writing import Batch
from duskmatch.records import Embeddings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Facts of entries that their embeddings lack.

    namespace: put before each tracklet's name in its id. origin: where all tracklets lie, or a place for each.
    clock: what their times count from. notes, thumbnails: one for each, or none.
    """

    namespace: str = ""
    origin: str | Sequence[str] = ""
    clock: Clock = "unix"
    notes: Sequence[str] = ()
    thumbnails: Sequence[Sequence[bytes]] = ()


def batch_of(embeddings: Embeddings, given: Circumstances, model: str) -> Batch:
    """The embeddings as entries, each with its id; GalleryError where a list has another length than they."""
    n = len(embeddings)
    tracklets = _each(embeddings.sources, "", n, "sources")
    sources = [given.origin] * n if isinstance(given.origin, str) else _each(given.origin, "", n, "origin")
    begins, ends = (_each(times, None, n, "times") for times in (embeddings.begin_s, embeddings.end_s))
    notes, pictures = _each(given.notes, "", n, "notes"), _each(given.thumbnails, (), n, "thumbnails")
    cameras, pids = embeddings.camids.tolist(), embeddings.pids.tolist()
    entries = [
        Entry(
            id=entry_id(given.namespace, tracklets[i], sources[i]),
            camera=cameras[i],
            modality=modality,
            tracklet=tracklets[i],
            source=sources[i],
            begin_s=_seconds(begins[i]),
            end_s=_seconds(ends[i]),
            clock=given.clock,
            pid=pids[i],
            note=notes[i],
            thumbnails=tuple(pictures[i]),
        )
        for i, modality in enumerate(embeddings.modalities)
    ]
    return Batch(entries, embeddings.vectors, model)


def _seconds(time: float | None) -> float | None:
    return None if time is None else float(time)


def _each(values: Sequence[T], default: T, n: int, what: str) -> Sequence[T]:
    """n values; the default for all where none are given."""
    if len(values) not in (0, n):
        raise GalleryError(f"{what} must be one for each of {n} embeddings, or none; got {len(values)}")
    return values or [default] * n
