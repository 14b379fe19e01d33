"""Exact search: candidates by their bounds, fp32 rows of the candidates, the order by their fp64 dots.

A query with few candidates reads their rows, the most promising first, until the next one cannot be among the first k.
One with many (more than STREAM_SHARE of the rows searched, as among thousands of near-duplicates) reads them in blocks
in the order they lie in, together with all other such queries; where even their number is too large to keep, all rows.
Each way gives the same answer: rows by `exact.dots`, equal ones by id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64, Int64

from duskmatch.gallery.search.candidates import Candidates, Piece, scan, select_plain
from duskmatch.gallery.search.coding import code_queries
from duskmatch.gallery.search.exact import First, dots
from duskmatch.gallery.search.products import choose, loops_for
from duskmatch.records import Floats, Ints

# fp32 rows and ids of these rows, in the same order and from one snapshot.
Read = Callable[[Int64[np.ndarray, " m"]], tuple[Float32[np.ndarray, "m d"], Sequence[str]]]
Streamed = dict[int, Ints | None]  # queries and the rows they need, None for all
STREAM_SHARE = 0.02  # candidates beyond this share of the rows searched are read in order
FEW = 8  # times k: so many candidates are read as such, however small the gallery
KEPT = 1 << 17  # candidates kept of a query; beyond, all rows are read
QUERIES = 64  # scanned together
READ_ROWS = 4096  # read in one call


@dataclass(frozen=True, slots=True)
class Found:
    """For each query the first k entries; row -1, similarity NaN and id "" where fewer are left."""

    rows: Int64[np.ndarray, "q k"]
    similarity: Float64[np.ndarray, "q k"]
    ids: list[list[str]]


def search(
    queries: Float32[np.ndarray, "q d"], top: int, pieces: Sequence[Piece], read: Read, own: Sequence[Set[int]]
) -> Found:
    """The first `top` of all rows in `pieces` but those in own[i], for each query i."""
    firsts = [First(top) for _ in queries]
    excluded = [np.fromiter(rows, np.int64, len(rows)) for rows in own]
    n_rows = sum(len(piece.slots) for piece in pieces)
    streamed: Streamed = dict.fromkeys(range(len(queries)))
    if n_rows > FEW * top:
        starts = range(0, len(queries), QUERIES)
        parts = [_by_candidates(queries, start, pieces, read, excluded, firsts) for start in starts]
        streamed = {i: rows for part in parts for i, rows in part.items()}
    if streamed:
        rows, some = _rows_of(streamed, pieces), list(streamed)
        _stream(queries[some], rows, read, [excluded[i] for i in some], [firsts[i] for i in some])
    return _found(firsts, top)


def _by_candidates(
    queries: Floats, start: int, pieces: Sequence[Piece], read: Read, excluded: Sequence[Ints], firsts: Sequence[First]
) -> Streamed:
    """Fills in the first k of QUERIES queries but for those with too many candidates, which it returns."""
    some, width = range(start, min(start + QUERIES, len(queries))), queries.shape[1]
    n_rows, top = sum(len(piece.slots) for piece in pieces), firsts[start].k
    kernel = choose(len(some), n_rows, width)
    coded = code_queries(queries[start : some.stop], kernel.levels(width), kernel.rounding(width))
    found = [Candidates(min(top + len(excluded[i]), n_rows), KEPT) for i in some]
    scan(coded, pieces, kernel, loops_for(n_rows, width), found)
    streamed: Streamed = {}
    most = max(FEW * top, int(STREAM_SHARE * n_rows))
    for i, candidates, scale in zip(some, found, coded.scale, strict=True):
        rows, _, upper = candidates.pruned()
        if candidates.too_many or len(rows) > most:
            streamed[i] = None if candidates.too_many else rows
            continue
        left = _without(rows, excluded[i])
        _read_best(queries[i], rows[left], scale * upper[left], read, firsts[i])
    return streamed


def _read_best(query: Floats, rows: Ints, upper: npt.NDArray[np.float64], read: Read, first: First) -> None:
    """Reads candidates, the largest upper bound first, while one can be among the first k."""
    order = np.argsort(-upper)
    rows, falling = rows[order], -upper[order]
    start = 0
    while start < (reach := int(np.searchsorted(falling, -first.least, side="right"))):
        stop = min(reach, start + (READ_ROWS if start else first.k))
        _add(query, np.sort(rows[start:stop]), read, first)
        start = stop


def _add(query: Floats, rows: Ints, read: Read, first: First) -> None:
    vectors, ids = read(rows)
    first.add(rows, dots(vectors, query), ids)


def _rows_of(streamed: Streamed, pieces: Sequence[Piece]) -> Ints:
    """The candidates of all these queries, rising; all rows where one query's are not known."""
    known = [rows for rows in streamed.values() if rows is not None]
    if len(known) == len(streamed):
        return np.unique(np.concatenate(known))
    return np.concatenate([np.empty(0, np.int64), *(piece.rows for piece in pieces)])


def _stream(queries: Floats, rows: Ints, read: Read, excluded: Sequence[Ints], firsts: Sequence[First]) -> None:
    """Fills in the first k of queries (q d) from these rows, READ_ROWS at a time."""
    for start in range(0, len(rows), READ_ROWS):
        some = rows[start : start + READ_ROWS]
        vectors, ids = read(some)
        lengths = np.sqrt(np.einsum("md,md->m", vectors, vectors, dtype=np.float64))
        rough = queries.astype(np.float64) @ vectors.astype(np.float64).T  # (q m)
        for i, first in enumerate(firsts):
            left = _without(some, excluded[i])
            near = left[_reaching(rough[i, left], lengths[left], queries[i], first)]
            first.add(some[near], dots(vectors[near], queries[i]), [ids[place] for place in near])


def _reaching(rough: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64], query: Floats, first: First) -> Ints:
    """Places of the rows whose dots may be among the first k.

    A sum of d <= 2^17 products in fp64, in any order, is within gamma_d < 2^-35 of the true one (times |q| |x|), as are
    `dots` and the lengths; the bounds here are twice as wide.
    """
    ones, zeros = np.ones(len(rough)), np.zeros(len(rough), np.float32)
    length = float(np.linalg.norm(query.astype(np.float64)))
    return select_plain(rough, (ones, lengths, zeros), 2.0**-34 * length, 0.0, first.least, first.k)[0]


def _without(rows: Ints, excluded: Ints) -> Ints:
    """The places of the rows that are not excluded."""
    return np.flatnonzero(~np.isin(rows, excluded)) if len(excluded) else np.arange(len(rows))


def _found(firsts: Sequence[First], top: int) -> Found:
    found = Found(np.full((len(firsts), top), -1), np.full((len(firsts), top), np.nan), [])
    for i, first in enumerate(firsts):
        n = len(first.rows)
        found.rows[i, :n], found.similarity[i, :n] = first.rows, first.similarity
        found.ids.append([*first.ids, *[""] * (top - n)])
    return found
