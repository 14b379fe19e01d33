"""What linking has to know of entries: their vectors, where and when they were seen; and who cannot be one person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int64

from duskmatch.gallery.linking.linkage import rounded
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import MODALITIES, Ints, Modality

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCK = 512  # entries compared with all others at a time
Barred = Iterator[tuple[int, Ints]]  # a place, and the places that cannot be the same person as it


class LogRatio(Protocol):
    """Similarities to log-likelihood ratios, for each pair of modalities: `evaluation.calibration.Calibration`."""

    def log_ratio(
        self, similarity: Float64[np.ndarray, "..."], a: Modality, b: Modality
    ) -> Float64[np.ndarray, "..."]: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """Of n entries, in the order of their rows: the vectors, the place in MODALITIES, camera, begin, end and clock.

    Times are NaN where they are unknown, and comparable where clocks have the same number, -1 with none.
    """

    rows: Int64[np.ndarray, " n"]
    vectors: Float32[np.ndarray, "n d"]
    modality: Int8[np.ndarray, " n"]
    camera: Int64[np.ndarray, " n"]
    begin_s: Float64[np.ndarray, " n"]
    end_s: Float64[np.ndarray, " n"]
    clock: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)


def seen(snapshot: Snapshot, rows: Sequence[int] | None = None) -> Seen:
    """All entries of a snapshot, or these rows, ascending."""
    query = "SELECT row, modality, camera, begin_s, end_s, clock, source FROM entries ORDER BY row"
    wanted = None if rows is None else set(rows)
    cells = [line for line in snapshot.db.execute(query) if wanted is None or line[0] in wanted]
    row, modality, camera, begin_s, end_s, clock, source = zip(*cells, strict=True) if cells else ((),) * 7
    numbers = np.array(row, np.int64)
    vectors = snapshot.vectors(numbers)[0] if cells else np.zeros((0, snapshot.facts.width), np.float32)
    return Seen(
        numbers,
        vectors,
        np.array([MODALITIES.index(word) for word in modality], np.int8),
        np.array(camera, np.int64),
        np.array(begin_s, np.float64),
        np.array(end_s, np.float64),
        _clocks(clock, source),
    )


def _clocks(clock: Sequence[str], source: Sequence[str]) -> Ints:
    """0 for times of day; a number of its own for each video, which is known by the entries' source."""
    videos: dict[str, int] = {}
    for word, place in zip(clock, source, strict=True):
        if word != "unix" and place:
            videos.setdefault(place, len(videos) + 1)
    numbers = [0 if c == "unix" else videos.get(place, -1) for c, place in zip(clock, source, strict=True)]
    return np.array(numbers, np.int64)


def simultaneous(entries: Seen) -> Barred:
    """Entries with later ones that the same camera saw at the same time, in the same modality and by the same clock.

    A camera's number may stand for a visible and an infrared sensor side by side, so modalities are no contradiction.
    An entry that begins at the moment at which another ends follows it: a tracker has lost a person and found it again.
    """
    known = (entries.camera >= 0) & (entries.clock >= 0) & ~np.isnan(entries.begin_s + entries.end_s)
    places = np.flatnonzero(known)
    keys = np.stack([entries.camera, entries.modality.astype(np.int64), entries.clock], axis=1)[places]
    _, kind = np.unique(keys, axis=0, return_inverse=True)
    for k in range(int(kind.max(initial=-1)) + 1):
        same = places[kind.reshape(-1) == k]
        for n, i in enumerate(same):
            later = same[n + 1 :]
            both = later[_overlap(entries.begin_s[i], entries.end_s[i], entries.begin_s[later], entries.end_s[later])]
            if len(both):
                yield int(i), both


def _overlap(
    begin: float, end: float, begins: Float64[np.ndarray, " m"], ends: Float64[np.ndarray, " m"]
) -> npt.NDArray[np.bool_]:
    first, last = np.maximum(begin, begins), np.minimum(end, ends)
    follows = ((end == begins) & (begin < begins)) | ((ends == begin) & (begins < begin))
    overlap: npt.NDArray[np.bool_] = (first <= last) & ~follows
    return overlap


def log_ratios(a: Seen, b: Seen, ratio: LogRatio) -> Float64[np.ndarray, "a b"]:
    """The log-likelihood ratio of each entry of a with each of b, in multiples of linking.STEP."""
    similarity = a.vectors.astype(np.float64) @ b.vectors.astype(np.float64).T
    found = np.empty_like(similarity)
    for one in np.unique(a.modality):
        for other in np.unique(b.modality):
            part = np.ix_(a.modality == one, b.modality == other)
            found[part] = rounded(ratio.log_ratio(similarity[part], MODALITIES[one], MODALITIES[other]))
    return found


def take(entries: Seen, places: Ints) -> Seen:
    """These entries, in this order."""
    return Seen(
        entries.rows[places], entries.vectors[places], entries.modality[places], entries.camera[places],
        entries.begin_s[places], entries.end_s[places], entries.clock[places],
    )  # fmt: skip


def totals(entries: Seen, group: Ints, n_groups: int, ratio: LogRatio, barred: Barred) -> Float64[np.ndarray, "g g"]:
    """The sum of log-likelihood ratios over the pairs of each two groups, -inf where one of the pairs is barred.

    Each entry has the number of its group; each group has members.
    """
    order = np.argsort(group, kind="stable")
    ordered, starts = take(entries, order), np.searchsorted(group[order], np.arange(n_groups))
    found = np.zeros((n_groups, n_groups))
    for start in range(0, len(order), BLOCK):
        places = np.arange(start, min(start + BLOCK, len(order)))
        part = np.add.reduceat(log_ratios(take(ordered, places), ordered, ratio), starts, axis=1)
        np.add.at(found, group[order[places]], part)
    for g in range(n_groups):  # both halves alike to the last bit
        found[g + 1 :, g] = found[g, g + 1 :]
    for i, others in barred:
        found[group[i], group[others]] = found[group[others], group[i]] = -np.inf
    return found
