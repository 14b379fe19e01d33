"""The rows that may be among the first k of a query, by the bounds of `coding`: the pass over the whole gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float64, Int32, Int64

from duskmatch.gallery.search.chunks import Chunk
from duskmatch.gallery.search.coding import CodedQueries
from duskmatch.gallery.search.products import Kernel
from duskmatch.machine_code import Loops

T = TypeVar("T")

PIECE_ROWS = 1 << 15  # multiplied in one call
Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Selected = tuple[Longs, Doubles, Doubles]  # rows or their places, lower and upper bounds, each (c,)
Columns = tuple[Doubles, npt.NDArray[Any], npt.NDArray[Any]]  # scale, norm and residual of rows, each (m,)
Select = Callable[[npt.NDArray[Any], Columns, float, float, float, int], Selected]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of a chunk that a search may return."""

    chunk: Chunk
    slots: Int32[np.ndarray, " m"]

    @property
    def rows(self) -> Int64[np.ndarray, " m"]:
        return self.of("row")

    def of(self, column: str) -> npt.NDArray[Any]:
        whole, first, n = self.chunk[column], self.slots[0], len(self.slots)
        return whole[first : first + n] if self.slots[-1] - first == n - 1 else whole[self.slots]


class Candidates:
    """Of one query: the rows whose upper bound reaches the k-th largest lower bound.

    `least` only rises, so a row that is left out is never among the first k. None are kept once there are more than
    `most`: reading them all in order is cheaper then.
    """

    def __init__(self, k: int, most: int) -> None:
        self.k, self.most = k, most
        self.least = -np.inf
        self.too_many = False
        self._pruned = 0
        self._parts: list[Selected] = []

    def add(self, rows: Longs, lower: Doubles, upper: Doubles) -> None:
        if self.too_many or not len(rows):
            return
        self._parts.append((rows, lower, upper))
        if sum(len(part[0]) for part in self._parts) > max(2 * self._pruned, self.k):
            self.pruned()

    def pruned(self) -> Selected:
        """(rows, lower bounds, upper bounds) of those left."""
        rows, lower, upper = (np.concatenate(x) for x in zip(*self._parts, strict=True)) if self._parts else _none()
        self.least = max(self.least, largest(lower, self.k))
        keep = upper >= self.least
        found = rows[keep], lower[keep], upper[keep]
        self._pruned = len(found[0])
        self.too_many = self.too_many or self._pruned > self.most
        self._parts = [] if self.too_many else [found]
        return found


def pieces_of(chunks: Iterable[Chunk], allowed: Bool[np.ndarray, " n"] | None) -> list[Piece]:
    """All rows of the chunks that were not removed and that a filter allows, at most PIECE_ROWS together."""
    pieces, start = [], 0
    for chunk in chunks:
        slots = chunk.slots(None if allowed is None else allowed[start : start + chunk.n])
        pieces += [Piece(chunk, slots[i : i + PIECE_ROWS]) for i in range(0, len(slots), PIECE_ROWS)]
        start += chunk.n
    return pieces


def scan(
    coded: CodedQueries, pieces: Sequence[Piece], kernel: Kernel, loops: Loops | None, found: Sequence[Candidates]
) -> None:
    """Adds to each query's candidates those of all pieces."""
    select = partial(select_compiled, loops["select"]) if loops else select_plain
    n_threads = min(torch.get_num_threads(), sum(len(piece.slots) for piece in pieces) // PIECE_ROWS)
    for parts in _mapped(partial(_scan_piece, coded, kernel, select, found), pieces, n_threads * kernel.threads):
        for candidates, part in zip(found, parts, strict=True):
            candidates.add(*part)


def _mapped(work: Callable[[Piece], T], pieces: Sequence[Piece], n_threads: int) -> Iterator[T]:
    """The work of each piece, in order; a pool for one thread would only cost."""
    if n_threads < 2:
        yield from map(work, pieces)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(work, pieces)


def _scan_piece(
    coded: CodedQueries, kernel: Kernel, select: Select, found: Sequence[Candidates], piece: Piece
) -> list[Selected]:
    products = kernel.multiply(piece.chunk["codes"], piece.slots, coded.codes)  # (q m)
    columns, rows = (piece.of("scale"), piece.of("norm"), piece.of("residual")), piece.rows
    parts = []
    for p, candidates in enumerate(found):
        if candidates.too_many:
            parts.append(_none())
            continue
        factors = float(coded.of_norm[p]), float(coded.of_residual[p])
        places, lower, upper = select(products[p], columns, *factors, candidates.least, candidates.k)
        parts.append((rows[places], lower, upper))
    return parts


def select_compiled(
    loop: Callable[..., int], products: npt.NDArray[Any], columns: Columns, of_norm: float, of_residual: float,
    least: float, k: int,
) -> Selected:  # fmt: skip
    """`select_plain` in one pass; a few more, as the k-th largest is of the rows before each one."""
    m = len(products)
    places, lower, upper = np.empty(m, np.int64), np.empty(m), np.empty(m)
    n = loop(products, *columns, of_norm, of_residual, least, np.full(min(k, m), -np.inf), places, lower, upper)
    return places[:n].copy(), lower[:n].copy(), upper[:n].copy()


def select_plain(
    products: npt.NDArray[Any], columns: Columns, of_norm: float, of_residual: float, least: float, k: int
) -> Selected:
    """Places, lower and upper bounds of the rows that reach `least` and the k-th largest lower bound."""
    scale, norm, residual = columns
    width = of_norm * norm + of_residual * residual
    lower, upper = scale * (products - width), scale * (products + width)
    places = np.flatnonzero(upper >= max(least, largest(lower, k)))
    return places, lower[places], upper[places]


def _none() -> Selected:
    return np.empty(0, np.int64), np.empty(0), np.empty(0)


def largest(values: Float64[np.ndarray, " m"], k: int) -> float:
    """The k-th largest; -inf where there are fewer."""
    return float(np.partition(values, len(values) - k)[len(values) - k]) if len(values) >= k else -np.inf
