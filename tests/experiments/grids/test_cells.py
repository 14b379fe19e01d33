"""One cell: what is done already is not done again, and nothing else is taken for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from duskmatch.cli import main
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.data.dataset import DirectionPair
from duskmatch.errors import OutputError, SettingsError
from duskmatch.experiments.grids import running, selection
from duskmatch.experiments.grids.cells import Cell, Scoring, find_result
from duskmatch.experiments.grids.queue import run_cells
from duskmatch.experiments.grids.running import run_cell, time_of
from duskmatch.experiments.grids.selection import legacy_best, with_selection
from duskmatch.files import only_writer
from duskmatch.health import read_health
from duskmatch.records import DIRECTIONS, HITSZ_VCM
from duskmatch.training import shared_stage, train
from duskmatch.training.checkpoint import valid_steps
from duskmatch.training.monitor import read_log
from duskmatch.weights import HEADER_KEY, read_weights
from tests.experiments.grids.conftest import FAST, FLAGS
from tests.training.narrow import narrow_start

N_STEPS = 4


class Trained(Exception):
    """The cell is about to be trained."""


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*args, **more):
        raise Trained

    monkeypatch.setattr(running, "train", refuse)


def cell_in(folder, *more):
    overrides = [f"{key}={value}" for key, value in FAST.items()]
    off = ["model.attack=false", "model.defense=false", "model.sequence=none"]
    return Cell("Baseline", load_settings("tiny", overrides=[*overrides, *off, *more], seed=0), folder)


def scoring_of(tree, split="test", selection="last"):
    return Scoring(tree, split, selection, "cpu", 1)


@pytest.fixture(scope="module")
def scored(tree, tmp_path_factory):
    """The folder of a cell that is trained and scored on the test people."""
    folder = tmp_path_factory.mktemp("cell") / "seed0"
    run_cell(cell_in(folder), scoring_of(tree))
    return folder


@pytest.fixture
def done(scored, tmp_path):
    return shutil.copytree(scored, tmp_path / "seed0")


def write_step(path, step):
    """The weights at `path` with another iteration in their header, as a killed training leaves them."""
    weights = read_weights(path)
    save_file(weights.tensors, path, metadata={HEADER_KEY: json.dumps({**weights.header, "step": step})})


def forget_digest(folder):
    path = folder / "test.json"
    result = json.loads(path.read_text())
    del result["weights_sha256"]
    path.write_text(json.dumps(result))


@pytest.mark.slow
def test_a_cell_keeps_the_health_of_its_run_and_older_ones_are_read_without(done, tree):
    (path,) = done.glob("test.json")
    stored = json.loads(path.read_text())
    assert stored["health"] == read_health(done / "run") and stored["health"]["not_measured"]
    del stored["health"]
    path.write_text(json.dumps(stored))
    assert find_result(cell_in(done), scoring_of(tree), open_dataset(tree).fingerprint).health is None


@pytest.mark.slow
def test_a_finished_cell_is_returned_and_not_run_again(done, tree, no_training):
    before = (done / "test.json").stat().st_mtime_ns
    result = run_cell(cell_in(done), scoring_of(tree))
    assert result.model_dump(mode="json") == json.loads((done / "test.json").read_text())
    assert (done / "test.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_cell_that_another_process_runs_is_left_to_it(done, tree, no_training):
    (done / "test.json").unlink()
    with only_writer(done), pytest.raises(OutputError) as error:
        run_cell(cell_in(done), scoring_of(tree))
    assert str(error.value) == f"{done} is being run by another process; the same command picks the cell up later"
    with pytest.raises(Trained):  # and then it does
        run_cell(cell_in(done), scoring_of(tree))


@pytest.mark.slow
@pytest.mark.parametrize("digest", [True, False], ids=["digest", "older result"])
def test_the_run_that_was_scored_is_scored_on_other_people_too(done, tree, no_training, digest):
    if not digest:
        forget_digest(done)
    result = run_cell(cell_in(done), scoring_of(tree, "validation"))
    assert result.split == "validation" and result.seconds == json.loads((done / "test.json").read_text())["seconds"]
    if digest:
        assert result.weights_sha256 == json.loads((done / "test.json").read_text())["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("digest", [True, False], ids=["digest", "older result"])
@pytest.mark.parametrize("what", ["one iteration", "cut off", "no weights", "no run"])
def test_any_other_run_is_trained_again(done, tree, no_training, what, digest):
    weights = done / "run" / "model.safetensors"
    if not digest:
        forget_digest(done)
    if what == "one iteration":
        write_step(weights, 1)
    elif what == "cut off":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif what == "no weights":
        weights.unlink()
    else:
        shutil.rmtree(done / "run")
    with pytest.raises(Trained):
        run_cell(cell_in(done), scoring_of(tree, "validation"))
    assert not (done / "validation.json").exists()


@pytest.mark.slow
def test_a_cell_of_another_selection_is_refused_before_anything_is_trained(done, tree, no_training):
    with pytest.raises(OutputError) as error:
        run_cell(cell_in(done), scoring_of(tree, "test", "test_best_legacy"))
    assert str(error.value) == f"{done} holds a cell with other selection; choose another --out"
    text = (done / "test.json").read_text()
    (done / "validation.json").write_text(text.replace('"split": "test"', '"split": "validation"'))
    (done / "test.json").unlink()  # done on the other split alone
    with pytest.raises(OutputError) as error:
        run_cell(cell_in(done), scoring_of(tree, "test", "test_best_legacy"))
    assert str(error.value) == f"{done} holds a cell with other selection; choose another --out"


def begun(cell, scoring):
    """The cell, stopped within its first iteration's report."""

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, scoring, stop)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("selection", "other"),
    [
        ("validation", "train.selection last; this command has validation"),
        ("test_best_legacy", "train.checkpoint_every 50; this command has 2"),
    ],
)
def test_a_half_trained_cell_does_not_go_on_under_other_settings(tree, tmp_path, selection, other):
    cell = cell_in(tmp_path / "seed0", "train.checkpoint_every=50", "train.validate_every=1")
    begun(cell, scoring_of(tree))
    with pytest.raises(OutputError) as error:
        run_cell(cell, scoring_of(tree, "test", selection))
    assert str(error.value) == (
        f"{cell.folder / 'run'} was started with {other}; pass the same settings and --selection, or choose "
        "another --out"
    )


@pytest.mark.slow
def test_a_precision_that_is_settled_on_is_no_other_setting(tree, tmp_path, monkeypatch):
    cell = cell_in(tmp_path / "seed0", "train.precision=auto")
    begun(cell, scoring_of(tree))
    resumed = []
    monkeypatch.setattr(running, "train", lambda *args, resume, **more: resumed.append(resume) or {})
    running.train_cell(cell, cell.settings, scoring_of(tree), open_dataset(tree), lambda done, total: None)
    assert resumed == [True]


@pytest.mark.slow
def test_a_damaged_settings_file_of_a_half_trained_cell_is_named(tree, tmp_path):
    cell = cell_in(tmp_path / "seed0")
    begun(cell, scoring_of(tree))
    path = cell.folder / "run" / "settings.yaml"
    path.write_text("model: {widht: 1}\n")
    with pytest.raises(OutputError) as error:
        run_cell(cell, scoring_of(tree))
    assert str(error.value) == (
        f"{path}: cannot be resumed: unknown setting model.widht; did you mean model.width?; delete "
        f"{path.parent} or choose another --out"
    )


@pytest.mark.slow
def test_each_persons_hits_in_all_trials_add_up_to_the_printed_rank_1(done, tree, monkeypatch):
    dataset = open_dataset(tree)

    def sides(name, split, trial):
        pair = dataset.direction(name, split)
        gallery = [t for t in pair.gallery if trial == 0 or t.camid == 2]  # the second trial: half the gallery
        return DirectionPair([t for t in pair.query if t.camid == 1], gallery)

    trials = replace(HITSZ_VCM, trials=(0, 1))
    monkeypatch.setattr(running, "open_dataset", lambda path: replace(dataset, protocol=trials, find_pair=sides))
    result = run_cell(cell_in(done), scoring_of(tree, "validation"))
    for direction in DIRECTIONS:
        people, scores = result.people[direction], result.directions[direction]
        assert sum(people.n) == 2 * scores.n_queries
        assert sum(people.hits) / sum(people.n) == pytest.approx(scores.rank1)
        assert sum(people.precision) / sum(people.n) == pytest.approx(scores.mAP, abs=1e-5)


@pytest.mark.slow
def test_checkpoints_that_an_interruption_left_are_no_further_tries(done, tree, monkeypatch):
    run = done / "run"
    for step in (1, 2, 3, N_STEPS):  # 1 and 3: where it was stopped
        (run / "state" / f"{step:09d}").mkdir(parents=True)
        copy = shutil.copy(run / "model.safetensors", run / "state" / f"{step:09d}")
        write_step(Path(copy), step)
    seen = []

    def evaluated(embedder, *rest):
        seen.append(embedder.on_bad_frame)
        figures = SimpleNamespace(rank1=0.5, mean_average_precision=0.5)
        return SimpleNamespace(scores=dict.fromkeys(DIRECTIONS, figures))

    read = []
    monkeypatch.setattr(selection, "evaluated", evaluated)
    monkeypatch.setattr(selection, "read_weights", lambda path: read.append(path.parent.name) or read_weights(path))
    dataset, scoring = open_dataset(tree), scoring_of(tree, "test", "test_best_legacy")
    cell = cell_in(done, "train.validate_every=1", "data.on_bad_frame=skip")
    legacy_best(run, dataset, with_selection(cell.settings, scoring.selection, dataset), scoring)
    assert read == [f"{2:09d}", f"{N_STEPS:09d}", "run"] and seen == ["skip"] * 3


def test_the_fields_habit_is_a_choice_on_test_people():
    with pytest.raises(SettingsError) as error:
        scoring_of(None, "validation", "test_best_legacy")
    assert str(error.value) == (
        "--selection test_best_legacy chooses on test people; got --split validation; leave out --split or choose "
        "another --selection"
    )


@pytest.mark.slow
def test_an_unknown_setting_of_an_old_cell_is_named_with_its_file(done, tree):
    path = done / "test.json"
    result = json.loads(path.read_text())
    result["settings"]["model"]["widht"] = 1
    path.write_text(json.dumps(result))
    with pytest.raises(OutputError) as error:
        find_result(cell_in(done), scoring_of(tree), "")
    assert str(error.value) == (
        f"{path} holds settings of another version of duskmatch: unknown setting model.widht; did you mean "
        "model.width?; delete it"
    )


@pytest.mark.slow
def test_a_cell_that_another_process_did_meanwhile_has_not_failed(scored, tree, tmp_path, monkeypatch):
    from duskmatch.cli import grids

    def other_process(waiting, scoring, at_once, on_end):
        for cell in waiting:
            shutil.copytree(scored, cell.folder)
        return {str(cell.folder): "is being run by another process" for cell in waiting}

    monkeypatch.setattr(grids, "run_with_progress", other_process)
    words = ["reproduce", "table1", "--data", str(tree), "--out", str(tmp_path / "o"), "--preset", "tiny", "-q"]
    assert main([*words, *FLAGS, "--device", "cpu", "--rows", "Baseline"]) == 0
    rows = json.loads((tmp_path / "o" / "table1.json").read_text())["rows"]
    assert {row["status"] for row in rows} == {"done"}


def test_a_cells_seconds_are_those_of_its_stages(tmp_path):
    settings = load_settings(
        "tiny", overrides=["train.stage0_epochs=3", "train.stage1_epochs=1", "train.stage2_epochs=1",
                           "train.stage0_frames=1", "data.train_frames_per_clip=4", "train.pids_per_batch=2",
                           "train.tracklets_per_pid=1"]
    )  # fmt: skip
    lines = ["step,stage,frames_per_s", "10,0,8", "20,0,800", "30,0,8", "40,1,4", "50,2,2"]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    found = time_of(tmp_path, 50, settings)  # 30 iterations of 4 frames, then twice 10 of 16
    assert found["seconds"] == pytest.approx(30 * 4 / 8 + 10 * 16 / 4 + 10 * 16 / 2)
    assert found["frames_per_s"] == pytest.approx(440 / found["seconds"])


STAGE0 = ["train.stage0_epochs=2", "train.stage0_lr=0.001", "train.log_every=1"]


@pytest.mark.slow
def test_cells_of_a_seed_train_their_stage_0_once_and_end_as_by_themselves(tree, tmp_path):
    overrides = [f"{key}={value}" for key, value in FAST.items()]
    settings = load_settings("tiny", overrides=[*overrides, *STAGE0, *narrow_start(tmp_path)], seed=1)
    seen = {}
    for name, off in (("Baseline", shared_stage.OFF), ("Full", {})):
        model = settings.model.model_copy(update=off)
        cell = Cell(name, settings.model_copy(update={"model": model}), tmp_path / "cells" / name / "seed1")
        seen[name] = []
        result = run_cell(cell, scoring_of(tree), lambda done, total, steps=seen[name]: steps.append(done))
        log = read_log(cell.folder / "run" / "log.csv")
        assert [row["step"] for row in log] == list(range(1, 9)) and result.seconds > 0
    assert seen == {"Baseline": list(range(1, 9)), "Full": [5, 6, 7, 8]}
    assert len(list((tmp_path / "stage0").iterdir())) == 1
    train(settings, open_dataset(tree), tmp_path / "alone", device="cpu")
    alone, shared = (load_file(run / "model.safetensors") for run in (tmp_path / "alone", cell.folder / "run"))
    assert all(torch.equal(alone[key], shared[key]) for key in alone)


@pytest.mark.slow
def test_two_cells_that_begin_together_wait_for_one_stage_0(tree, tmp_path):
    overrides = [f"{key}={value}" for key, value in FAST.items()]
    cells, start = [], narrow_start(tmp_path)
    for name, attack in (("a", "true"), ("b", "false")):
        settings = load_settings("tiny", overrides=[*overrides, *STAGE0, *start, f"model.attack={attack}"], seed=1)
        cells.append(Cell(name, settings, tmp_path / "cells" / name / "seed1"))
    steps = {"a": [], "b": []}
    ends = []
    failed = run_cells(
        cells,
        scoring_of(tree),
        at_once=2,
        on_step=lambda cell, done, total: steps[cell.row].append(done),
        on_end=lambda cell, why: ends.append(why),
    )
    assert failed == {} and ends == [None, None]
    assert [(cell.folder / "test.json").is_file() for cell in cells] == [True, True]
    (folder,) = (tmp_path / "stage0").glob("*/seed1")
    assert valid_steps(folder / "run") == [4]
