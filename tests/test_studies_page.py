"""docs/studies.md and its appendices show the figures of benchmarks/results and no others."""

import json
from pathlib import Path

import pytest
from benchmarks import step_seconds, studies_page

from duskmatch.experiments.grids.variants import read_rows


@pytest.mark.parametrize("path", studies_page.PAGES, ids=lambda path: path.name)
def test_a_page_holds_the_figures_of_the_results(path):
    page = path.read_text(encoding="utf-8")
    assert studies_page.filled(page) == page, "run python -m benchmarks.studies_page"


def test_the_page_is_one_that_a_person_reads():
    assert len(studies_page.PAGES[0].read_text(encoding="utf-8").splitlines()) < 400


def test_tables_under_a_heading_open_on_a_click_and_differences_stay_open():
    table = "| a | 95 % |\n| --- | --- |\n| 1 | -0.1 to +2.0 |\n"
    head = "**SYNTHETIC data**\n\n- seeds: 0\n"
    text = f"{head}\n**Rank-1 (SYNTHETIC)**\n\n{table}\n**Differences (SYNTHETIC)**\n\n{table}\nPoints.\n"
    folded = studies_page.folded(text).replace("\N{NO-BREAK SPACE}", " ")
    fold = f"<details>\n<summary>Rank-1 (SYNTHETIC)</summary>\n\n{table}\n</details>\n"
    assert folded == text.replace(f"**Rank-1 (SYNTHETIC)**\n\n{table}", fold)
    assert "-0.1\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+2.0" in studies_page.folded(text)


def test_a_block_of_differences_holds_those_of_its_grid_and_nothing_else(tmp_path, monkeypatch):
    older = Path(__file__).parent / "fixtures" / "older" / "table2.json"
    document = json.loads(older.read_text(encoding="utf-8"))
    (tmp_path / "study_table2.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setattr(studies_page, "RESULTS", tmp_path)
    short, whole = (
        studies_page.filled(f"<!-- begin: table2{word} -->\n<!-- end -->\n") for word in (" differences", "")
    )
    assert "**Differences" in short and "SYNTHETIC" in short and "no verdict" in short
    lines = [line for line in short.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len({(one["row"], one["against"]) for one in document["differences"]})
    assert set(lines) < set(whole.splitlines()) and "cells done" in whole and "cells done" not in short


def test_rows_take_the_seconds_that_their_file_says():
    costs = {"0": 0.5, "1": 2.0, "2": 3.0}
    row = {"seconds_an_iteration": costs, "iterations": {"0": 1200, "1": 80, "2": 40}, "steps_per_epoch": 20}
    fast = {**row, "seconds_an_iteration": {"0": 0.5, "1": 0.5, "2": 0.5}}
    slow = {**row, "seconds_an_iteration": {**costs, "0": 0.9}}  # of stage 0 all rows have the median
    document = {"rows": dict.fromkeys(step_seconds.rows(), fast) | {step_seconds.FULL: slow}}
    studies = {name: rows for name, (_, rows) in step_seconds.studies_of(document).items()}
    equal = studies["equal_seconds"]
    assert equal["Full"].get("train.steps_per_epoch") is None and equal["Full"]["model.embedding"] == "auto"
    assert equal["Baseline"]["train.steps_per_epoch"] == round(880 / (66 * 0.5))
    assert equal["ASAM+ADM"]["builds_on"] == "Baseline"
    assert studies["table2"]["CAJL"] == {"method": "cajl", "train.steps_per_epoch": 27}
    longer = studies["long"]
    assert longer["Full, 4 times"]["train.steps_per_epoch"] == 80
    alone = longer["Full without stage 0, 4 times"]
    assert alone["train.stage0_epochs"] == 0
    spent = alone["train.steps_per_epoch"] * (alone["train.stage1_epochs"] * 2 + alone["train.stage2_epochs"] * 3)
    assert spent == pytest.approx(4 * 880, rel=0.02)


@pytest.mark.parametrize("name", ["equal_seconds", "long", "table2"])
def test_the_rows_that_lie_there_follow_from_what_was_measured(name, tmp_path, monkeypatch):
    document = json.loads(step_seconds.FIGURES.read_text(encoding="utf-8"))
    monkeypatch.setattr(step_seconds, "STUDIES", tmp_path)
    kept = Path(studies_page.HERE) / "studies" / f"{name}.yaml"
    step_seconds.write_studies(document)
    assert (tmp_path / kept.name).read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")
    assert read_rows(kept)[0].name == "Baseline"


def test_cells_that_are_kept_say_what_they_said(tmp_path, monkeypatch):
    cell = tmp_path / "grid" / "cells" / "0123" / "seed1"
    (cell / "run").mkdir(parents=True)
    (cell / "run" / "health.json").write_text("{}")
    found = {"row": "Full", "people": {"pids": [1, 2, 3], "precision": [0.5, -1e-05, 1.0]}, "none": []}
    (cell / "test.json").write_text(json.dumps(found))
    monkeypatch.setattr(studies_page, "RESULTS", tmp_path)
    (kept,) = studies_page.keep(tmp_path / "grid")
    assert kept == tmp_path / "cells" / "0123" / "seed1" / "test.json"
    assert json.loads(kept.read_text()) == found and "[1, 2, 3]" in kept.read_text()


def test_a_study_is_recorded_with_the_picture_that_its_page_shows(tmp_path, monkeypatch):
    page = tmp_path / "studies.md"
    page.write_text(
        "![](pictures/study_motion.png) ![](pictures/study_table2.png)\n\n<!-- begin: motion -->\n<!-- end -->\n"
    )
    for name, place in {"RESULTS": tmp_path, "PICTURES": tmp_path, "PAGES": [page]}.items():
        monkeypatch.setattr(studies_page, name, place)
    older = Path(__file__).parent / "fixtures" / "older"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "motion.json").write_bytes((older / "motion.json").read_bytes())
    (tmp_path / "out" / "motion.png").write_bytes(b"drawn by the experiment")
    studies_page.main(["record", "motion", str(tmp_path / "out" / "motion.json")])
    assert (tmp_path / "study_motion.png").read_bytes() == b"drawn by the experiment"
    assert "rank-1" in page.read_text(encoding="utf-8")
    studies_page.main(["record", "table2", str(older / "table2.json")])
    assert (tmp_path / "study_table2.png").read_bytes().startswith(b"\x89PNG")
