"""Grids of runs as a person calls them: run, killed, gone on with, read."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from duskmatch.cli import main
from duskmatch.experiments.grids.cells import CellResult
from tests.experiments.grids.conftest import FLAGS

ROWS = "Baseline,Baseline+ASAM+ADM+FRM-STIG"


def table1(tree, out, *more):
    flags = ["--preset", "tiny", "--device", "cpu", "-q", *FLAGS]
    return ["reproduce", "table1", "--data", str(tree), "--out", str(out), *flags, *more]


@pytest.fixture(scope="module")
def done(tree, tmp_path_factory):
    """Two rows, one seed, done."""
    out = tmp_path_factory.mktemp("grid")
    assert main(table1(tree, out, "--rows", ROWS)) == 0
    return out


@pytest.mark.slow
def test_a_table_has_its_rows_its_budget_and_the_word_synthetic(done):
    document = json.loads((done / "table1.json").read_text())
    assert [(r["name"], r["status"]) for r in document["rows"]] == [
        (name, "done") for name in ROWS.split(",") for _ in range(2)
    ]
    assert document["synthetic"] and document["budget"]["iterations"] == 4
    full, base = document["rows"][2], document["rows"][0]
    assert full["parameters"] > base["parameters"] > 0 and full["flops"] > base["flops"] > 0
    assert len(base["people"]["pids"]) == 4 and base["n_queries"] == sum(base["people"]["n"])
    assert base["rank1"] == pytest.approx(sum(base["people"]["hits"]) / base["n_queries"])
    assert base["mAP"] == pytest.approx(sum(base["people"]["precision"]) / base["n_queries"], abs=1e-5)
    for kind in ("md", "html"):
        text = (done / f"table1.{kind}").read_text()
        assert "SYNTHETIC" in text and "Baseline+ASAM+ADM+FRM-STIG" in text
    lines = (done / "table1.csv").read_text().splitlines()
    assert len(lines) == 5 and lines[1].startswith("Baseline,0,infrared_to_visible,done,")


@pytest.mark.slow
def test_table_2_runs_every_compared_method_and_shares_table_1s_cells(done, tree, tmp_path):
    out = tmp_path / "both"
    shutil.copytree(done, out)
    words = [word if word != "table1" else "table2" for word in table1(tree, out)]
    assert main([*words, "--rows", "Baseline,LbA,MPANet,DDAG,VSD,CAJL"]) == 0
    document = json.loads((out / "table2.json").read_text())
    assert {row["name"]: row["status"] for row in document["rows"]} == dict.fromkeys(
        ("Baseline", "LbA", "MPANet", "DDAG", "VSD", "CAJL"), "done"
    )
    before = json.loads((done / "table1.json").read_text())["rows"][0]
    assert document["rows"][0]["rank1"] == before["rank1"] and len(list((out / "cells").iterdir())) == 7
    assert "Table II" in (out / "table2.html").read_text()
    assert main([*words, "--rows", "Baseline,MITML", "--table-only"]) == 0
    rows = json.loads((out / "table2.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["done", "done", "not run", "not run"]


@pytest.mark.slow
def test_the_same_cell_scores_as_train_and_evaluate_do(done, tree, tmp_path):
    flags = ["--data", str(tree), "--device", "cpu", "-q"]
    off = ["--model.attack", "false", "--model.defense", "false", "--model.sequence", "none"]
    assert main(["train", *flags, "--preset", "tiny", "--out", str(tmp_path / "run"), *FLAGS, *off]) == 0
    assert main(["evaluate", str(tmp_path / "run"), *flags, "--no-report"]) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    rows = json.loads((done / "table1.json").read_text())["rows"]
    for row in rows[:2]:
        assert {k: row[k] for k in ("rank1", "mAP", "mINP", "chance")} == {
            k: scores[row["direction"]][k] for k in ("rank1", "mAP", "mINP", "chance")
        }


@pytest.mark.slow
def test_finished_cells_are_not_run_again_and_missing_ones_say_so(done, tree, capsys):
    cells = sorted(done.glob("cells/*/*/test.json"))
    before = [c.stat().st_mtime_ns for c in cells]
    assert main(table1(tree, done, "--rows", ROWS, "--seeds", "0,1", "--table-only")) == 0
    assert [c.stat().st_mtime_ns for c in cells] == before and len(cells) == 2
    document = json.loads((done / "table1.json").read_text())
    assert [r["status"] for r in document["rows"] if r["seed"] == 1] == ["not run"] * 4
    assert all(r["rank1"] is None for r in document["rows"] if r["seed"] == 1)
    whole = main(table1(tree, done, "--table-only"))
    text = capsys.readouterr().out
    assert whole == 0 and "| Baseline+ADM | 0 | not run |" in text
    head = next(line for line in text.splitlines() if line.startswith("| row |"))
    assert {line.count("|") for line in text.splitlines() if line.startswith("| Baseline+ADM | 0")} == {head.count("|")}


@pytest.mark.slow
def test_cells_are_scored_on_other_people_without_being_trained_again(done, tree, tmp_path):
    out = tmp_path / "both"
    shutil.copytree(done, out)
    weights = sorted(out.glob("cells/*/*/run/model.safetensors"))
    before = [(w.stat().st_mtime_ns, w.stat().st_ino) for w in weights]
    assert len(weights) == 2 and main(table1(tree, out, "--rows", ROWS, "--split", "validation")) == 0
    assert [(w.stat().st_mtime_ns, w.stat().st_ino) for w in weights] == before
    document = json.loads((out / "table1.json").read_text())
    assert document["split"] == "validation" and {r["status"] for r in document["rows"]} == {"done"}
    first = document["rows"][0]
    cells = [w.parents[1] for w in weights]
    run = next(c / "run" for c in cells if json.loads((c / "test.json").read_text())["row"] == first["name"])
    words = ["evaluate", str(run), "--data", str(tree), "--device", "cpu", "-q", "--no-report", "--split", "validation"]
    assert main([*words, "--out", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())[first["direction"]]
    assert {k: first[k] for k in ("rank1", "mAP", "chance")} == {k: scores[k] for k in ("rank1", "mAP", "chance")}
    seconds = [json.loads((cells[0] / f"{split}.json").read_text())["seconds"] for split in ("validation", "test")]
    assert seconds[0] == seconds[1] > 0
    assert main(table1(tree, out, "--rows", ROWS, "--table-only")) == 0  # the test people's results are still there
    assert json.loads((out / "table1.json").read_text())["split"] == "test"


@pytest.mark.slow
def test_a_killed_queue_goes_on_and_ends_with_the_same_scores(done, tree, tmp_path):
    out = tmp_path / "killed"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "duskmatch", *table1(tree, out, "--rows", ROWS, "--at-once", "1")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("cells/*/*/test.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert len(list(out.glob("cells/*/*/test.json"))) == 1
    time.sleep(1.0)  # the orphan sees at its next iteration that nobody waits for it
    for _ in range(60):  # until it has left the RUN
        if main(table1(tree, out, "--rows", ROWS)) == 0:
            break
        time.sleep(0.5)
    one, other = (json.loads((o / "table1.json").read_text()) for o in (done, out))
    assert main(table1(tree, done, "--rows", ROWS, "--table-only")) == 0
    one = json.loads((done / "table1.json").read_text())
    figures = ("name", "seed", "direction", "rank1", "rank5", "mAP", "mINP", "people")
    assert [{k: r[k] for k in figures} for r in one["rows"]] == [{k: r[k] for k in figures} for r in other["rows"]]


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_stops_no_other(tree, tmp_path, capfd):
    rows = tmp_path / "rows.yaml"
    rows.write_text("good:\nbad: {train.pids_per_batch: 64}\n")
    flags = ["sweep", "--data", str(tree), "--out", str(tmp_path / "o"), "--preset", "tiny", "-q", *FLAGS]
    assert main([*flags, "--rows", str(rows), "--device", "cpu"]) == 2
    printed = capfd.readouterr()
    assert "cells that failed: 1, the first: people per batch must not be more than" in printed.err
    document = json.loads((tmp_path / "o" / "sweep.json").read_text())
    assert [r["status"][:4] for r in document["rows"]][:2] == ["done", "done"]
    assert document["rows"][2]["status"].startswith("people per batch must not be more than")


@pytest.mark.slow
def test_a_sweep_draws_its_curves(tree, tmp_path):
    out = tmp_path / "o"
    flags = ["sweep", "--data", str(tree), "--out", str(out), "--preset", "tiny", "-q", *FLAGS, "--device", "cpu"]
    assert main([*flags, "--loss.attack_weight", "0.1,1"]) == 0
    document = json.loads((out / "sweep.json").read_text())
    assert list(document["settings"]) == ["as is", "loss.attack_weight=0.1"]
    assert (out / "sweep_curves.png").stat().st_size > 5000 and "<svg" in (out / "sweep.html").read_text()


@pytest.mark.slow
def test_the_fields_habit_stands_beside_the_last_checkpoint_and_is_flagged(tree, tmp_path):
    out = tmp_path / "o"
    more = ["--rows", "Baseline", "--selection", "test_best_legacy", "--train.validate_every", "1"]
    assert main(table1(tree, out, *more)) == 0
    row = json.loads((out / "table1.json").read_text())["rows"][0]
    assert row["test_best_legacy"]["rank1"] >= row["rank1"] and row["test_best_legacy"]["mAP"] >= row["mAP"]
    assert row["test_best_legacy"]["mAP_step"] in (2, 4)
    text = (out / "table1.md").read_text()
    assert "picked on TEST" in text and "no honest score" in text


@pytest.mark.slow
def test_a_damaged_cell_is_named(done, tree, tmp_path, capsys):
    import shutil

    out = tmp_path / "copy"
    shutil.copytree(done, out)
    cell = sorted(out.glob("cells/*/*/test.json"))[0]
    CellResult.model_validate_json(cell.read_text())
    cell.write_text("{}")
    assert main(table1(tree, out, "--rows", ROWS, "--table-only")) == 2
    assert f"{cell} is damaged: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--seeds", "0,x"], "--seeds must be whole numbers, a,b,c; got 0,x"),
        (["--at-once", "0"], "--at-once must be at least 1; got 0"),
        (["--rows", "Base"], "--rows must be of Baseline, "),
        (["--budget", "1"], "--budget must be at least 2 iterations, one for each epoch; got 1"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(tree, tmp_path, capsys, words, why):
    assert main(table1(tree, tmp_path / "o", *words)) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_sweep_needs_something_to_vary(tree, tmp_path, capsys):
    assert main(["sweep", "--data", str(tree), "--out", str(tmp_path / "o"), "--preset", "tiny"]) == 2
    assert "sweep needs one of --rows FILE or a setting with several values" in capsys.readouterr().err
