"""Scores of a grouping by their definitions: loops over entries, pairs and one-to-one matches."""

from __future__ import annotations

import math
from itertools import combinations, permutations


def pairs(groups, pids):
    """(precision, recall, F1) of pairs put together."""
    both = claimed = true = 0
    for i, j in combinations(range(len(pids)), 2):
        claimed += groups[i] == groups[j]
        true += pids[i] == pids[j]
        both += groups[i] == groups[j] and pids[i] == pids[j]
    precision = both / claimed if claimed else math.nan
    recall = both / true if true else math.nan
    return precision, recall, 2 * both / (claimed + true) if claimed + true else math.nan


def bcubed(groups, pids):
    precision = recall = 0.0
    n = len(pids)
    for i in range(n):
        group = [j for j in range(n) if groups[j] == groups[i]]
        person = [j for j in range(n) if pids[j] == pids[i]]
        both = len(set(group) & set(person))
        precision += both / len(group) / n
        recall += both / len(person) / n
    return precision, recall, 2 * precision * recall / (precision + recall)


def over_merged(groups, pids):
    """The share of groups with more than one person; the share of people in more than one group is this, turned."""
    found = [len({p for h, p in zip(groups, pids, strict=True) if h == g}) > 1 for g in set(groups)]
    return sum(found) / len(found)


def idf1(groups, pids):
    """2 IDTP / (2 IDTP + IDFP + IDFN), every one-to-one match tried; each entry is a detection that is found."""
    found, true = sorted(set(groups)), sorted(set(pids))
    slots = found + [None] * max(0, len(true) - len(found))
    best = 0
    for chosen in permutations(slots, len(true)):
        match = dict(zip(true, chosen, strict=True))
        best = max(best, sum(match[p] == g for g, p in zip(groups, pids, strict=True)))
    n = len(pids)
    return 2 * best / (2 * best + (n - best) + (n - best))
