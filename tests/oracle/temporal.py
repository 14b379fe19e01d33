"""Temporal re-ranking as it reads: lists and loops, in fp64."""

from __future__ import annotations

import math

from tests.oracle.reranking import rerank_distances


def rerank(query, gallery, k1, k2, plain_weight, halves_weight):
    """Final distances (q g); either side is (whole, first half, second half), lists of unit vectors."""
    (q_whole, q_first, q_second), (g_whole, g_first, g_second) = query, gallery
    jaccard = {
        (1 - plain_weight, "whole"): J(q_whole, g_whole, k1, k2),
        (halves_weight, "first to second"): J(q_first, g_second, k1, k2),
        (halves_weight, "second to first"): J(q_second, g_first, k1, k2),
    }
    return [
        [
            plain_weight * euclidean(q_whole[q], g_whole[g])
            + sum(weight * found[q][g] for (weight, _), found in jaccard.items())
            for g in range(len(g_whole))
        ]
        for q in range(len(q_whole))
    ]


def J(query, gallery, k1, k2):
    everyone = [*query, *gallery]
    d = [[euclidean(a, b) for b in everyone] for a in everyone]
    return rerank_distances(d, len(query), k1, k2, lambda_value=0.0)


def euclidean(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
