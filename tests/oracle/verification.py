"""Error rates of verification and of open-set search by their definitions: every pair, every threshold, every draw."""

from __future__ import annotations

import math

import numpy as np


def pairs(level, query_pids, query_camids, gallery_pids, gallery_camids, camera_rule):
    """(level, query's person, gallery's person) of every pair that counts."""
    found = []
    for i, (p, c) in enumerate(zip(query_pids, query_camids, strict=True)):
        for j, (pid, camid) in enumerate(zip(gallery_pids, gallery_camids, strict=True)):
            if p < 0 or pid < 0:
                continue
            if camera_rule == "same-pid-same-camera" and p == pid and c == camid and c != -1:
                continue
            if camera_rule == "camera-3-skips-camera-2" and (c, camid) in ((3, 2), (2, 3)):
                continue
            found.append((int(level[i][j]), int(p), int(pid)))
    return found


def rates(found, weight=lambda p, q: 1.0):
    """[(threshold, FAR, FRR)] at each level that occurs and above all, ascending: from accepting all, pair by pair."""
    rows = sorted((level, weight(p, q), p == q) for level, p, q in found)
    n_same, n_others = (sum(w for _, w, same in rows if same is kind) for kind in (True, False))
    accepted, rejected, table = n_others, 0.0, []
    for place, (level, w, same) in enumerate(rows):
        if place == 0 or level != rows[place - 1][0]:
            table.append((level, accepted / n_others, rejected / n_same))
        accepted, rejected = (accepted, rejected + w) if same else (accepted - w, rejected)
    return [*table, (rows[-1][0] + 1, 0.0, 1.0)]


def tar(table, far):
    """TAR at the least threshold whose FAR is at most `far`."""
    return next(1 - frr for _, found, frr in table if found <= far + 1e-12)


def equal_error(table):
    """Where the straight line between two thresholds crosses FAR = FRR; below every threshold all are accepted."""
    before = (1.0, 0.0)
    for _, far, frr in table:
        if far <= frr:
            a, b = before[0] - before[1], far - frr
            return before[0] + a / (a - b) * (far - before[0])
        before = far, frr
    raise AssertionError("the last threshold accepts nobody")


def draw_weight(draw, pids):
    """The weight of a pair in a draw of people: m + n - 1 for two people, m for one."""
    times = {int(pid): int(m) for pid, m in zip(pids, draw, strict=True)}
    return lambda p, q: times[p] if p == q else times[p] + times[q] - 1


def searches(level, query_pids, query_camids, gallery_pids, gallery_camids, camera_rule):
    """(level of the best own entry or None, level of the best of others or None, pid) of each known query."""
    found = []
    for i, p in enumerate(query_pids):
        if p < 0:
            continue
        row = pairs(level[i : i + 1], [p], query_camids[i : i + 1], gallery_pids, gallery_camids, camera_rule)
        own = [s for s, _, pid in row if pid == p]
        others = [s for s, _, pid in row if pid != p]
        found.append((max(own, default=None), max(others, default=None), int(p)))
    return found


def open_set(found, fpir):
    """(FNIR, identified at rank 1) at the least threshold whose FPIR is at most `fpir`."""
    alarms = [-math.inf if other is None else other for _, other, _ in found]
    thresholds = sorted({0, *(other + 1 for other in alarms if other > -math.inf)})
    in_order = np.sort(alarms)
    n_alarms = {t: len(alarms) - int(np.searchsorted(in_order, t)) for t in thresholds}  # at or above each
    threshold = next(t for t in thresholds if n_alarms[t] / len(alarms) <= fpir + 1e-12)
    mated = [(own, -math.inf if other is None else other) for own, other, _ in found if own is not None]
    missed = sum(own < threshold for own, _ in mated) / len(mated)
    first = sum(own >= threshold and own > other for own, other in mated) / len(mated)
    return missed, first


def auc(found):
    same = [s for s, p, q in found if p == q]
    others = [s for s, p, q in found if p != q]
    return float(np.mean([np.mean([(s > o) + (s == o) / 2 for o in others]) for s in same]))
