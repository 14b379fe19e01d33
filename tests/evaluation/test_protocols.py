"""Protocols as data: further pairs, trials, the camera rule of places, CMC of each person's first entry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation import (
    dataset_facts,
    evaluate_dataset,
    rank_distances,
    read_scores,
    score_distances,
    scores_document,
    scores_in_words,
)
from duskmatch.evaluation.identities import IdentityRanks
from duskmatch.evaluation.separation import separation
from duskmatch.evaluation.words import percent
from duskmatch.records import CAMERA_RULES, HITSZ_VCM, Embeddings, Protocol, ScoredPair
from tests.evaluation.people import FakeEmbedder, Pair, make_people
from tests.oracle import metrics as oracle


@pytest.mark.parametrize("camera_rule", CAMERA_RULES)
@pytest.mark.parametrize("cmc", ["entries", "identities"])
@pytest.mark.parametrize("levels", [3, 8, 10_000])  # few levels: many ties
def test_every_rule_and_counting_against_the_slow_list(camera_rule, cmc, levels):
    rng = np.random.default_rng(levels)
    for _ in range(6):
        q, g = 17, 40
        labels = rng.integers(1, 7, q), rng.integers(1, 4, q), rng.integers(1, 9, g), rng.integers(1, 4, g)
        labels[0][:2] = labels[2][:5] = -1  # unknown queries, and junk in the gallery
        dist = rng.integers(0, levels, (q, g)).astype(np.float32)
        expected = oracle.evaluate(dist, *labels, camera_rule, cmc)
        found = score_distances(dist, *labels, camera_rule=camera_rule, cmc=cmc)
        np.testing.assert_array_equal(found.first_hit, expected["first_hit"])
        np.testing.assert_allclose(found.cmc, expected["cmc"], atol=1e-12)
        for name in ("mean_average_precision", "mean_inp", "chance"):
            assert getattr(found, name) == pytest.approx(expected[name], abs=1e-12)
        assert found.left_out.tolist() == expected["left_out"] and found.n_ties == expected["n_ties"]


def test_first_entries_by_hand():
    """Entries in order: 7 7 8 5 5 7. Person 5 stands at place 4 of the list and is the third person on it."""
    dist = np.arange(6, dtype=np.float32)[None]
    pids, ones = np.array([7, 7, 8, 5, 5, 7]), np.ones(6, np.int64)
    labels = np.array([5]), np.array([9]), pids, ones
    entries, identities = (score_distances(dist, *labels, camera_rule="none", cmc=c) for c in ("entries", "identities"))
    assert (entries.first_hit[0], identities.first_hit[0]) == (4, 3)
    assert entries.mean_average_precision == identities.mean_average_precision == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert entries.mean_inp == identities.mean_inp == 2 / 5  # of the full list either way


def test_a_place_with_two_cameras_by_hand():
    """The query is from camera 3: both entries of camera 2 go, whoever they show; the stranger of camera 1 is first."""
    dist = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    labels = np.array([5]), np.array([3]), np.array([5, 8, 8, 5]), np.array([2, 2, 1, 4])
    found = score_distances(dist, *labels, camera_rule="camera-3-skips-camera-2")
    assert found.first_hit[0] == 2 and found.mean_average_precision == 0.5 and found.chance == 0.5
    other = score_distances(dist, labels[0], np.array([6]), *labels[2:], camera_rule="camera-3-skips-camera-2")
    assert other.first_hit[0] == 1  # camera 6 looks elsewhere: nothing is removed
    query, gallery = (
        Embeddings(np.ones((len(p), 2)), p, c, "visible") for p, c in (labels[:2], labels[2:])
    )  # fmt: skip
    ranking = rank_distances(dist, query, gallery, camera_rule="camera-3-skips-camera-2", k=4)
    assert ranking.indices.tolist() == [[2, 3, -1, -1]]
    apart = separation(query, gallery, camera_rule="camera-3-skips-camera-2")
    assert (apart.n_same, apart.n_others) == (1, 1)


def test_equal_distances_go_by_the_gallery_s_order():
    ranks = IdentityRanks(np.array([3, 1, 2, 1]))
    dist = np.array([[1, 1, 1, 0]], np.float32)
    assert [int(ranks.first_hits(dist, np.array([pid]))[0]) for pid in (1, 3, 2)] == [1, 2, 3]


def test_the_order_of_the_gallery_s_people_does_not_matter():
    rng = np.random.default_rng(0)
    dist, gallery = rng.random((5, 30)).astype(np.float32), rng.integers(1, 6, 30)
    labels, ones = np.arange(1, 6), np.ones(30, np.int64)
    order = rng.permutation(30)
    first = [
        score_distances(d, labels, labels, g, ones, camera_rule="none", cmc="identities").first_hit.tolist()
        for d, g in ((dist, gallery), (dist[:, order], gallery[order]))
    ]
    assert first[0] == first[1]


def test_what_is_unknown_is_refused():
    rule = r"^protocol HITSZ-VCM .*: camera rule and counting must be known; got "
    with pytest.raises(DataError, match=rule + "same-pid-same-camera, people$"):
        replace(HITSZ_VCM, cmc="people")
    with pytest.raises(DataError, match=rule + "camera, entries$"):
        replace(HITSZ_VCM, camera_rule="camera")
    with pytest.raises(
        DataError, match=r"^protocol HITSZ-VCM .*: pairs must hold both directions, each once; got \['inf"
    ):
        replace(HITSZ_VCM, pairs=HITSZ_VCM.pairs[:1])
    with pytest.raises(DataError, match=r"trials must be numbers, each once; got \(1, 1\)$"):
        replace(HITSZ_VCM, trials=(1, 1))


def test_a_rule_that_leaves_no_match_says_which_and_what_to_change():
    labels = np.array([5]), np.array([3]), np.array([5, 8]), np.array([2, 1])
    with pytest.raises(EvaluationError) as caught:
        score_distances(np.zeros((1, 2), np.float32), *labels, camera_rule="camera-3-skips-camera-2")
    assert str(caught.value) == (
        "no query has a match left: 1 of 1 queries had some, and the camera rule camera-3-skips-camera-2 removed them "
        "all, since each is from its query's place; use --camera-rule none if you have only one camera"
    )


PAIRS = (
    *HITSZ_VCM.pairs,
    ScoredPair("visible_to_visible", "visible ones from camera 1", "visible ones from other cameras"),
    ScoredPair("omni", "all from camera 1", "all from other cameras", published=False),
)
DRAWN = Protocol(
    "a set with draws", "standard", PAIRS, "none", "identities", (0, 1, 2), "one camera left out", False, 1
)


class Many:
    """People scored in four pairs and three trials, each of which leaves another gallery camera out."""

    def __init__(self, people, protocol=DRAWN):
        self.people, self.protocol = people, protocol
        self.name, self.version, self.fingerprint, self.synthetic = "Many", "", "ef" * 32, False

    def pair(self, name, split="test", trial=0):
        if name in ("infrared_to_visible", "visible_to_infrared"):
            query, gallery = self.people.pair(name, split)
        else:
            chosen = [t for t in self.people.test if name == "omni" or t.modality == "visible"]
            query, gallery = [t for t in chosen if t.camid == 1], [t for t in chosen if t.camid != 1]
        left = 3 if trial == 2 else 2
        return Pair(query, gallery if trial == 0 else [t for t in gallery if t.camid != left])


@pytest.fixture
def many():
    return Many(make_people(Path("nowhere")))


def test_every_pair_and_trial_is_scored_and_trials_are_averaged(many):
    evaluation = evaluate_dataset(FakeEmbedder(noise=3).embed, many)
    assert list(evaluation.scores) == [pair.name for pair in PAIRS]
    for name, trials in evaluation.trials.items():
        assert len(trials) == 3
        for trial, scores in enumerate(trials):
            query, gallery = many.pair(name, trial=trial)
            assert (scores.n_queries, scores.n_gallery) == (len(query), len(gallery))
        mean = evaluation.scores[name]
        assert mean.rank1 == pytest.approx(np.mean([scores.rank1 for scores in trials]))
        assert mean.mean_average_precision == pytest.approx(np.mean([s.mean_average_precision for s in trials]))
        assert mean.cmc[-1] == 1 and len(evaluation.query[name].tracklets) == trials[0].n_queries
    assert len({s.mean_average_precision for s in evaluation.trials["infrared_to_visible"]}) > 1


def test_pairs_from_which_public_code_removes_something_else_are_scored_both_ways(many):
    there, back, *_ = DRAWN.pairs
    rule = "same-pid-same-camera"
    protocol = replace(DRAWN, camera_rule=rule, pairs=(there, replace(back, public_rule="none")))
    evaluation = evaluate_dataset(FakeEmbedder(noise=3).embed, Many(many.people, protocol))
    public = evaluate_dataset(FakeEmbedder(noise=3).embed, Many(many.people), camera_rule="none")
    facts = dataset_facts(many, evaluation)
    document = scores_document(evaluation, facts, synthetic=False, untrained=evaluation)
    assert list(document["public_code"]) == list(document["untrained"]["public_code"]) == ["visible_to_infrared"]
    expected = scores_document(public, facts, synthetic=False)["visible_to_infrared"]
    assert document["public_code"]["visible_to_infrared"] == expected != document["visible_to_infrared"]
    words = scores_in_words(document).splitlines()
    row = next(i for i, line in enumerate(words) if line.startswith("visible → infrared"))
    assert words[row + 1].startswith("  before training") and words[row + 2].startswith("  as public code")
    assert percent(expected["rank1"]) in words[row + 2]
    said = "visible → infrared, as public code: removed: nothing; in the line above it, entries of the query's person"
    assert any(line.startswith(said) for line in words)


def test_a_score_carries_its_protocol(many, tmp_path):
    evaluation = evaluate_dataset(FakeEmbedder(noise=3).embed, many)
    facts = dataset_facts(many, evaluation)
    document = scores_document(evaluation, facts, synthetic=False, untrained=evaluation)
    protocol = document["protocol"]
    assert protocol["cmc"] == "identities" and protocol["camera_rule"] == "none" and protocol["removed"] == "nothing"
    assert protocol["trials"] == [0, 1, 2] and protocol["trial_definition"] == "one camera left out"
    assert protocol["pairs"]["omni"] == {"query": "all from camera 1", "gallery": "all from other cameras",
                                         "published": False}  # fmt: skip
    assert set(document["pairs"]) == set(document["untrained"]["pairs"]) == {"visible_to_visible", "omni"}
    of_trials = document["trials"]["omni"]
    assert [one["trial"] for one in of_trials] == [0, 1, 2]
    assert document["pairs"]["omni"]["mAP"] == pytest.approx(np.mean([one["mAP"] for one in of_trials]))
    for scores in (document["infrared_to_visible"], document["pairs"]["omni"]):
        low, high = scores["rank1_interval"]
        assert low <= scores["rank1"] <= high
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(document))
    assert read_scores(path) == document
    words = scores_in_words(document)
    for text in (
        "visible → visible", "all → all", "CMC counts: the first entry of each person only",
        "mean of trials: 3 (one camera left out)", "not in the data set's own tables",
    ):  # fmt: skip
        assert text in words


def test_a_document_without_the_newer_entries_is_still_read(many, tmp_path):
    people = many.people
    evaluation = evaluate_dataset(FakeEmbedder().embed, people)
    document = scores_document(evaluation, dataset_facts(people, evaluation), synthetic=True)
    assert "pairs" not in document and "trials" not in document
    for key in ("variant", "pairs", "removed", "cmc", "trials", "trial_definition"):
        del document["protocol"][key]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert read_scores(path)["infrared_to_visible"] == document["infrared_to_visible"]
    assert "CMC counts" not in scores_in_words(read_scores(path))


def test_the_protocol_s_rule_holds_until_another_is_asked_for(many):
    embed = FakeEmbedder(noise=3).embed
    assert evaluate_dataset(embed, many).camera_rule == "none"
    other = evaluate_dataset(embed, many, camera_rule="same-pid-same-camera")
    assert other.camera_rule == other.protocol.camera_rule == "same-pid-same-camera"
    assert evaluate_dataset(embed, many.people).camera_rule == "same-pid-same-camera"
