"""`duskmatch evaluate`, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from duskmatch.cli import main
from duskmatch.evaluation import read_scores
from tests.evaluation.people import FakeEmbedder, make_people
from tests.test_health import DEAD
from tests.test_health import document as health_document


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("DUSKMATCH_STATE", str(tmp_path / "state"))


@pytest.fixture
def features(tmp_path):
    return made(tmp_path / "f.npz")


def made(path, noise=0.2):
    rng = np.random.default_rng(0)
    pids, modalities = np.repeat(np.arange(10), 4), np.tile([1, 1, 2, 2], 10)
    vectors = np.eye(10)[pids] + noise * rng.standard_normal((40, 10))
    np.savez(path, vectors=vectors, pids=pids, camids=np.tile([1, 2, 1, 2], 10), modalities=modalities)
    return path


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A RUN folder, a data set with pictures, and a fake embedder in the place of the real one."""
    people = make_people(tmp_path / "data", n_people=4, pictures=True)
    asked = []

    def load_embedder(run, *, device, on_bad_frame="stop", untrained=False, engine="auto", precision=None):
        asked.append((run, device, on_bad_frame, untrained))
        return FakeEmbedder(noise=4.0 if untrained else 0.5)

    monkeypatch.setattr("duskmatch.embedding.load_embedder", load_embedder)
    monkeypatch.setattr("duskmatch.data.open_dataset", lambda path: people)
    (tmp_path / "run").mkdir()
    return tmp_path / "run", tmp_path / "data", asked


def test_a_runs_health_is_said_and_kept_or_said_to_be_missing(trained, capsys):
    run, data, _ = trained
    assert main(["evaluate", str(run), "--data", str(data)]) == 0
    shown = capsys.readouterr()
    assert "health of the parts: not known" in shown.out + shown.err
    assert "health" not in json.loads((run / "scores.json").read_text())
    (run / "health.json").write_text(json.dumps(health_document(DEAD)))
    assert main(["evaluate", str(run), "--data", str(data)]) == 0
    assert "health of the parts: dead: LSTM_mot, A (Eq. 12); idle: IMSA" in capsys.readouterr().out
    assert json.loads((run / "scores.json").read_text())["health"] == health_document(DEAD)
    assert "Health of the parts" in (run / "report.html").read_text()
    (run / "health.json").write_text("{")
    assert main(["evaluate", str(run), "--data", str(data)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].endswith("`duskmatch train --resume` makes it again") and "health.json is damaged" in error[-1]


def test_features_are_scored_in_words(features, capsys):
    assert main(["evaluate", "--features", str(features)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("f.npz: not known whether these data are real or synthetic\n")
    assert "infrared → visible" in out and "camera rule: same-pid-same-camera" in out


def test_features_as_json_and_as_a_file(features, tmp_path, capsys):
    out = tmp_path / "s.json"
    assert main(["evaluate", "--features", str(features), "--json", "--synthetic", "--out", str(out)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(out.read_text())
    assert document["synthetic"] is True and document["untrained"] is None
    assert document["infrared_to_visible"]["n_queries"] == 20
    assert document["protocol"]["camera_rule"] == "same-pid-same-camera"
    assert main(["evaluate", "--features", str(features), "--json", "--camera-rule", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["camera_rule"] == "none"


def test_synthetic_features_always_say_so(features, capsys):
    assert main(["evaluate", "--features", str(features), "--synthetic"]) == 0
    assert "SYNTHETIC" in capsys.readouterr().out


def test_a_run_is_scored_beside_its_untrained_self_and_gets_a_report(trained, capsys):
    run, data, asked = trained
    assert main(["evaluate", str(run), "--data", str(data), "--on-bad-frame", "skip", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SYNTHETIC data (Duskwalk 1)") and "before training" in out
    assert "same person or not: " in out and "somebody unknown, gallery of 4 people (12 entries): " in out
    assert "The same person, or somebody unknown" in (run / "report.html").read_text()
    assert asked == [(run, "cpu", "skip", False), (run, "cpu", "skip", True)]
    document = json.loads((run / "scores.json").read_text())
    assert document["untrained"] and document["data"]["test_reads"] == 1
    assert "SYNTHETIC" in (run / "report.html").read_text()


def test_re_ranking_is_said_with_its_numbers_everywhere(tmp_path, capsys):
    features = made(tmp_path / "noisy.npz", noise=0.6)
    assert main(["evaluate", "--features", str(features), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    flags = ["--rerank", "--rerank-k1", "6", "--rerank-k2", "3", "--rerank-lambda", "0.25"]
    assert main(["evaluate", "--features", str(features), "--json", *flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert plain["protocol"]["re_ranking"] == "none"
    assert document["protocol"]["re_ranking"] == "k-reciprocal, k1 6, k2 3, lambda 0.25"
    assert document["infrared_to_visible"]["mAP"] != plain["infrared_to_visible"]["mAP"]
    assert main(["evaluate", "--features", str(features), "--rerank"]) == 0
    assert "re-ranking: k-reciprocal, k1 20, k2 6, lambda 0.3" in capsys.readouterr().out


def test_a_run_and_its_untrained_self_are_re_ranked_alike(trained, capsys):
    run, data, _ = trained
    assert main(["evaluate", str(run), "--data", str(data), "--rerank", "--rerank-k1", "4", "--rerank-k2", "2"]) == 0
    document = json.loads((run / "scores.json").read_text())
    assert document["protocol"]["re_ranking"] == "k-reciprocal, k1 4, k2 2, lambda 0.3"
    report = (run / "report.html").read_text()
    assert "k-reciprocal, k1 4, k2 2, lambda 0.3" in report and "ranked by cosine, without it" in report


TEMPORAL = "temporal k-reciprocal, k1 5, k2 2, lambda 0, 0.8 plain + 0.2 whole + 0.1 for either order of halves"


def test_temporal_re_ranking_is_said_in_scores_report_and_words(trained, capsys):
    run, data, _ = trained
    assert main(["evaluate", str(run), "--data", str(data), "--rerank", "temporal", "--rerank-k2", "2"]) == 0
    assert f"re-ranking: {TEMPORAL}" in capsys.readouterr().out
    assert json.loads((run / "scores.json").read_text())["protocol"]["re_ranking"] == TEMPORAL
    report = (run / "report.html").read_text()
    assert TEMPORAL in report and "ranked by cosine, without it" in report


def test_rerank_before_the_run_still_means_the_plain_one(trained):
    run, data, _ = trained
    assert main(["evaluate", "--rerank", str(run), "--data", str(data), "--rerank-k1", "4", "--rerank-k2", "2"]) == 0
    document = json.loads((run / "scores.json").read_text())
    assert document["protocol"]["re_ranking"] == "k-reciprocal, k1 4, k2 2, lambda 0.3"


def test_validation_people_are_scored_apart_and_no_test_reading_is_counted(trained, capsys):
    run, data, _ = trained
    assert main(["evaluate", str(run), "--data", str(data), "--split", "validation", "--json", "--no-report"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["protocol"]["split"] == "validation" and document["data"]["test_reads"] == 0
    assert [p.name for p in run.iterdir()] == ["scores.validation.json"]


def unknown(path):
    """Features whose visible side holds two rows of nobody known."""
    rng = np.random.default_rng(1)
    pids, modalities = np.repeat(np.arange(1, 7), 4), np.tile(["infrared", "infrared", "visible", "visible"], 6)
    vectors = np.eye(7)[pids] + 0.4 * rng.standard_normal((24, 7))
    pids[[3, 7]] = -1
    np.savez(path, vectors=vectors, pids=pids, camids=np.tile([1, 1, 2, 2], 6), modalities=modalities)
    return path


def test_rows_of_unknown_people_are_ignored_and_counted(tmp_path, capsys):
    assert main(["evaluate", "--features", str(unknown(tmp_path / "f.npz")), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    there, back = document["infrared_to_visible"], document["visible_to_infrared"]
    assert (there["n_queries"], there["n_left_out"], there["n_gallery"], there["n_junk"]) == (12, 0, 12, 2)
    assert (back["n_queries"], back["n_left_out"]) == (12, 2) and "n_junk" not in back
    assert main(["evaluate", "--features", str(tmp_path / "f.npz")]) == 0
    assert "12 in the gallery, 2 of them ignored (pid -1);" in capsys.readouterr().out


@pytest.mark.parametrize("direction", ["infrared_to_visible", "visible_to_infrared"])
def test_one_direction_of_features(features, tmp_path, direction, capsys):
    both, one = tmp_path / "both.json", tmp_path / "one.json"
    assert main(["evaluate", "--features", str(features), "--out", str(both)]) == 0
    assert main(["evaluate", "--features", str(features), "--direction", direction, "--out", str(one)]) == 0
    capsys.readouterr()
    whole, document = json.loads(both.read_text()), read_scores(one)
    (other,) = {"infrared_to_visible", "visible_to_infrared"} - {direction}
    assert document[direction] == whole[direction] and other not in document
    assert list(document["protocol"]["pairs"]) == [direction]
    assert main(["evaluate", "--features", str(features), "--direction", direction]) == 0
    printed = capsys.readouterr().out
    assert (printed.count("visible → infrared"), printed.count("infrared → visible")) == (
        (0, 4) if direction == "infrared_to_visible" else (4, 0)
    )


def test_a_pt_file_of_plain_tensors_is_scored_and_any_other_refused(features, tmp_path, capsys):
    arrays = np.load(features)
    tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    torch.save({**tensors, "vectors": tensors["vectors"].bfloat16()}, tmp_path / "f.pt")
    assert main(["evaluate", "--features", str(tmp_path / "f.pt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["infrared_to_visible"]["rank1"] > 0.5
    torch.save({"vectors": arrays["vectors"]}, tmp_path / "g.pt")
    assert main(["evaluate", "--features", str(tmp_path / "g.pt")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"duskmatch: {tmp_path / 'g.pt'} asks for numpy")
    assert said.endswith(" and was not opened; save a dictionary of plain tensors\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--data", "d", "--direction", "infrared_to_visible"],
            "--direction is for --features; of a data set every direction is scored; leave it out",
        ),
        ([], "evaluate takes RUN --data DATASET, or --features FILE; got both or neither; name one"),
        (
            ["run", "--features", "f.npz"],
            "evaluate takes RUN --data DATASET, or --features FILE; got both or neither; name one",
        ),
        (["run"], "evaluate RUN needs --data DATASET, the data set to score it on; name one"),
        (
            ["--features", "f.npz", "--data", "d"],
            "--data is for a RUN; --features FILE holds all that is scored; leave it out",
        ),
        (
            ["--features", "f.npz", "--split", "validation"],
            "--split validation is for a RUN; --features FILE holds all that is scored; leave it out",
        ),
        (
            ["run", "--data", "d", "--synthetic"],
            "--synthetic is for --features; a data set says itself if it is synthetic; leave it out",
        ),
        (
            ["--features", "f.npz", "--out", "taken"],
            "taken already exists; choose another --out or pass --overwrite",
        ),
        (
            ["--features", "f.npz", "--rerank-k1", "4"],
            "--rerank-k1 needs --rerank, which is off; pass both or leave it out",
        ),
        (
            ["--features", "f.npz", "--rerank", "--rerank-k2", "30"],
            "re-ranking: k2 must be from 1 to k1 (20); got 30; the paper has 6, 1 is no expansion",
        ),
        *(
            (
                [*given, "--rerank", "tempral"],
                "--rerank must be k-reciprocal or temporal; got tempral; did you mean temporal?",
            )
            for given in (["run", "--data", "d"], ["--features", "f.npz"], ["--data", "d"])
        ),
        (
            ["run", "--data", "d", "--rerank", "temporal", "--rerank-lambda", "0.3"],
            "--rerank temporal has lambda 0; got --rerank-lambda; leave it out",
        ),
        (
            ["--features", "f.npz", "--rerank", "temporal"],
            "--rerank temporal embeds halves of tracks, so it needs pictures; pass RUN --data DATASET",
        ),
        (
            ["--features", "f.npz"],
            "f.npz is missing; name a .npz or .safetensors file with vectors, pids, camids, modalities",
        ),
    ],
)  # fmt: skip
def test_refusals(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("x")
    assert main(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"duskmatch: {message}\n" and captured.out == ""


def test_an_unknown_camera_rule_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "--features", "f.npz", "--camera-rule", "market"])
    assert caught.value.code == 2
    assert "invalid choice: 'market'" in capsys.readouterr().err


def test_features_are_not_replaced_by_their_scores(tmp_path, capsys):
    np.savez(tmp_path / "f.npz", vectors=np.eye(2))
    before = (tmp_path / "f.npz").read_bytes()
    place = str(tmp_path / "f.npz")
    assert main(["evaluate", "--features", place, "--out", place, "--overwrite"]) == 2
    assert capsys.readouterr().err == f"duskmatch: {place} must not be replaced: it is an input; choose another\n"
    assert (tmp_path / "f.npz").read_bytes() == before
