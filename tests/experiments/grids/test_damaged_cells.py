"""A cell's result that is damaged, of another place or of another version is refused in one line, and never shown."""

from __future__ import annotations

import errno
import json
import os

import pytest

from duskmatch.config import load_settings
from duskmatch.errors import CheckpointError, OutputError
from duskmatch.experiments.grids.cells import Cell, Scoring, find_result
from duskmatch.experiments.grids.earlier import check_same_settings
from duskmatch.experiments.grids.running import _is_started, in_words_of_a_grid
from duskmatch.files import refusal
from duskmatch.training.checkpoint import RESUME
from tests.experiments.grids.cells import result

ONE = "infrared_to_visible"


@pytest.fixture
def cell(tmp_path):
    cell = Cell("a", load_settings("tiny", seed=0), tmp_path)
    (tmp_path / "test.json").write_text(result("a", 0, [1, 2, 2]).model_dump_json())
    return cell


@pytest.fixture
def scoring(tmp_path):
    return Scoring(tmp_path, "test", "last", "cpu", 1)


def found(cell, scoring):
    return find_result(cell, scoring, "0" * 64)


def changed(cell, **changes):
    """Writes the result with these entries in the place of its own, `a__b` meaning b of a."""
    path = cell.folder / "test.json"
    tree = json.loads(path.read_text())
    for key, value in changes.items():
        *above, last = key.split("__")
        part = tree
        for name in above:
            part = part[name]
        part[last] = value
    path.write_text(json.dumps(tree))


def test_a_whole_result_is_found(cell, scoring):
    assert found(cell, scoring) == result("a", 0, [1, 2, 2])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"directions": {}}, "directions lacks infrared_to_visible"),
        ({"people": {}}, "people lacks infrared_to_visible"),
        ({"parameters": {}}, "parameters lacks training"),
        ({"flops": 10**400}, "flops: "),
        ({"threads": -1}, "threads: "),
        ({"seconds": float("inf")}, "seconds: Input should be a finite number"),
        ({"test_best_legacy": {ONE: {"rank1": 2, "rank1_step": 1, "mAP": 0, "mAP_step": 1}}}, "test_best_legacy."),
        ({f"people__{ONE}__n": [2, 2]}, f"people.{ONE}: pids, n, hits and precision must be of one length"),
        ({f"people__{ONE}__n": [-2, 2, 2]}, f"people.{ONE}.n.0: "),
        ({f"people__{ONE}__n": [2, 2, 10**400]}, f"people.{ONE}.n.2: "),
        ({f"people__{ONE}__hits": [1, 2, 3]}, f"people.{ONE}: a person of 2 queries cannot have 3 hits"),
        ({f"people__{ONE}__pids": [3, 2, 1]}, f"people.{ONE}: pids must be there and rise"),
        ({f"people__{ONE}__pids": []}, f"people.{ONE}: pids must be there and rise"),
        ({f"people__{ONE}__precision": [float("nan")] * 3}, f"people.{ONE}.precision.0: "),
        ({f"directions__{ONE}__rank1": 0.5}, f"{ONE} has rank1 0.5000, its people 0.8333"),
        ({f"directions__{ONE}__mAP": 0.5}, f"{ONE} has mAP 0.5000, its people 0.8333"),
        ({"health": {"schema_version": 9, "checkpoint": "last", "parts": [], "validation": None,
                     "not_measured": "x"}}, "health.schema_version: Input should be 1"),
    ],
)  # fmt: skip
def test_a_result_that_cannot_be_is_refused(cell, scoring, changes, why):
    changed(cell, **changes)
    with pytest.raises(OutputError) as error:
        found(cell, scoring)
    message = str(error.value)
    assert message.startswith(f"{cell.folder / 'test.json'} is damaged: {why}") and message.endswith("; delete it")
    assert "\n" not in message


@pytest.mark.parametrize(("split", "seed"), [("validation", 0), ("test", 5)])
def test_a_result_of_another_place_is_refused(cell, scoring, split, seed):
    changed(cell, split=split, seed=seed)
    with pytest.raises(OutputError) as error:
        found(cell, scoring)
    place = cell.folder / "test.json"
    assert str(error.value) == f"{place} is of {split} people and seed {seed}, not of its place; delete it"


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_what_is_no_file_is_refused_before_anything_is_trained(cell, scoring, what):
    path = cell.folder / "test.json"
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        pytest.skip("no pipes here")
    with pytest.raises(OutputError, match=r"cannot be read: .*; move it away or change its mode"):
        found(cell, scoring)


def test_several_trials_need_not_agree_with_all_their_queries(cell, scoring):
    scores = {**result("a", 0, [1, 2, 2]).directions[ONE].model_dump(), "n_queries": 3, "rank1": 0.7, "mAP": 0.7}
    changed(cell, **{f"directions__{ONE}": scores})
    assert found(cell, scoring).directions[ONE].rank1 == 0.7


def test_a_run_whose_settings_are_gone_is_in_words_of_a_grid(cell):
    run = cell.folder / "run"
    (run / "state" / "000000002").mkdir(parents=True)
    with pytest.raises(OutputError) as error:
        _is_started(run, cell.settings)
    assert str(error.value) == (
        f"{run / 'settings.yaml'} must say what {run} was begun with; it is missing or no file; delete {run}"
    )
    with pytest.raises(OutputError, match="it is missing or no file"):
        check_same_settings(run, cell.settings)


def test_a_checkpoint_that_cannot_be_resumed_says_what_to_delete(tmp_path):
    with pytest.raises(CheckpointError) as error, in_words_of_a_grid(tmp_path):
        raise CheckpointError("model.safetensors is damaged")
    assert str(error.value) == f"model.safetensors is damaged; to train from the beginning delete {tmp_path}"


def test_a_full_disk_in_a_cell_names_no_flag_that_a_grid_has_not(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError) as error, in_words_of_a_grid(tmp_path):
        raise refusal(tmp_path / "log.csv", full, RESUME)
    assert str(error.value).endswith("; free some space there, then run the same command again")
