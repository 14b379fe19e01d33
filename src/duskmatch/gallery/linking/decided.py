"""A person's decisions as facts about pairs of entries: what follows from them, and what contradicts them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that decision `number` calls the same person, or not."""

    number: int
    a: int
    b: int
    same: bool


@dataclass
class Decided:
    """All decisions that stand. `same` of three entries follows from `same` of two pairs of them."""

    pairs: list[Pair] = field(default_factory=list)
    _near: dict[int, list[tuple[int, int]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for pair in self.pairs:
            if pair.same:
                self._near.setdefault(pair.a, []).append((pair.b, pair.number))
                self._near.setdefault(pair.b, []).append((pair.a, pair.number))

    def same_as(self, row: int) -> set[int]:
        """The row and all that are the same person as it by decisions."""
        return set(self._paths(row))

    def why_same(self, a: int, b: int) -> list[int]:
        """The numbers of the decisions, fewest first, by which two rows are the same person; none if they are not."""
        return sorted(set(self._paths(a).get(b, [])))

    def why_different(self, of_a: Iterable[int], of_b: Iterable[int]) -> Pair | None:
        """The first decision that a row of the one and a row of the other are not the same person."""
        one, other = set(of_a), set(of_b)
        for pair in self.pairs:
            if not pair.same and ((pair.a in one and pair.b in other) or (pair.b in one and pair.a in other)):
                return pair
        return None

    def different(self) -> Iterator[tuple[int, int]]:
        for pair in self.pairs:
            if not pair.same:
                yield pair.a, pair.b

    def decision_of(self, row: int) -> int | None:
        """The first decision by which a row is the same person as another."""
        return min((number for _, number in self._near.get(row, [])), default=None)

    def groups(self, rows: Iterable[int]) -> list[list[int]]:
        """The rows, those together that are the same person by decisions, in the order of their first."""
        left, found = dict.fromkeys(rows), []
        for row in list(left):
            if row in left:
                together = sorted(self.same_as(row) & left.keys())
                found.append(together)
                for one in together:
                    del left[one]
        return found

    def _paths(self, row: int) -> dict[int, list[int]]:
        """Row -> the numbers of the fewest decisions that lead to it."""
        paths: dict[int, list[int]] = {row: []}
        queue = deque([row])
        while queue:
            here = queue.popleft()
            for there, number in self._near.get(here, []):
                if there not in paths:
                    paths[there] = [*paths[here], number]
                    queue.append(there)
        return paths
