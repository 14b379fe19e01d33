"""The index of a gallery by definition: it holds facts alone, and a search reads every row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields

import numpy as np

from duskmatch.gallery.search.facts import Facts, Filter
from duskmatch.gallery.search.search import Found, Read
from duskmatch.records import Floats, Ints
from tests.oracle.gallery import first


class SlowIndex:
    """Holds numbers of rows alone and reads all vectors at each search."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = np.zeros(0, np.int64)
        self.columns: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, rows: Ints, vectors: Floats, facts: Facts) -> None:
        assert vectors.shape == (len(rows), self.width) and (np.diff([*self.rows[-1:], *rows]) > 0).all()
        self.rows = np.append(self.rows, rows)
        given = {field.name: getattr(facts, field.name) for field in fields(facts)}
        self.columns = {name: np.append(self.columns.get(name, values[:0]), values) for name, values in given.items()}

    def remove(self, rows: Ints) -> None:
        keep = ~np.isin(self.rows, rows)
        self.rows, self.columns = self.rows[keep], {name: values[keep] for name, values in self.columns.items()}

    def allowed(self, wanted: Filter) -> np.ndarray | None:
        return wanted.of(Facts(**self.columns)) if len(self) else None

    def kept(self, allowed: np.ndarray | None) -> tuple[Ints, Facts]:
        wanted = [p for p in range(len(self)) if allowed is None or allowed[p]]
        return self.rows[wanted], Facts(**{name: values[wanted] for name, values in self.columns.items()})

    def search(
        self,
        queries: Floats,
        top: int,
        read: Read,
        *,
        allowed: np.ndarray | None = None,
        own: Sequence[Collection[int]] | None = None,
    ) -> Found:
        vectors, ids = read(self.rows)
        wanted = np.ones(len(ids), bool) if allowed is None else allowed
        lines = []
        for i, query in enumerate(queries):
            left_out = {p for p, row in enumerate(self.rows) if not wanted[p] or (own and row in own[i])}
            found = [(int(self.rows[p]), *rest) for p, *rest in first(query, vectors, ids, top, left_out)]
            lines.append([*found, *[(-1, np.nan, "")] * top][:top])
        rows, similarity = (np.array([[hit[k] for hit in line] for line in lines]).reshape(-1, top) for k in (0, 1))
        return Found(rows, similarity, [[hit[2] for hit in line] for line in lines])
