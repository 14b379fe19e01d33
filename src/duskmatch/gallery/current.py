"""The index in memory, kept at the state of the snapshot that a search reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from duskmatch.gallery.search.facts import Facts, Filter
from duskmatch.gallery.store.reading import AddedRow, Snapshot, State, as_array
from duskmatch.records import MODALITIES, Floats, Ints

if TYPE_CHECKING:
    from duskmatch.gallery.search.search import Found, Read


class AnyIndex(Protocol):
    """The vectors in memory: `Index`, or a slow one that tests compare it with."""

    def __len__(self) -> int: ...
    def add(self, rows: Ints, vectors: Floats, facts: Facts) -> None: ...
    def remove(self, rows: Ints) -> None: ...
    def allowed(self, wanted: Filter) -> npt.NDArray[np.bool_] | None: ...
    def kept(self, allowed: npt.NDArray[np.bool_] | None) -> tuple[Ints, Facts]: ...
    def search(
        self,
        queries: Floats,
        top: int,
        read: Read,
        *,
        allowed: npt.NDArray[np.bool_] | None,
        own: Sequence[Set[int]] | None,
    ) -> Found: ...


class CurrentIndex:
    """An index that is filled at the first use, and then told of each entry that came or went.

    The caller guards it with the lock under which it takes snapshots.
    """

    def __init__(self, make: Callable[[int], AnyIndex]) -> None:
        self._make = make
        self._index: AnyIndex | None = None
        self._state = State(0, 0)

    def at(self, snapshot: Snapshot) -> AnyIndex:
        """The index with the snapshot's entries; what is half brought up to date is not kept."""
        if self._index is not None and snapshot.state() == self._state:
            return self._index
        index, self._index = self._index, None
        self._index = self._brought(index, snapshot)
        return self._index

    def _brought(self, index: AnyIndex | None, snapshot: Snapshot) -> AnyIndex:
        state, before = snapshot.state(), self._state
        if index is None:
            index, before = self._make(snapshot.facts.width), State(0, state.last_deletion)
        if state.last_deletion > before.last_deletion:
            index.remove(np.array(snapshot.deleted_after(before.last_deletion), np.int64))
        for some in snapshot.after(before.last_row):
            index.add(*arrays(some, snapshot.facts.width))
        self._state = state
        return index


def arrays(some: Sequence[AddedRow], width: int) -> tuple[Ints, Floats, Facts]:
    """Rows, vectors and facts as arrays; times that no filter may compare are NaN."""
    columns: list[tuple[Any, ...]] = list(zip(*some, strict=True))
    row, vector, modality, camera, begin_s, end_s, clock, pid = columns
    video = np.array([word != "unix" for word in clock])
    begins, ends = (np.where(video, np.nan, np.array(times, np.float64)) for times in (begin_s, end_s))  # None is NaN
    seen_by = np.array([MODALITIES.index(word) for word in modality], np.int8)
    facts = Facts(seen_by, np.array(camera, np.int64), begins, ends, np.array(pid, np.int64))
    return np.array(row, np.int64), as_array(vector, width), facts
