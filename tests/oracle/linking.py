"""Average linkage by its definition: before each merge the mean over all pairs of all pairs of groups."""

from __future__ import annotations

import math


def link(ratio, groups, barred, margin, log_prior_odds):
    """The groups (lists of entries) at the end; ratio[i][j], barred: set of (i, j) of entries, i < j.

    log_prior_odds None: every number of people is tried, from the fewest, with the prior odds of that number.
    """
    everything = merges(ratio, groups, barred)
    for n in range(len(everything), 0, -1):
        odds = -math.log(len(groups) - n) if log_prior_odds is None else log_prior_odds
        if everything[n - 1][0] + odds >= margin:
            return everything[n - 1][1]
    return sorted(sorted(group) for group in groups)


def merges(ratio, groups, barred):
    """(mean, groups after it) of each merge until none is permitted."""
    groups = [sorted(group) for group in groups]
    first = {min(group): place for place, group in enumerate(groups)}  # ties: by the place of the groups as given
    key = {tuple(group): place for place, group in enumerate(groups)}
    assert len(first) == len(groups)
    found = []
    while True:
        best = None
        for a in groups:
            for b in groups:
                if key[tuple(a)] >= key[tuple(b)]:
                    continue
                pairs = [(min(i, j), max(i, j)) for i in a for j in b]
                if any(pair in barred for pair in pairs):
                    continue
                mean = math.fsum(ratio[i][j] for i, j in pairs) / len(pairs)
                if best is None or (-mean, key[tuple(a)], key[tuple(b)]) < best[0]:
                    best = (-mean, key[tuple(a)], key[tuple(b)]), a, b
        if best is None:
            return found
        (mean, place, _), a, b = best
        both = sorted([*a, *b])
        groups = [group for group in groups if group is not a and group is not b] + [both]
        key[tuple(both)] = place
        found.append((-mean, sorted(groups)))
