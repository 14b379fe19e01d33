"""scores.json: its keys, its schema, its words; the count of readings."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import (
    count_test_reads,
    dataset_facts,
    evaluate_dataset,
    json_schema,
    note_test_read,
    read_scores,
    score,
    scores_document,
    scores_in_words,
)
from duskmatch.files import user_folder
from duskmatch.health import in_words
from duskmatch.records import DIRECTIONS
from tests.evaluation.people import FakeEmbedder, make_people
from tests.test_health import DEAD
from tests.test_health import document as health_document

FIGURES = {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "chance", "rank1_interval", "mAP_interval"}
COUNTS = {"n_queries", "n_gallery", "n_left_out", "n_ties"}


@pytest.fixture
def people():
    return make_people(Path("nowhere"))


def document_of(people, *, synthetic=True, split="test", trained=True, health=None):
    evaluation = evaluate_dataset(FakeEmbedder().embed, people, split=split)
    return scores_document(
        evaluation,
        dataset_facts(people, evaluation),
        synthetic=synthetic,
        facts=FakeEmbedder().facts() if trained else None,
        untrained=evaluate_dataset(FakeEmbedder(noise=5).embed, people, split=split) if trained else None,
        health=health,
    )


def test_a_runs_health_stands_beside_its_score_and_older_scores_are_read_without(people, tmp_path):
    path, dead = tmp_path / "s.json", health_document(DEAD)
    document = document_of(people, health=dead)
    path.write_text(json.dumps(document))
    assert read_scores(path) == document and document["health"] == dead
    words = scores_in_words(document).splitlines()
    assert words[words.index(in_words(dead)[0]) + 1] == in_words(dead)[1]
    older = document_of(people)
    path.write_text(json.dumps(older))
    assert "health" not in older and read_scores(path) == older
    assert "health" not in scores_in_words(older)
    path.write_text(json.dumps({**document, "health": {**dead, "parts": 3}}))
    with pytest.raises(EvaluationError, match=r"health\.parts: Input should be a valid array; evaluate again"):
        read_scores(path)


def test_both_directions_are_the_same_two_sets_swapped(people):
    evaluation = evaluate_dataset(FakeEmbedder().embed, people)
    there, back = "infrared_to_visible", "visible_to_infrared"
    assert evaluation.query[there].tracklets == evaluation.gallery[back].tracklets
    assert evaluation.gallery[there].tracklets == evaluation.query[back].tracklets
    assert {t.modality for t in evaluation.query[there].tracklets} == {"infrared"}
    for direction in (there, back):
        query, gallery = evaluation.query[direction], evaluation.gallery[direction]
        assert evaluation.scores[direction].mean_inp == score(query.embeddings, gallery.embeddings).mean_inp
        assert evaluation.rankings[direction].indices.shape == (18, 10)
        assert [t.pid for t in query.tracklets] == query.embeddings.pids.tolist()


def test_each_tracklet_is_embedded_once(people):
    seen = []
    evaluate_dataset(lambda tracklets: seen.extend(tracklets) or FakeEmbedder().embed(tracklets), people)
    assert len(seen) == len(set(seen)) == 36


def test_unreadable_tracklets_are_left_out_and_named(people):
    evaluation = evaluate_dataset(FakeEmbedder(unreadable=("0001v1t0", "0002i3t0")).embed, people)
    assert set(evaluation.unreadable) == {"0001v1t0", "0002i3t0"}
    assert evaluation.scores["infrared_to_visible"].n_queries == 17
    assert dataset_facts(people, evaluation).n_unreadable == 2


def test_an_embedder_that_loses_rows_without_saying_which_is_refused(people):
    def careless(tracklets):
        return (
            FakeEmbedder()
            .embed(tracklets)
            .take(range(5))
            .__class__(
                *(
                    getattr(FakeEmbedder().embed(tracklets).take(range(5)), n)
                    for n in ("vectors", "pids", "camids", "modality")
                )
            )
        )

    with pytest.raises(EvaluationError, match="got 5 rows for 36 tracklets"):
        evaluate_dataset(careless, people)


def test_the_document_has_the_promised_keys_and_survives_json(people, tmp_path):
    document = json.loads(json.dumps(document_of(people), allow_nan=False))
    assert set(document) == {
        "infrared_to_visible", "visible_to_infrared", "untrained", "protocol", "precision", "checkpoint", "selection",
        "seed", "data", "synthetic", "versions", "schema_version",
    }  # fmt: skip
    for scores in (document, document["untrained"]):
        for direction in ("infrared_to_visible", "visible_to_infrared"):
            assert set(scores[direction]) == FIGURES | COUNTS
            low, high = scores[direction]["rank1_interval"]
            assert 0 <= low <= scores[direction]["rank1"] <= high <= 1
    assert document["protocol"]["camera_rule"] == "same-pid-same-camera"
    assert document["protocol"]["frames_per_clip"] == 6 and document["protocol"]["re_ranking"] == "none"
    assert document["data"]["name"] == "Duskwalk" and document["data"]["test_reads"] == 1
    assert (document["synthetic"], document["seed"], document["precision"]) == (True, 3, "fp32")
    assert document["infrared_to_visible"]["rank1"] > document["untrained"]["infrared_to_visible"]["rank1"]
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(document))
    assert read_scores(path) == document


def test_the_same_evaluation_gives_the_same_document(people):
    first, second = document_of(people), document_of(people)
    second["data"]["test_reads"] = first["data"]["test_reads"]
    assert first == second


def test_perfect_scores_are_one_to_the_digit(people):
    evaluation = evaluate_dataset(FakeEmbedder(noise=0).embed, people)
    document = scores_document(evaluation, dataset_facts(people, evaluation), synthetic=True)
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        scores = document[direction]
        assert [scores[k] for k in ("rank1", "rank20", "mAP", "mINP")] == [1.0] * 4
        assert scores["rank1_interval"] == scores["mAP_interval"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [("schema_version", 9, "schema_version: Input should be 1"), ("seed", math.nan, "seed: ")],
)
def test_a_document_of_another_version_or_without_numbers_is_refused(key, value, why, people, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({**document_of(people), key: value}))
    with pytest.raises(EvaluationError, match=why):
        read_scores(path)


def test_a_document_that_breaks_the_schema_is_refused(people, tmp_path):
    document = document_of(people)
    document["infrared_to_visible"]["rank1"] = 43.2
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EvaluationError) as caught:
        read_scores(path)
    assert str(caught.value) == (
        f"{path} is not a scores.json of this version: infrared_to_visible.rank1: "
        "Input should be less than or equal to 1; evaluate again"
    )
    with pytest.raises(EvaluationError, match=r"no\.json is not a scores\.json of this version"):
        read_scores(tmp_path / "no.json")


def test_the_json_schema_names_every_required_key(people):
    schema = json_schema()
    assert set(schema["required"]) == set(document_of(people)) - set(DIRECTIONS)  # one of the two may be missing
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["DirectionScores"]["required"]) == FIGURES | COUNTS


def test_answers_stand_in_each_direction_and_in_words_and_older_files_are_read_without(people, tmp_path):
    evaluation = evaluate_dataset(FakeEmbedder().embed, people, answers=True)
    document = scores_document(evaluation, dataset_facts(people, evaluation), synthetic=True)
    path = tmp_path / "s.json"
    path.write_text(json.dumps(document, allow_nan=False))
    assert read_scores(path) == document
    for direction in DIRECTIONS:
        scores = document[direction]
        assert set(scores) == FIGURES | COUNTS | {"verification", "open_set", "calibration"}
        assert scores["verification"]["n_people"] == 6 and scores["open_set"]["gallery_people"] == 6
        assert [tar["far"] for tar in scores["verification"]["tar"]] == [0.1, 0.01, 0.001]
        assert [rate["fpir"] for rate in scores["open_set"]["rates"]] == [0.1, 0.01]
        assert scores["calibration"]["ece"] is None and "here are 6" in scores["calibration"]["why"]
    text = scores_in_words(document)
    assert "infrared → visible and visible → infrared, same person or not: EER" in text
    assert "FAR 10 % needs 30 people, here are 6; at 50 %, the least they bear, TAR is " in text
    size = "somebody unknown, gallery of 6 people (18 entries): FPIR 10 % needs 30 people, here are 6; at 50 %"
    assert f"infrared → visible, {size}" in text and f"visible → infrared, {size}" in text
    older = document_of(people)
    path.write_text(json.dumps(older))
    assert "same person" not in scores_in_words(older) and read_scores(path) == older
    re_ranked = {**older, "protocol": {**older["protocol"], "re_ranking": "k-reciprocal"}}
    assert "not measured, since a re-ranked distance depends on all queries" in scores_in_words(re_ranked)


@pytest.mark.parametrize(
    ("synthetic", "line"),
    [
        (True, "SYNTHETIC data (Duskwalk 1): generated people, not a score on real ones"),
        (None, "Duskwalk 1: not known whether these data are real or synthetic"),
        (False, "Duskwalk 1: real data"),
    ],
)
def test_words_begin_with_where_the_people_come_from(people, synthetic, line):
    text = scores_in_words(document_of(people, synthetic=synthetic))
    assert text.splitlines()[0] == line


def test_words_hold_every_figure_and_what_it_depends_on(people):
    document = document_of(people)
    text = scores_in_words(document)
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        for name in ("rank1", "rank20", "mAP", "mINP", "chance"):
            assert f"{100 * document[direction][name]:.2f}" in text
    for word in ("same-pid-same-camera", "before training", "18 queries", "fp32", "first of each of 6 segments"):
        assert word in text


def test_what_nobody_said_is_not_made_up(people):
    document = document_of(people, trained=False)
    assert document["untrained"] is None
    assert [document[key] for key in ("precision", "checkpoint", "selection", "seed")] == [None] * 4
    assert document["protocol"]["test_time_extras"] is None
    assert "precision: not said" in scores_in_words(document)


def test_readings_of_test_people_are_counted_by_fingerprint(people, tmp_path):
    assert count_test_reads(people.fingerprint) == 0
    assert [document_of(people)["data"]["test_reads"] for _ in range(3)] == [1, 2, 3]
    assert document_of(people, split="validation")["data"]["test_reads"] == 3
    people.fingerprint = "cd" * 32
    assert document_of(people)["data"]["test_reads"] == 1
    assert len((tmp_path / "state" / "test_reads.jsonl").read_text().splitlines()) == 4


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next(tmp_path):
    file = tmp_path / "state" / "test_reads.jsonl"
    file.parent.mkdir()
    file.write_text('{"fingerprint": "a", "name": "x"}\n{"fingerpr')
    assert note_test_read("a", "x") == 2
    assert note_test_read("a", "x") == 3


def test_where_readings_cannot_be_kept_the_count_is_null_and_it_is_said(people, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DUSKMATCH_STATE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, logger="duskmatch"):
        document = document_of(people)
    assert document["data"]["test_reads"] is None
    assert "readings of test people cannot be counted" in caplog.text
    assert "times these test people were read: not counted" in scores_in_words(document)


def test_the_state_folder_follows_the_environment(monkeypatch, tmp_path):
    assert user_folder("state") == tmp_path / "state"
    monkeypatch.delenv("DUSKMATCH_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert user_folder("state") == tmp_path / "xdg" / "duskmatch"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder("state") == tmp_path / ".local" / "state" / "duskmatch"
