"""Rows of a gallery in memory, in chunks of a fixed number: growing copies nothing, and no copy doubles the memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int32, Int64

from duskmatch.gallery.search.facts import Array, Facts

CHUNK_ROWS = 1 << 16
# Of one row; `row` is the store's number for it, `alive` is False once it is removed.
COLUMNS: dict[str, npt.DTypeLike] = {
    "row": np.int64,
    "alive": np.bool_,
    "scale": np.float64,
    "norm": np.float32,
    "residual": np.float32,
    "modality": np.int8,
    "camera": np.int64,
    "begin_s": np.float64,
    "end_s": np.float64,
    "pid": np.int64,
}


class Chunk:
    """Room for CHUNK_ROWS rows, of which the first n are in use; memory that was never written to costs nothing."""

    def __init__(self, width: int, n_rows: int = CHUNK_ROWS) -> None:
        self.n = self.n_dead = 0
        self._arrays: dict[str, Array] = {name: np.zeros(n_rows, dtype) for name, dtype in COLUMNS.items()}
        self._arrays["codes"] = np.zeros((n_rows, width), np.int8)

    def __getitem__(self, column: str) -> Array:
        """The rows in use: (n d) of "codes", (n,) of the others."""
        return self._arrays[column][: self.n]

    @property
    def facts(self) -> Facts:
        return Facts(*(self[name] for name in ("modality", "camera", "begin_s", "end_s", "pid")))

    @property
    def room(self) -> int:
        return len(self._arrays["row"]) - self.n

    def append(self, columns: Mapping[str, Array]) -> int:
        """Takes as many of the rows as there is room for; their number."""
        taken = min(self.room, len(columns["row"]))
        for name, values in columns.items():
            self._arrays[name][self.n : self.n + taken] = values[:taken]
        self.n += taken
        return taken

    def erase(self, rows: Int64[np.ndarray, " m"]) -> int:
        """Overwrites these rows with zeros but for their numbers; the number of those that were held."""
        places = np.searchsorted(self["row"], rows)
        held = places < self.n
        slots = places[held]
        slots = slots[(self["row"][slots] == rows[held]) & self["alive"][slots]]
        for name, values in self._arrays.items():
            if name != "row":
                values[slots] = 0
        self.n_dead += len(slots)
        return len(slots)

    def living(self) -> dict[str, Array]:
        """A copy of the rows that were not removed."""
        return {name: self[name][self["alive"]] for name in self._arrays}

    def wipe(self) -> None:
        for values in self._arrays.values():
            values[: self.n] = 0

    def slots(self, allowed: Bool[np.ndarray, " n"] | None) -> Int32[np.ndarray, " m"]:
        """The places of the rows that were not removed and that a filter allows."""
        if allowed is None and not self.n_dead:
            return _numbers(self.n)
        alive = self["alive"]
        return np.flatnonzero(alive if allowed is None else alive & allowed).astype(np.int32)


@lru_cache(maxsize=2)
def _numbers(n: int) -> Int32[np.ndarray, " n"]:
    return np.arange(n, dtype=np.int32)
