"""The index of a gallery by definition: every fp64 dot of every fp32 row, the order by similarity and id."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from duskmatch.gallery.facts import Facts, Filter
from duskmatch.gallery.search import Found, Read
from duskmatch.records import Floats, Ints, Modality


class SlowIndex:
    """Holds numbers of rows alone and reads all vectors at each search."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = np.zeros(0, np.int64)
        self.facts = {name: np.zeros(0) for name in Facts.__dataclass_fields__}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, rows: Ints, vectors: Floats, facts: Facts) -> None:
        assert vectors.shape == (len(rows), self.width) and (np.diff([*self.rows[-1:], *rows]) > 0).all()
        self.rows = np.append(self.rows, rows)
        self.facts = {name: np.append(self.facts[name], values) for name, values in facts.columns().items()}

    def remove(self, rows: Ints) -> None:
        keep = ~np.isin(self.rows, rows)
        self.rows, self.facts = self.rows[keep], {name: values[keep] for name, values in self.facts.items()}

    def allowed(
        self,
        *,
        modality: Modality | None = None,
        cameras: Collection[int] | None = None,
        between: tuple[float, float] | None = None,
        pids: Collection[int] | None = None,
    ) -> np.ndarray | None:
        return Filter(modality, cameras, between, pids).of(self.facts)

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
        lines = []
        for i, query in enumerate(queries):
            left_out = own[i] if own else ()
            places = [
                (-float(np.dot(vector.astype(np.float64), query.astype(np.float64))), id, int(row))
                for vector, id, row, wanted in zip(
                    vectors, ids, self.rows, np.ones(len(ids), bool) if allowed is None else allowed, strict=True
                )
                if wanted and row not in left_out
            ]
            lines.append([*sorted(places), *[(np.nan, "", -1)] * top][:top])
        rows = np.array([[row for _, _, row in line] for line in lines], np.int64).reshape(len(queries), top)
        similarity = -np.array([[minus for minus, _, _ in line] for line in lines]).reshape(len(queries), top)
        return Found(rows, similarity, [[id for _, id, _ in line] for line in lines])
