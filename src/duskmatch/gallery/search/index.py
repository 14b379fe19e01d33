"""The vectors of a gallery in memory, one byte a number: what a search looks at before it reads any fp32 row."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import fields

import numpy as np
from jaxtyping import Bool, Float32, Int64

from duskmatch.errors import DataError
from duskmatch.gallery.search.candidates import pieces_of
from duskmatch.gallery.search.chunks import CHUNK_ROWS, COLUMNS, Chunk
from duskmatch.gallery.search.coding import MOST_WIDTH, code_rows
from duskmatch.gallery.search.facts import Array, Facts, Filter
from duskmatch.gallery.search.search import Found, Read, search
from duskmatch.records import Floats

ADDED_ROWS = 4096  # coded before they are put in their chunk
DEAD_SHARE = 0.25  # of the room held by removed rows, from which the others move together


class Index:
    """Rows of width d and what is known of them; one lock of the caller's guards every call.

    Memory: d + 58 bytes a row, and less than two chunks besides.
    """

    def __init__(self, width: int) -> None:
        if not 1 <= width <= MOST_WIDTH:
            raise DataError(f"the width of a gallery must be from 1 to {MOST_WIDTH}; got {width}")
        self.width = width
        self._chunks: list[Chunk] = []
        self._last_row = -1
        self._n_dead = 0

    def __len__(self) -> int:
        return sum(chunk.n for chunk in self._chunks) - self._n_dead

    def add(self, rows: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"], facts: Facts) -> None:
        """Holds more rows; their numbers rise and are above all that were ever added. All are taken or none."""
        columns = {"row": rows, **facts.columns()}
        self._check_shape(vectors, "entries")
        if any(len(values) != len(vectors) for values in columns.values()):
            raise DataError(f"rows and facts must be as many as the {len(vectors)} vectors; leave none out")
        _refuse_not_finite(vectors, "entries")
        if len(rows) and (rows[0] <= self._last_row or (np.diff(rows) <= 0).any()):
            raise DataError(f"rows must rise, from above {self._last_row}; got {rows[0]} first; sort them")
        for start in range(0, len(rows), ADDED_ROWS):
            block = slice(start, start + ADDED_ROWS)
            coded = code_rows(vectors[block])
            self._append(
                {name: values[block] for name, values in columns.items()}
                | {"codes": coded.codes, "scale": coded.scale, "norm": coded.norm, "residual": coded.residual}
                | {"alive": np.ones(len(coded.codes), np.bool_)}
            )
        self._last_row = int(rows[-1]) if len(rows) else self._last_row

    def _append(self, columns: dict[str, Array]) -> None:
        while len(columns["row"]):
            if not self._chunks or not self._chunks[-1].room:
                self._chunks.append(Chunk(self.width, CHUNK_ROWS))
            taken = self._chunks[-1].append(columns)
            columns = {name: values[taken:] for name, values in columns.items()}

    def remove(self, rows: Int64[np.ndarray, " n"]) -> None:
        """Overwrites all that is held of these rows with zeros; a row that is not held is no error."""
        rows = np.unique(rows)
        self._n_dead += sum(chunk.erase(rows) for chunk in self._chunks)
        if self._n_dead > DEAD_SHARE * (len(self) + self._n_dead):
            self._compact()

    def _compact(self) -> None:
        """Moves the rows that are left together, a chunk at a time; what they are moved from is overwritten too."""
        old, self._chunks = self._chunks, []
        self._n_dead = 0
        while old:
            chunk = old.pop(0)
            self._append(chunk.living())
            chunk.wipe()

    def allowed(self, wanted: Filter) -> Bool[np.ndarray, " n"] | None:
        """True for the places that a search may look at, until the next change; None if all are allowed."""
        if wanted == Filter():
            return None
        parts = [wanted.of(chunk.facts) for chunk in self._chunks]
        return np.concatenate([np.zeros(0, np.bool_), *(part for part in parts if part is not None)])

    def kept(self, allowed: Bool[np.ndarray, " n"] | None) -> tuple[Int64[np.ndarray, " m"], Facts]:
        """The rows that a search may look at, ascending, and what is known of them."""
        names = ("row", "alive", *(field.name for field in fields(Facts)))
        columns = {
            name: np.concatenate([np.zeros(0, COLUMNS[name]), *(c[name] for c in self._chunks)]) for name in names
        }
        keep = columns["alive"] if allowed is None else columns["alive"] & allowed
        rows, _, *facts = (columns[name][keep] for name in names)
        return rows, Facts(*facts)

    def search(
        self,
        queries: Float32[np.ndarray, "q d"],
        top: int,
        read: Read,
        *,
        allowed: Bool[np.ndarray, " n"] | None = None,
        own: Sequence[Set[int]] | None = None,
    ) -> Found:
        """The first `top` entries by the fp64 dots of fp32 rows, equal ones by id; own[i] are not found by query i."""
        self._check_shape(queries, "queries")
        _refuse_not_finite(queries, "queries")
        if top < 1:
            raise DataError(f"top must be at least 1; got {top}")
        n_places = sum(chunk.n for chunk in self._chunks)
        if allowed is not None and len(allowed) != n_places:
            raise DataError(f"allowed must come from this index as it is: {n_places} places; got {len(allowed)}")
        if own is not None and len(own) != len(queries):
            raise DataError(f"own must be as long as the {len(queries)} queries; got {len(own)}")
        pieces = pieces_of(self._chunks, allowed)
        return search(queries, top, pieces, read, own if own is not None else [set()] * len(queries))

    def _check_shape(self, vectors: Floats, role: str) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.width or vectors.dtype != np.float32:
            got = f"{vectors.dtype} {vectors.shape}"
            raise DataError(f"the {role} must be float32 rows of width {self.width}, as the gallery; got {got}")


def _refuse_not_finite(vectors: Floats, role: str) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        value = vectors[bad[0]][~np.isfinite(vectors[bad[0]])][0]
        raise DataError(f"the {role} must be finite; row {bad[0]} holds {value}; embed it again or leave it out")
