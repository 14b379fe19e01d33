"""k-reciprocal re-ranking as it reads, with sets and dense rows of all n vectors, in fp64."""

from __future__ import annotations

import math


def rerank(vectors, n_query, k1, k2, lambda_value):
    """Final distances (q g) of unit vectors, queries first."""
    n = len(vectors)
    d = [[sum((a - b) ** 2 for a, b in zip(p, x, strict=True)) for x in vectors] for p in vectors]
    return rerank_distances(d, n_query, k1, k2, lambda_value) if n else []


def rerank_distances(d, n_query, k1, k2, lambda_value):
    """The same from all squared distances (n n)."""
    n = len(d)
    d = [[float(x) / (float(max(row)) or 1.0) for x in row] for row in d]

    def N(p, k):
        others = sorted((x for x in range(n) if x != p), key=lambda x: (d[p][x], x))
        return [p, *others[:k]]

    nearest = {k: [N(p, k) for p in range(n)] for k in {k1, round(k1 / 2), k2 - 1}}

    def R(p, k):
        return {x for x in nearest[k][p] if p in nearest[k][x]}

    V = []
    for p in range(n):
        R_star = set(R(p, k1))
        for q in R(p, k1):
            theirs = R(q, round(k1 / 2))
            if len(R(p, k1) & theirs) > 2 / 3 * len(theirs):
                R_star |= theirs
        row = [math.exp(-d[p][x]) if x in R_star else 0.0 for x in range(n)]
        V.append([value / sum(row) for value in row])
    if k2 > 1:
        V = [[sum(V[x][column] for x in nearest[k2 - 1][p]) / k2 for column in range(n)] for p in range(n)]

    def d_J(p, g):
        smaller = sum(min(a, b) for a, b in zip(V[p], V[g], strict=True))
        larger = sum(max(a, b) for a, b in zip(V[p], V[g], strict=True))
        return 1 - smaller / larger

    return [
        [(1 - lambda_value) * d_J(p, g) + lambda_value * d[p][g] for g in range(n_query, n)] for p in range(n_query)
    ]
