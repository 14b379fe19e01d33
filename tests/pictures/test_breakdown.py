"""Groups by view and camera against figures worked out one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.evaluation import evaluate_dataset, evaluate_embeddings, score
from duskmatch.pictures.breakdown import VIEW_BINS, Group, by_cameras, by_view, cmc, pairs_of, same_modality
from duskmatch.pictures.tables import camera_table
from duskmatch.records import DIRECTIONS, Embeddings
from tests.evaluation.people import FakeEmbedder, make_people


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_groups_by_view_hold_the_pairs_whose_views_differ_so(evaluation, people, direction):
    walks = people.walks()
    groups = by_view(evaluation, direction, pairs_of(evaluation, direction), walks)
    query, gallery = evaluation.query[direction], evaluation.gallery[direction]
    found = {}
    for q, seen in enumerate(query.tracklets):
        sims = gallery.embeddings.vectors @ query.embeddings.vectors[q]
        sims /= np.linalg.norm(gallery.embeddings.vectors, axis=1)
        strangers = [s for s, t in zip(sims, gallery.tracklets, strict=True) if t.pid != seen.pid]
        for s, t in zip(sims, gallery.tracklets, strict=True):
            if t.pid != seen.pid or t.camid == seen.camid:
                continue
            views = [float(walks[x.tracklet_id]["view_degrees"]) for x in (seen, t)]
            turn = abs(views[0] - views[1]) % 360
            turn = min(turn, 360 - turn)
            place = min(int(turn // 30), len(VIEW_BINS) - 2)
            rank = 1 + sum(x > s for x in strangers)
            found.setdefault(place, {}).setdefault(q, []).append(rank)
    assert [g.name for g in groups] == [f"{30 * b} to {30 * b + 30}°" for b in sorted(found)]
    for g, place in zip(groups, sorted(found), strict=True):
        firsts = [min(ranks) for ranks in found[place].values()]
        assert g.n_queries == len(firsts)
        np.testing.assert_allclose(g.cmc, [np.mean(np.array(firsts) <= k) for k in range(1, 21)])


def test_camera_pairs_cover_all_but_the_same_camera(evaluation):
    groups = by_cameras(evaluation, "infrared_to_visible", pairs_of(evaluation, "infrared_to_visible"))
    assert set(groups) == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    assert all(g.n_queries == 8 for g in groups.values())


def test_one_camera_pair_equals_a_score_of_those_cameras_and_strangers(evaluation):
    direction = "infrared_to_visible"
    group = by_cameras(evaluation, direction, pairs_of(evaluation, direction))[1, 2]
    query, gallery = evaluation.query[direction].embeddings, evaluation.gallery[direction].embeddings
    firsts = []
    for q in np.flatnonzero(query.camids == 1):
        keep = (gallery.pids != query.pids[q]) | (gallery.camids == 2)
        firsts.append(int(score(query.take([q]), gallery.take(keep)).first_hit[0]))
    np.testing.assert_allclose(group.cmc, cmc(np.array(firsts)))


def test_no_views_no_groups(evaluation):
    pairs = pairs_of(evaluation, "infrared_to_visible")
    assert by_view(evaluation, "infrared_to_visible", pairs, {}) == []


def test_within_one_modality_the_query_never_finds_itself(evaluation):
    found = same_modality(evaluation)
    visible = evaluation.query["visible_to_infrared"].embeddings
    assert found["visible"].rank1 == score(visible, visible).rank1
    assert found["visible"].chance < 0.2


def test_within_one_modality_of_one_camera_says_why_not():
    side = Embeddings(np.eye(3), np.arange(3), np.zeros(3, np.int64), "infrared")
    other = Embeddings(np.eye(3), np.arange(3), np.ones(3, np.int64), "visible")
    found = same_modality(evaluate_embeddings(side, other, camera_rule="none"))
    assert found == dict.fromkeys(("visible", "infrared"), "nobody is seen by two cameras in this modality")


def test_an_evaluation_of_validation_people_works_too(people, tmp_path):
    made = make_people(tmp_path, n_people=2)
    evaluation = evaluate_dataset(FakeEmbedder().embed, made, split="validation", camera_rule="none")
    assert len(pairs_of(evaluation, "visible_to_infrared").query) == 2 * 9


def test_many_cameras_are_cut_off_and_it_is_said():
    groups = {(a, b): Group("", 3, np.full(20, 0.5)) for a in range(20) for b in range(20) if a != b}
    made = camera_table("infrared_to_visible", groups)
    assert made.count("<tr>") == 1 + 16 and "(4 more cameras are not shown)" in made
    few = camera_table("infrared_to_visible", {k: g for k, g in groups.items() if max(k) < 3})
    assert "not shown" not in few and few.count("50.0") == 6
