"""Other data sets from end to end: trained, evaluated, embedded and ranked from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from duskmatch.cli import main
from duskmatch.data import open_dataset
from duskmatch.synthetic import PRESETS, generate
from tests.data import layouts

FAST = ["--train.stage1_epochs", "1", "--train.stage2_epochs", "1", "--train.steps_per_epoch", "2"]
FAST += ["--train.pids_per_batch", "2"]
IMAGES = ["--data.frames_per_clip", "1"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Duskwalk's tiny people in small and coarse pictures."""
    root = tmp_path_factory.mktemp("duskwalk") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small", replace(PRESETS["tiny"], people=(8, 1, 6), size=(48, 24), supersample=1))
        generate(root, preset="small", seed=0, n_processes=1)
    return open_dataset(root)


def trained(root: Path, data: Path, *flags: str) -> Path:
    run = root / "run"
    assert main(["train", "--data", str(data), "--preset", "tiny", "--out", str(run), "--device", "cpu", *flags]) == 0
    return run


def evaluated(run: Path, data: Path, *flags: str) -> dict:
    assert main(["evaluate", str(run), "--data", str(data), "--device", "cpu", *flags]) == 0
    return json.loads((run / "scores.json").read_text())


@pytest.mark.parametrize("name", ["SYSU-MM01", "LLCM", "own folders", "own table"])
def test_a_run_goes_from_pictures_to_scores_and_strips(name, source, tmp_path, capsys):
    splits = {"train": source.train, "test": source.test}
    data, frames = {
        "SYSU-MM01": lambda place: (layouts.write_sysu(place, source.train, source.test), 1),
        "LLCM": lambda place: (layouts.write_llcm(place, source.train, source.test), 1),
        "own folders": lambda place: (layouts.write_folders(place, splits), 1),
        "own table": lambda place: (layouts.write_table(place, splits), 3),
    }[name](tmp_path / "data")
    asked = ["--data.frames_per_clip", str(frames)] if name.startswith("own") else []  # others begin with their own
    run = trained(tmp_path, data, *FAST, *asked)
    document = evaluated(run, data)
    dataset = open_dataset(data)
    assert document["protocol"]["name"] == dataset.protocol.name and document["synthetic"] is False
    assert document["protocol"]["frames_per_clip"] == frames
    assert document["protocol"]["trials"] == list(dataset.protocol.trials)
    assert document["protocol"]["camera_rule"] == dataset.protocol.camera_rule
    assert ("trials" in document) == (len(dataset.protocol.trials) > 1)
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        assert document[direction]["n_queries"] == len(dataset.direction(direction).query)
        assert document[direction]["n_gallery"] == len(dataset.direction(direction).gallery)
    assert dataset.name in (run / "report.html").read_text()
    found = ["--query", f"{data}:query", "--gallery", f"{data}:gallery", "--out", str(tmp_path / "found")]
    assert main(["rank", str(run), *found, "--camera-rule", dataset.protocol.camera_rule, "--device", "cpu"]) == 0
    assert (tmp_path / "found" / "ranking.csv").is_file()
    assert main(["check", str(data), "--frames", "all"]) == 0
    assert "no problems" in capsys.readouterr().out


def test_re_ranking_is_said_where_trials_are_averaged(source, tmp_path, capsys):
    data = layouts.write_llcm(tmp_path / "data", source.train, source.test)
    run = trained(tmp_path, data, *FAST, *IMAGES)
    document = evaluated(run, data, "--rerank", "--rerank-k1", "4", "--rerank-k2", "2", "--no-report")
    assert "k1" in document["protocol"]["re_ranking"]
    assert "re-ranking: " + document["protocol"]["re_ranking"] in capsys.readouterr().out


def test_a_run_on_one_split_of_regdb_is_refused_on_another(source, tmp_path, capsys):
    data = layouts.write_regdb(tmp_path / "data", [*source.train, *source.test])
    run = trained(tmp_path, data, *FAST, *IMAGES, "--protocol", "split-2")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(data), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.endswith(
        f"duskmatch: {run} was trained on split-2 of RegDB, with many of the people whom split-1 tests; "
        "pass --protocol split-2, or --any-split to score it anyway\n"
    )
    assert not (run / "scores.json").exists()
    document = evaluated(run, data, "--protocol", "split-2")
    assert document["protocol"]["trials"] == [2] and document["protocol"]["variant"] == "split-2"
    assert "trial: 2 (ten splits" in capsys.readouterr().out
    assert evaluated(run, data, "--any-split")["protocol"]["variant"] == "split-1"
