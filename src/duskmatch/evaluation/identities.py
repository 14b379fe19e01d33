"""The rank of the first match if CMC counts only the first entry of each person.

As on SYSU-MM01 and LLCM: a query's list is reduced to the first entry of each person, and CMC is read off that list.
Source: docs/evaluation.md, "First entries".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation.ordering import stable_order
from duskmatch.records import Ints

Numbers = npt.NDArray[np.floating]


class IdentityRanks:
    """Ranks people by their nearest entries: one more than the number of people nearer than the query's own person."""

    def __init__(self, gallery_pids: Ints) -> None:
        self.pids, self.whose = np.unique(gallery_pids, return_inverse=True)
        self.order = np.argsort(self.whose, kind="stable")  # columns, person by person
        self.starts = np.searchsorted(self.whose[self.order], np.arange(len(self.pids)))

    def first_hits(self, dist: Numbers, query_pids: Ints) -> Ints:
        """(q,) ranks from 1, undefined without a match; entries that the camera rule removes must be at infinity."""
        nearest = np.minimum.reduceat(dist[:, self.order], self.starts, axis=1)  # (q people)
        person = np.minimum(np.searchsorted(self.pids, query_pids), len(self.pids) - 1)
        own = np.take_along_axis(nearest, person[:, None], axis=1)  # (q 1)
        first: Ints = 1 + (nearest < own).sum(axis=1)
        for row in np.flatnonzero((nearest == own).sum(axis=1) > 1):  # ties go by gallery row
            first[row] = self._rank_in_list(dist[row : row + 1], int(person[row]))
        return first

    def _rank_in_list(self, dist: Numbers, person: int) -> int:
        """The person's rank in one query's list (1 g), ties by gallery row."""
        people = self.whose[stable_order(dist)[0]]
        before = people[: int(np.flatnonzero(people == person)[0])]
        return 1 + len(np.unique(before))
