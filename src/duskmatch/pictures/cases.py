"""The choice of the queries and people that a report shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from duskmatch.evaluation import Evaluation
from duskmatch.records import DIRECTIONS, Scores

RULE = (
    "Chosen by average precision among the scored queries: a quarter from the best, half from around the median, a "
    "quarter from the worst; no person twice while others are left; equal ones by row."
)


def shown_cases(scores: Scores, n: int = 8) -> dict[str, list[int]]:
    """Query rows by kind: good, typical, bad."""
    order = np.argsort(-scores.average_precision, kind="stable")  # positions among the scored, best first
    n = min(n, len(order))
    n_good = n_bad = n // 4
    taken: set[int] = set()
    good = distinct(order, n_good, scores, taken)
    bad = distinct(order[::-1], n_bad, scores, taken)
    from_median = order[np.argsort(np.abs(np.arange(len(order)) - (len(order) - 1) / 2), kind="stable")]
    typical = distinct(from_median, n - n_good - n_bad, scores, taken)
    by_precision = sorted(typical, key=lambda i: -scores.average_precision[i])
    kinds = {"good": good, "typical": by_precision, "bad": bad[::-1]}
    return {kind: [int(scores.scored[i]) for i in chosen] for kind, chosen in kinds.items() if chosen}


def worst_people(evaluation: Evaluation, n: int = 8) -> list[tuple[int, float, float, int]]:
    """(pid, mAP, rank-1, number of queries) of the people with the lowest mAP over both directions, worst first."""
    scores = [evaluation.scores[direction] for direction in DIRECTIONS]
    pids = np.concatenate([s.query_pids for s in scores])
    precision = np.concatenate([s.average_precision for s in scores])
    first = np.concatenate([s.first_hit == 1 for s in scores])
    people, whose = np.unique(pids, return_inverse=True)
    counts = np.bincount(whose)
    means, rank1 = (np.bincount(whose, weights=v.astype(float)) / counts for v in (precision, first))
    order = np.lexsort((people, means))[:n]
    return [(int(people[i]), float(means[i]), float(rank1[i]), int(counts[i])) for i in order]


def distinct(order: Sequence[int] | np.ndarray, n: int, scores: Scores, taken: set[int]) -> list[int]:
    """The first n positions of `order`, each of a new person as long as there are any; adds them to `taken`."""
    chosen: list[int] = []
    people = {int(scores.query_pids[i]) for i in taken}
    for fresh_only in (True, False):
        for i in map(int, order):
            if len(chosen) == n:
                break
            pid = int(scores.query_pids[i])
            if i in taken or (fresh_only and pid in people):
                continue
            chosen.append(i)
            taken.add(i)
            people.add(pid)
    return chosen
