"""`reproduce motion`: frames in order are `evaluate`'s scores, a model that averages frames does not care for order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.data import Dataset, open_dataset
from duskmatch.errors import DataError
from duskmatch.evaluation import count_test_reads, paired_interval
from duskmatch.experiments.motion.document import MotionDocument
from duskmatch.experiments.motion.experiment import check_order, evaluate_order, motion
from duskmatch.experiments.motion.orders import ORDERS
from duskmatch.experiments.motion.words import motion_charts, motion_table
from duskmatch.records import DIRECTIONS
from tests.data.bupt_tree import BuptTree
from tests.data.tree import Tree
from tests.experiments.conftest import Call
from tests.training.headers import with_data


def vectors(run: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    embedder = load_embedder(run, device="cpu")
    found = {order: evaluate_order(embedder, dataset, order) for order in ORDERS}
    return {order: one.query["infrared_to_visible"].embeddings.vectors for order, one in found.items()}


def test_a_model_that_averages_frames_gives_one_vector_for_every_order(plain_run: Path, dataset: Dataset) -> None:
    found = vectors(plain_run, dataset)
    assert np.abs(found["shuffled"] - found["in_order"]).max() < 1e-5
    assert np.abs(found["reversed"] - found["in_order"]).max() < 1e-5
    assert np.abs(found["one_frame"] - found["in_order"]).max() > 1e-3  # which shows less than three frames


def test_a_model_with_the_sequence_part_does_not(full_run: Path, dataset: Dataset) -> None:
    found = vectors(full_run, dataset)
    for order in ("shuffled", "one_frame", "reversed"):
        assert np.abs(found[order] - found["in_order"]).max() > 1e-4


def test_in_order_is_what_evaluate_says(
    full_run: Path, base: Path, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    document = call("motion", full_run, "--data", base, "--out", tmp_path / "m")
    assert document["camera_rule"] == document["data"][0]["camera_rule"] == "same-pid-same-camera"
    assert_as_evaluated(document, full_run, base, capsys)


def test_in_order_is_what_evaluate_says_by_another_camera_rule(
    full_run: Path, bupt: Path, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    document = call("motion", full_run, "--data", bupt, "--out", tmp_path / "m")
    assert document["camera_rule"] == document["data"][0]["camera_rule"] == "none"
    assert "people scored. Camera rule none: nothing." in (tmp_path / "m" / "motion.md").read_text()
    assert_as_evaluated(document, full_run, bupt, capsys)


@pytest.fixture
def bupt(tmp_path: Path) -> Path:
    """Two tracks of each person before each camera, so that a rule about cameras would take matches away."""
    people = {"train": (1, 2, 3), "test": range(4, 10), "validation": (10, 11)}
    source = Tree(tmp_path / "source", people=people, lengths=(12, 12), size=(96, 48)).write()
    return BuptTree(tmp_path / "bupt").write(open_dataset(source)).root


def assert_as_evaluated(document: dict, run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--json", "--no-report", "--device", "cpu", "--out", str(data.parent / "scores.json"), "--overwrite"]
    assert main(["evaluate", str(run), "--data", str(data), *words]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert [(one["direction"], one["among"]) for one in document["results"]] == [(d, "everyone") for d in DIRECTIONS]
    for one in document["results"]:
        expected, found = evaluated[one["direction"]], one["orders"]["in_order"]
        for key in ("rank1", "mAP", "rank1_interval", "mAP_interval"):
            assert found[key] == expected[key]
        assert {key: one[key] for key in ("chance", "n_queries", "n_left_out")} == {
            key: expected[key] for key in ("chance", "n_queries", "n_left_out")
        }
        assert found["rank1_difference"] is None and found["similarity"] == pytest.approx(1, abs=1e-5)


def test_differences_are_paired_with_frames_in_order(full_run: Path, dataset: Dataset) -> None:
    embedder = load_embedder(full_run, device="cpu")
    document = motion({"full": embedder}, {"base": dataset}, seed=4).model_dump()
    plain, turned = (evaluate_order(embedder, dataset, order) for order in ("in_order", "reversed"))
    for one in document["results"]:
        a, b = turned.scores[one["direction"]], plain.scores[one["direction"]]
        value, low, high = paired_interval(a.average_precision, b.average_precision, b.query_pids)
        assert one["orders"]["reversed"]["mAP_difference"] == {"value": value, "low": low, "high": high}


def test_twins_have_a_score_among_themselves(
    full_run: Path, plain_run: Path, base: Path, twins: Path, tmp_path: Path, call: Call
) -> None:
    words = ["motion", full_run, plain_run, "--names", "all parts,no motion", "--data", base, "--twins", twins]
    document = call(*words, "--out", tmp_path / "m")
    assert MotionDocument.model_validate(document).synthetic
    found = [(one["run"], one["data"], one["among"]) for one in document["results"]]
    one_run = [("base", "everyone"), *(("gait", among) for among in ("everyone", "twins", "twins_other_cameras"))]
    assert sorted(set(found)) == sorted((run, *rest) for run in ("all parts", "no motion") for rest in one_run)
    alike = [one for one in document["results"] if one["among"] == "twins"]
    # One match and three strangers by two cameras each are left to every query once its own camera's match is gone.
    assert all(one["chance"] == pytest.approx(1 / 7) and one["n_queries"] == 24 for one in alike)
    elsewhere = [one for one in document["results"] if one["among"] == "twins_other_cameras"]
    assert all(one["chance"] == 0.25 and one["n_queries"] == 24 for one in elsewhere)
    still = [one["orders"] for one in document["results"] if one["run"] == "no motion"]
    assert all(abs(one["shuffled"]["mAP_difference"]["value"]) < 0.02 for one in still)


def test_the_files_are_whole_and_say_synthetic(full_run: Path, twins: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "m"
    document = call("motion", full_run, "--data", twins, "--out", out)
    assert sorted(place.name for place in out.iterdir()) == ["motion.json", "motion.md", "motion.png"]
    assert json.loads((out / "motion.json").read_text()) == document
    table = (out / "motion.md").read_text()
    assert table == motion_table(MotionDocument.model_validate(document))
    headings = [line for line in table.splitlines() if line.startswith("## gait")]
    assert headings == [
        "## gait (gait twins, SYNTHETIC), among everyone",
        "## gait (gait twins, SYNTHETIC), each among its own four twins",
        "## gait (gait twins, SYNTHETIC), each among its own four twins, its own camera left out",
    ]
    rows = [line for line in table.splitlines() if line.startswith("| full |") and "visible" in line]
    assert len(rows) == 24 and all(line.count("|") == 12 for line in rows)
    picture = cv2.imread(str(out / "motion.png"))
    assert (picture < 128).any() and (picture == 255).mean() > 0.5
    charts = motion_charts(MotionDocument.model_validate(document))
    assert len(charts) == 6 and all("SYNTHETIC" in chart.title for chart in charts)


def test_reading_test_people_is_counted_once_for_each_run(
    full_run: Path, plain_run: Path, base: Path, dataset: Dataset, tmp_path: Path, call: Call
) -> None:
    before = count_test_reads(dataset.fingerprint)
    document = call("motion", full_run, plain_run, "--data", base, "--out", tmp_path / "m")
    assert document["data"][0]["test_reads"] == count_test_reads(dataset.fingerprint) == before + 2
    words = ["motion", full_run, "--data", base, "--split", "validation", "--out", tmp_path / "v"]
    document = call(*words)
    assert document["data"][0]["test_reads"] is None and document["data"][0]["n_people"] == 4
    assert count_test_reads(dataset.fingerprint) == before + 2


def test_the_seed_is_that_of_the_shuffling(full_run: Path, dataset: Dataset) -> None:
    embedder = load_embedder(full_run, device="cpu")
    found = [motion({"a": embedder}, {"base": dataset}, seed=seed).results[0].orders for seed in (0, 0, 1)]
    assert found[0] == found[1] and found[0]["shuffled"] != found[2]["shuffled"]
    assert found[0]["reversed"] == found[2]["reversed"]


def test_refusals(full_run: Path, base: Path, twins: Path, tmp_path: Path, call: Call, refused) -> None:
    out = tmp_path / "m"
    words = ["--data", base, "--out", out]
    nowhere = tmp_path / "nowhere"
    assert refused("motion", nowhere, *words) == (
        f"{nowhere} is no RUN folder; name the folder given to `duskmatch train --out`"
    )
    assert refused("motion", full_run, "--data", nowhere, "--out", out).startswith(f"{nowhere} ")
    assert refused("motion", full_run, *words, "--twins", base).startswith("each DATASET must be named once; ")
    assert refused("motion", full_run, "--data", twins, "--twins", base, "--out", out) == (
        f"{base} must be a set of twins; its duskwalk.json names none; make one with `duskmatch synth --twins` or "
        "leave it out"
    )
    assert refused("motion", full_run, *words, "--names", "a,b") == (
        "--names must be 1 different names with commas between, one for each RUN; got 'a,b'"
    )
    assert not out.exists()  # nothing was begun
    out.mkdir()
    (out / "motion.md").write_text("mine")
    assert refused("motion", full_run, *words) == (
        f"{out / 'motion.md'} already exists; choose another --out or pass --overwrite"
    )
    call("motion", full_run, *words, "--overwrite")
    assert (out / "motion.md").read_text() != "mine"


def test_people_who_are_not_there_are_refused(full_run: Path, tmp_path: Path, refused) -> None:
    people = {"train": range(1, 9), "test": range(9, 21)}
    few = Tree(tmp_path / "few", people=people, pictures=False, duskwalk=True).write()
    words = ["--data", few, "--split", "validation", "--out", tmp_path / "m"]
    assert refused("motion", full_run, *words) == f"{few}: a direction is scored on test; got 'validation'"


def test_single_pictures_and_several_trials_are_refused(
    full_run: Path, regdb: Path, dataset: Dataset, tmp_path: Path, refused
) -> None:
    assert refused("motion", full_run, "--data", regdb, "--out", tmp_path / "m") == (
        f"{regdb} must hold tracks, whose frames have an order; RegDB data are single pictures; name a set of tracks"
    )
    with pytest.raises(DataError) as caught:
        check_order(replace(dataset, protocol=replace(dataset.protocol, trials=(0, 1))), "test")
    assert str(caught.value) == (
        f"{dataset.root} must be scored in one trial, since orders are compared query by query; its protocol standard "
        "draws 2; choose another --protocol or data set"
    )


def test_a_run_trained_on_another_split_is_refused(
    full_run: Path, base: Path, dataset: Dataset, tmp_path: Path, refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = replace(dataset, protocol=replace(dataset.protocol, variant="split-1", trained_apart=True))
    monkeypatch.setattr("duskmatch.experiments.subjects.open_dataset", lambda path, protocol: apart)
    monkeypatch.setattr("duskmatch.experiments.motion.experiment.motion", reached)
    run = with_data(full_run, tmp_path / "run", {"name": dataset.name, "protocol": "split-2"})
    words = ["motion", run, "--data", base, "--out", tmp_path / "m"]
    assert refused(*words) == (
        f"{run} was trained on split-2 of Duskwalk, with many of the people whom split-1 tests; pass --protocol "
        "split-2, or --any-split to score it anyway"
    )
    assert refused(*words, "--any-split") == "reached"


def reached(*_: object, **__: object) -> None:
    raise DataError("reached")


@pytest.mark.parametrize("name", ["motion", "motion_twins"])
def test_documents_without_a_rule_for_each_set_are_read(name: str) -> None:
    file = Path(__file__).parents[1] / "fixtures" / "older" / f"{name}.json"
    document = MotionDocument.model_validate_json(file.read_text())
    assert document.data[0].camera_rule is None
    assert "Camera rule" not in motion_table(document)
