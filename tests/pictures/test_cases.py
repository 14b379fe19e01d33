"""The cases shown follow the stated rule; the worst people are the worst."""

from __future__ import annotations

import numpy as np

from duskmatch.evaluation import score_distances
from duskmatch.pictures.cases import shown_cases, worst_people


def scores_of(precisions_by_pid):
    """One query for each (pid, rank of its only match), among 100 gallery entries."""
    pids = np.array([pid for pid, _ in precisions_by_pid])
    dist = np.tile(np.arange(100, dtype=np.float64) + 1.5, (len(pids), 1))
    gallery = np.full(100 + 50, 999)
    gallery[100:] = np.arange(50)
    dist = np.concatenate([dist, np.full((len(pids), 50), 500.0) + np.arange(50)], axis=1)
    for q, (pid, rank) in enumerate(precisions_by_pid):
        dist[q, 100 + pid] = rank
    zeros = np.zeros(len(pids), np.int64)
    return score_distances(dist, pids, zeros, gallery, np.zeros(150, np.int64), camera_rule="none")


def test_a_quarter_good_half_typical_a_quarter_bad():
    scores = scores_of([(pid, 1 + pid) for pid in range(20)])  # query 0 is best, 19 worst
    assert shown_cases(scores, 8) == {"good": [0, 1], "typical": [8, 9, 10, 11], "bad": [18, 19]}


def test_no_person_twice_while_others_are_left():
    scores = scores_of([(0, 1), (0, 1), (0, 2), (1, 5), (2, 7), (3, 50), (3, 60), (3, 70)])
    chosen = [row for rows in shown_cases(scores, 4).values() for row in rows]
    assert sorted(scores.query_pids[chosen].tolist()) == [0, 1, 2, 3]
    best_are_one_person = scores_of([(0, 1 + i) for i in range(4)] + [(pid, 10 * pid) for pid in range(1, 7)])
    assert shown_cases(best_are_one_person, 8)["good"] == [0, 4]
    everyone = [row for rows in shown_cases(scores, 8).values() for row in rows]
    assert sorted(everyone) == list(range(8))


def test_few_queries_are_all_shown_once():
    scores = scores_of([(0, 1), (1, 2)])
    assert [row for rows in shown_cases(scores, 8).values() for row in rows] == [0, 1]


def test_the_worst_people_by_mean_over_both_directions(evaluation):
    worst = worst_people(evaluation, 3)
    means = {}
    for scores in evaluation.scores.values():
        for pid, precision, first in zip(scores.query_pids, scores.average_precision, scores.first_hit, strict=True):
            means.setdefault(int(pid), []).append((precision, first == 1))
    expected = sorted((np.mean([p for p, _ in rows]), pid) for pid, rows in means.items())[:3]
    assert [pid for pid, *_ in worst] == [pid for _, pid in expected]
    pid, precision, rank1, count = worst[0]
    assert precision == np.mean([p for p, _ in means[pid]]) and count == len(means[pid]) == 6
    assert rank1 == np.mean([first for _, first in means[pid]])
