"""Scores of some matches only, against the literal loop with the other matches taken out of the gallery."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.evaluation import first_hits, match_pairs, score
from duskmatch.records import Embeddings
from tests.oracle import metrics as oracle


@pytest.mark.parametrize("rule", ["none", "same-pid-same-camera"])
@pytest.mark.parametrize("ties", [False, True])
def test_one_group_scores_as_if_the_other_matches_were_not_there(rule, ties):
    rng = np.random.default_rng(4)
    axes = np.vstack([np.eye(3), -np.eye(3)])

    def side(n):
        vectors = axes[rng.integers(0, 6, n)] if ties else rng.standard_normal((n, 3))
        return Embeddings(vectors.astype(np.float32), rng.integers(0, 5, n), rng.integers(1, 4, n), "visible")

    query, gallery = side(25), side(70)
    pairs = match_pairs(query, gallery, camera_rule=rule)
    for camid in (1, 2, 3):
        rows, first = first_hits(pairs, gallery.camids[pairs.gallery] == camid)
        expected = {}
        for q in range(25):
            keep = (gallery.pids != query.pids[q]) | (gallery.camids == camid)
            dist = -(query.vectors[q : q + 1].astype(np.float64) @ gallery.vectors[keep].T.astype(np.float64))
            lengths = np.linalg.norm(gallery.vectors[keep].astype(np.float64), axis=1)
            one = oracle.evaluate(
                dist / lengths, query.pids[q : q + 1], query.camids[q : q + 1],
                gallery.pids[keep], gallery.camids[keep], rule,
            )  # fmt: skip
            if len(one["first_hit"]):
                expected[q] = int(one["first_hit"][0])
        assert dict(zip(rows.tolist(), first.tolist(), strict=True)) == expected


def test_all_pairs_together_give_the_scores_first_hits():
    rng = np.random.default_rng(5)
    query = Embeddings(rng.standard_normal((40, 6)), rng.integers(0, 7, 40), rng.integers(0, 3, 40), "infrared")
    gallery = Embeddings(rng.standard_normal((50, 6)), rng.integers(0, 7, 50), rng.integers(0, 3, 50), "visible")
    pairs = match_pairs(query, gallery, camera_rule="same-pid-same-camera")
    rows, first = first_hits(pairs, np.ones(len(pairs.query), bool))
    scores = score(query, gallery)
    assert rows.tolist() == scores.scored.tolist() and first.tolist() == scores.first_hit.tolist()
