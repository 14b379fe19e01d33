"""Calibration as loops: pooled violators one merge at a time, every pair enumerated, every bin filled by hand."""

from __future__ import annotations

import math


def shares(similarity_same, pids_same, similarity_others, weights_others):
    """(similarity, share of matching pairs, share of others) at each similarity, ascending; people weigh alike."""
    table = {}
    pids = list(pids_same)
    n_people = len(set(pids))
    for s, pid in zip(similarity_same, pids, strict=True):
        table.setdefault(float(s), [0.0, 0.0])[0] += 1 / pids.count(pid) / n_people
    for s, w in zip(similarity_others, weights_others, strict=True):
        table.setdefault(float(s), [0.0, 0.0])[1] += w / sum(weights_others)
    return [(s, *table[s]) for s in sorted(table)]


def bounds(table, n_same_people, n_pairs):
    least, largest = 0.0, 0.0
    for threshold, _, _ in table:
        same = sum(a for s, a, _ in table if s >= threshold)
        others = sum(b for s, _, b in table if s >= threshold)
        largest = max(largest, math.log(same / max(others, 3 / n_pairs)) if same else -math.inf)
        same = sum(a for s, a, _ in table if s <= threshold)
        others = sum(b for s, _, b in table if s <= threshold)
        if others:
            least = min(least, math.log(max(same, 3 / n_same_people) / others))
    return least, largest


def isotonic(table, least, largest):
    """Knots (similarity, log ratio): neighbours are pooled for as long as the share of matching pairs falls."""
    blocks = [[a, b, (a + b) * s] for s, a, b in table]
    while True:
        falls = [
            i
            for i in range(len(blocks) - 1)
            if blocks[i][0] * (blocks[i + 1][0] + blocks[i + 1][1])
            >= blocks[i + 1][0] * (blocks[i][0] + blocks[i][1]) - 1e-15
        ]
        if not falls:
            break
        i = falls[0]
        blocks[i : i + 2] = [[x + y for x, y in zip(blocks[i], blocks[i + 1], strict=True)]]
    knots = []
    for same, others, moment in blocks:
        ratio = math.inf if not others else math.log(same / others) if same else -math.inf
        knots.append((moment / (same + others), min(max(ratio, least), largest)))
    return knots


def platt(table, n_same_people, n_pairs, steps=60):
    """(log ratio at similarity 0, slope) of logistic regression on Platt's targets, by Newton's method."""
    rows = []
    for s, a, b in table:
        wanted = (a * (n_same_people + 1) / (n_same_people + 2) + b / (n_pairs + 2)) / (a + b)
        rows.append((s, wanted, a + b))
    start, slope = 0.0, 0.0
    for _ in range(steps):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for s, wanted, weight in rows:
            p = 1 / (1 + math.exp(-(start + slope * s)))
            g0, g1 = g0 + weight * (p - wanted), g1 + weight * (p - wanted) * s
            curve = weight * p * (1 - p)
            h00, h01, h11 = h00 + curve, h01 + curve * s, h11 + curve * s * s
        determinant = h00 * h11 - h01 * h01
        start -= (h11 * g0 - h01 * g1) / determinant
        slope -= (h00 * g1 - h01 * g0) / determinant
    return start, slope


def pairs(vectors, pids, camids, modalities, a, b, camera_rule):
    """(similarity, pid) of matching pairs and (similarity, weight) of others between two modalities, each pair once."""
    same, others = [], []
    sides = {a: {}, b: {}}
    for i, pid in enumerate(pids):
        if pid >= 0 and modalities[i] in sides:
            sides[modalities[i]][pid] = sides[modalities[i]].get(pid, 0) + 1
    for i, p in enumerate(pids):
        for j, q in enumerate(pids):
            if p < 0 or q < 0 or (modalities[i], modalities[j]) != (a, b) or (a == b and j <= i):
                continue
            cosine = sum(x * y for x, y in zip(vectors[i], vectors[j], strict=True))
            cosine /= math.sqrt(sum(x * x for x in vectors[i]) * sum(y * y for y in vectors[j]))
            if p != q:
                others.append((cosine, 1 / (sides[a][p] * sides[b][q])))
            elif camera_rule == "none" or camids[i] != camids[j] or camids[i] == -1:
                same.append((cosine, p))
    return same, others


def calibration_error(probability, same, weights, bins):
    """Pairs in order of probability, each whole tie in the bin where its middle lies."""
    groups = {}
    for p, y, w in zip(probability, same, weights, strict=True):
        groups.setdefault(float(p), []).append((p, y, w))
    total, before = sum(weights), 0.0
    filled = [[] for _ in range(bins)]
    for p in sorted(groups):
        weight = sum(w for _, _, w in groups[p])
        filled[min(int(bins * (before + weight / 2) / total), bins - 1)] += groups[p]
        before += weight
    error = 0.0
    for rows in filled:
        if rows and (weight := sum(w for _, _, w in rows)):
            promised, true = sum(p * w for p, _, w in rows) / weight, sum(y * w for _, y, w in rows) / weight
            error += weight / total * abs(promised - true)
    return error


def brier(probability, same, weights):
    rows = list(zip(probability, same, weights, strict=True))
    return sum(w * (p - y) ** 2 for p, y, w in rows) / sum(weights)


def log_loss(probability, same, weights):
    rows = list(zip(probability, same, weights, strict=True))
    return sum(-w * math.log(p if y else 1 - p) for p, y, w in rows) / sum(weights)
