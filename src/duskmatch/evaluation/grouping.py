"""How well entries were grouped into people, against who they are: pairs, B-cubed, ARI, IDF1, wrong merges and splits.

Pairs and B-cubed: Source: Bagga and Baldwin, 1998; Amigó et al., 2009. ARI: Hubert and Arabie, 1985. IDF1: Ristani et
al., 2016, "Performance measures and a data set for multi-target, multi-camera tracking", with each entry as one
detection that is always found: IDF1 is then the share of entries that have the right one of one-to-one matched people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.errors import EvaluationError
from duskmatch.evaluation.matches import UNKNOWN_PID
from duskmatch.records import Ints

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupingScores:
    """Figures from 0 to 1, NaN where there is nothing to divide by.

    precision, recall, f1: of pairs of entries put together. bcubed_*: the mean over entries of the share of its group
    that is its person, and of its person that is in its group. over_merged: the share of groups that hold more than one
    person. split: the share of people in more than one group. n_left_out: entries of unknown people, which are ignored.
    """

    n_entries: int
    n_left_out: int
    n_people: int
    n_groups: int
    precision: float
    recall: float
    f1: float
    ari: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    over_merged: float
    split: float
    idf1: float


@dataclass(frozen=True, slots=True)
class _Table:
    """The cells that are not empty: entries of each person in each group; and the sums of both."""

    group: Ints
    person: Ints
    count: Ints
    groups: Ints
    people: Ints


def score_grouping(groups: Sequence[int] | Ints, pids: Sequence[int] | Ints) -> GroupingScores:
    """The scores of n entries by their group and their pid; those with pid -1 are left out and counted."""
    found, true = np.asarray(groups, np.int64).reshape(-1), np.asarray(pids, np.int64).reshape(-1)
    if len(found) != len(true):
        raise EvaluationError(f"groups and pids must be one each for each entry; got {len(found)} and {len(true)}")
    known = true != UNKNOWN_PID
    if not known.any():
        raise EvaluationError(f"a grouping needs entries of known people; got {len(true)}, none with a pid")
    table = _table(found[known], true[known])
    n = int(known.sum())
    precision, recall, f1 = _pairs(table)
    b_precision, b_recall, b_f1 = _bcubed(table, n)
    return GroupingScores(
        n_entries=n,
        n_left_out=len(true) - n,
        n_people=len(table.people),
        n_groups=len(table.groups),
        precision=precision,
        recall=recall,
        f1=f1,
        ari=_ari(table, n),
        bcubed_precision=b_precision,
        bcubed_recall=b_recall,
        bcubed_f1=b_f1,
        over_merged=float((np.bincount(table.group) > 1).mean()),
        split=float((np.bincount(table.person) > 1).mean()),
        idf1=_idf1(table, n),
    )


def _table(found: Ints, true: Ints) -> _Table:
    _, group, groups = np.unique(found, return_inverse=True, return_counts=True)
    _, person, people = np.unique(true, return_inverse=True, return_counts=True)
    cell, count = np.unique(group.reshape(-1) * len(people) + person.reshape(-1), return_counts=True)
    return _Table(cell // len(people), cell % len(people), count, groups, people)


def _pairs_in(counts: Ints) -> int:
    return sum(n * (n - 1) // 2 for n in counts.tolist())


def _pairs(table: _Table) -> tuple[float, float, float]:
    """Precision, recall and F1 of pairs that were put together."""
    both, claimed, true = _pairs_in(table.count), _pairs_in(table.groups), _pairs_in(table.people)
    return _share(both, claimed), _share(both, true), _share(2 * both, claimed + true)


def _bcubed(table: _Table, n: int) -> tuple[float, float, float]:
    squared = table.count.astype(np.float64) ** 2
    precision = float((squared / table.groups[table.group]).sum() / n)
    recall = float((squared / table.people[table.person]).sum() / n)
    return precision, recall, 2 * precision * recall / (precision + recall)


def _ari(table: _Table, n: int) -> float:
    """(pairs together in both - expected by chance) / (the most there can be - expected); 1 if both are the same."""
    both, claimed, true = _pairs_in(table.count), _pairs_in(table.groups), _pairs_in(table.people)
    if both == claimed == true:
        return 1.0
    expected = claimed * true / (n * (n - 1) // 2)
    return (both - expected) / ((claimed + true) / 2 - expected)


def _idf1(table: _Table, n: int) -> float:
    """Entries in the best one-to-one match of groups and people, of all entries; found in each part by itself."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_groups, nodes = len(table.groups), len(table.groups) + len(table.people)
    edges = coo_array((table.count, (table.group, n_groups + table.person)), shape=(nodes, nodes))
    part_of = connected_components(edges, directed=False)[1][table.group]
    order = np.argsort(part_of, kind="stable")
    matched = 0
    for cells in np.split(order, np.flatnonzero(np.diff(part_of[order])) + 1):
        _, rows = np.unique(table.group[cells], return_inverse=True)
        _, columns = np.unique(table.person[cells], return_inverse=True)
        dense = np.zeros((rows.max() + 1, columns.max() + 1))
        dense[rows, columns] = table.count[cells]
        matched += int(dense[linear_sum_assignment(dense, maximize=True)].sum())
    return matched / n


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
