"""Tables and charts of a document with missing, failed and finished cells."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from duskmatch.experiments import publish as publish_module
from duskmatch.experiments.grids import given, tables
from duskmatch.experiments.grids.cells import LegacyBest, Scoring
from duskmatch.experiments.grids.charts import grid_charts, grid_svgs
from duskmatch.experiments.grids.document import GridDocument, comparisons, grid_document
from duskmatch.experiments.grids.grid import Base, Study, make_grid
from duskmatch.experiments.grids.tables import differences_table, figures_table, grid_files, in_markdown
from duskmatch.experiments.grids.variants import TABLE1, Row, rows_of
from duskmatch.health import Health, in_short
from duskmatch.records import DIRECTIONS, HITSZ_VCM
from tests.experiments.grids.cells import result
from tests.test_health import DEAD
from tests.test_health import document as health_document

COMMITTED = sorted(
    path
    for path in (
        *(Path(__file__).parents[2] / "fixtures" / "older").glob("*.json"),
        *(Path(__file__).parents[3] / "benchmarks" / "results").glob("study_*.json"),
    )
    if "experiment" in json.loads(path.read_text(encoding="utf-8"))
)
ROWS = ["Baseline", "Baseline+ASAM", "Baseline+ADM"]
BASE = Base("tiny")
SCORING = Scoring(data=None, split="test", selection="last", device="cpu", threads=1)


def document(tmp_path, results, failed=None, *, name="Duskwalk", synthetic=True, rows=None, base=BASE, scoring=SCORING):
    grid = make_grid(rows or rows_of(TABLE1, ROWS), (0, 1), base, tmp_path)
    failed = {str(grid.cells[key].folder): why for key, why in (failed or {}).items()}
    facts = {"version": "2" if synthetic else "", "fingerprint": "f" * 64, "protocol": HITSZ_VCM}
    data = SimpleNamespace(name=name, synthetic=synthetic, **facts)
    return grid_document(Planned("table1", tmp_path, grid, scoring, data, results), failed)


@dataclass(frozen=True)
class Planned(Study):
    """A study whose cells' results were made by hand."""

    made: dict

    def results(self):
        return self.made


def write(out, made, *, name="table1"):
    """All files of a document; their paths by their ending."""
    publish_module.publish(out, name, made, grid_files(name, made))
    return {path.suffix[1:]: path for path in out.iterdir() if path.stem == name}


@pytest.fixture
def some(tmp_path):
    """Two seeds of the first row, one of the second, the third failed once."""
    results = {
        ("Baseline", 0): result("Baseline", 0, [1, 0, 1]),
        ("Baseline", 1): result("Baseline", 1, [0, 0, 1]),
        ("Baseline+ASAM", 1): result("Baseline+ASAM", 1, [2, 1, 2]),
    }
    return document(tmp_path, results, {("Baseline+ADM", 0): "the disk is full"})


def test_every_cell_of_the_grid_has_its_lines(some):
    status = {(row.name, row.seed): row.status for row in some.rows}
    assert status == {
        ("Baseline", 0): "done", ("Baseline", 1): "done", ("Baseline+ASAM", 0): "not run",
        ("Baseline+ASAM", 1): "done", ("Baseline+ADM", 0): "the disk is full", ("Baseline+ADM", 1): "not run",
    }  # fmt: skip


def test_the_table_shows_means_spreads_and_why_a_row_is_empty(some):
    _, head, rows = figures_table(some, "infrared_to_visible")
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[0][:3] == ["Baseline", "2", "25.0 ± 11.8"]  # 2 and 1 of 6 queries
    assert rows[1][:3] == ["Baseline+ASAM", "1", "83.3"]
    assert rows[2][:3] == ["Baseline+ADM", "0", "the disk is full; not run"] and set(rows[2][3:]) == {""}


def test_differences_are_over_common_seeds_alone(some):
    rows = differences_table(some).rows
    assert [row[:4] for row in rows] == [["Baseline+ASAM", "Baseline", "1", "+66.7"]]
    assert all(one.seeds == [1] for one in some.differences)


def test_charts_leave_out_what_is_not_there(some):
    scores, gains = grid_charts(some)
    assert list(scores.rows) == ["Baseline", "Baseline+ASAM"] and list(gains.rows) == ["Baseline+ASAM"]
    assert scores.series[0].dots[0].value == pytest.approx(25.0)
    assert gains.series[0].dots[0].value == pytest.approx(66.7, abs=0.04) and gains.line == "no difference"
    assert all("SYNTHETIC" in chart.title for chart in (scores, gains))
    assert all("<svg" in svg for svg in grid_svgs(some))


def test_nothing_done_is_a_table_and_no_chart(tmp_path):
    empty = document(tmp_path, {})
    assert grid_charts(empty) == [] and empty.differences == []
    paths = write(tmp_path / "out", empty)
    assert "png" not in paths and in_markdown(empty).count("not run") == 6


def test_a_single_row_has_no_differences_to_draw(tmp_path):
    one = document(tmp_path, {("Baseline", 0): result("Baseline", 0, [1, 1])})
    assert len(grid_charts(one)) == 1


def test_on_the_real_data_set_the_printed_figures_stand_beside_ours(tmp_path):
    seen = result("Baseline", 0, [1, 0, 1]).model_copy(update={"synthetic": False})
    text = in_markdown(document(tmp_path, {("Baseline", 0): seen}, name="HITSZ-VCM", synthetic=False))
    assert "| 58.05, 43.23 | -24.72, -9.90 |" in text  # 33.33 less them
    assert "SYNTHETIC" not in text and "HITSZ-VCM: real data" in text


def test_a_checkpoint_picked_on_test_people_is_flagged(tmp_path):
    best = LegacyBest(rank1=0.5, rank1_step=2, mAP=0.4, mAP_step=4)
    seen = result("Baseline", 0, [1, 0, 1]).model_copy(update={"test_best_legacy": dict.fromkeys(DIRECTIONS, best)})
    _, head, rows = figures_table(document(tmp_path, {("Baseline", 0): seen}), "visible_to_infrared")
    assert rows[0][head.index("rank-1, mAP picked on TEST")] == "50.0, 40.0"
    assert [len(row) for row in rows] == [len(head)] * 3


def test_dead_parts_stand_in_a_column_of_their_own(some, tmp_path):
    ill, well = (Health.model_validate(health_document(changes)) for changes in (DEAD, None))
    results = {
        ("Baseline", 0): result("Baseline", 0, [1, 0, 1]).model_copy(update={"health": ill}),
        ("Baseline", 1): result("Baseline", 1, [0, 0, 1]).model_copy(update={"health": well}),
        ("Baseline+ASAM", 1): result("Baseline+ASAM", 1, [2, 1, 2]).model_copy(update={"health": well}),
    }
    seen = document(tmp_path, results)
    _, head, rows = figures_table(seen, "infrared_to_visible")
    assert [len(row) for row in rows] == [len(head)] * 3
    assert [row[head.index("health of its parts")] for row in rows] == [
        "dead: LSTM_mot, A (Eq. 12); idle: IMSA (1 of 2) / all alive (1 of 2)", "all alive", ""
    ]  # fmt: skip
    assert {row.get("health") for row in tables.csv_rows(seen)} == {in_short(ill.model_dump()), "all alive", None}
    assert "health of its parts" not in figures_table(some, "infrared_to_visible").head  # of cells older than this


def test_the_pages_say_synthetic_in_every_file(some, tmp_path):
    paths = write(tmp_path / "out", some)
    for kind in ("md", "html"):
        assert "SYNTHETIC" in paths[kind].read_text()
    assert '"synthetic": true' in paths["json"].read_text() and ",True," in paths["csv"].read_text()
    assert paths["png"].stat().st_size > 5000


def test_a_pair_on_other_people_is_listed_and_stops_no_table(tmp_path):
    results = {
        ("Baseline", 0): result("Baseline", 0, [1, 0, 1]),
        ("Baseline+ASAM", 0): result("Baseline+ASAM", 0, [2, 1], first_pid=7),
        ("Baseline+ADM", 0): result("Baseline+ADM", 0, [2, 0, 1]),
    }
    made = document(tmp_path, results)
    assert {one.row for one in made.differences} == {"Baseline+ADM"}
    why = (
        "rows Baseline+ASAM and Baseline must be scored on the same people to be compared; infrared_to_visible has 2 "
        "and 3 people with 4 and 6 queries"
    )
    assert made.model_dump()["not_comparable"] == [{"row": "Baseline+ASAM", "against": "Baseline", "why": why}]
    paths = write(tmp_path / "out", made)
    for kind in ("md", "html"):
        assert f"Baseline+ASAM less Baseline: not comparable: {why}" in paths[kind].read_text()
    del results["Baseline+ADM", 0]  # nothing else is left to compare
    assert f"- Baseline+ASAM less Baseline: not comparable: {why}" in in_markdown(document(tmp_path, results))


def test_one_seed_and_one_person_say_what_they_cannot_tell(tmp_path):
    alike = {("Baseline", 0): result("Baseline", 0, [1, 0, 1]), ("Baseline+ASAM", 0): result("", 0, [2, 1, 2])}
    made = document(tmp_path, alike)
    assert differences_table(made).rows[0][-1] == "higher, one seed" and tables.ONE_SEED in in_markdown(made)
    assert grid_charts(made)[1].x_label == "95 % over people, one seed"
    single = {("Baseline", 0): result("Baseline", 0, [1]), ("Baseline+ASAM", 0): result("", 0, [2])}
    made = document(tmp_path, single)
    cells = ["+50.0", "not known", "not known", "no verdict"]
    assert differences_table(made).rows == [["Baseline+ASAM", "Baseline", "1", *cells, *cells]]
    dot = grid_charts(made)[1].series[0].dots[0]
    assert (dot.value, dot.low, dot.high) == (50, 50, 50)
    assert write(tmp_path / "out", made)["png"].stat().st_size > 5000


def test_what_differs_by_row_stands_at_the_head_and_row_by_row(tmp_path):
    rows = (Row("a"), Row("b", ("train.steps_per_epoch=1234", "evaluate.camera_rule=none")), Row("c", method="lba"))
    made = document(tmp_path, {}, rows=rows)
    own = made.rows_settings
    steps, n_epochs = (
        made.budget.steps_per_epoch,
        made.budget.stage1_epochs + made.budget.stage2_epochs,
    )
    assert own["a"].iterations == made.budget.iterations == steps * n_epochs
    assert own["b"].iterations == 1234 * n_epochs and own["b"].camera_rule == "none"
    assert own["c"].method == "lba"
    text = in_markdown(made)
    assert "(the first row's; differs by row: method self_attack or lba, iterations " in text
    assert f"iterations {steps * n_epochs:,} to {1234 * n_epochs:,}" in text
    assert f"- camera rule: differs by row: {HITSZ_VCM.camera_rule} or none\n" in text
    assert f"| b | self_attack | {1234 * n_epochs:,} | none |" in text
    assert "Settings that differ by row" in tables.html_page(made)
    assert "differ" not in in_markdown(document(tmp_path, {})).split("###")[0]


def test_the_file_of_settings_is_kept_as_long_as_it_is_the_one_that_was_used(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: {lr: 0.001}\nmodel: {attack: false}\n")
    base = Base("tiny", file)
    made = document(tmp_path, {}, base=base)
    assert made.model_dump()["settings_file"] == {
        "name": "mine.yaml",
        "content": {"train": {"lr": 0.001}, "model": {"attack": False}},
    }
    assert "- settings of mine.yaml: train.lr=0.001, model.attack=False\n" in in_markdown(made)
    assert document(tmp_path, {}).settings_file is None
    for spoil in (lambda: file.write_text("train: {lr: 0.002}\n"), lambda: file.write_text("train: ["), file.unlink):
        grid = make_grid(rows_of(TABLE1, ROWS), (0,), base, tmp_path)
        spoil()
        assert given.settings_file(grid) == given.SettingsFile(name="mine.yaml", content=None)
        file.write_text("train: {lr: 0.001}\n")
    gone = made.model_copy(update={"settings_file": given.SettingsFile(name="mine.yaml", content=None)})
    assert "- settings of mine.yaml: changed or gone since the cells were planned\n" in in_markdown(gone)


def test_cells_of_several_machines_name_them_all(tmp_path):
    other = {"machine": "another", "threads": 4, "versions": {"torch": "1", "numpy": "2"}}
    results = {
        ("Baseline", 0): result("Baseline", 0, [1, 0, 1]),
        ("Baseline", 1): result("Baseline", 1, [1, 0, 1]).model_copy(update=other),
        ("Baseline+ASAM", 0): result("Baseline+ASAM", 0, [1, 0, 1]),
    }
    made = document(tmp_path, results)
    assert (made.machine, made.threads) == ("by hand; another", [1, 4])
    assert made.versions == {"torch": "0, 1", "numpy": "2"}
    assert "- machine: by hand; another, 1 or 4 thread(s) a cell\n- torch: 0, 1\n" in in_markdown(made)


def test_the_habit_names_the_split_it_was_picked_on(tmp_path):
    best = LegacyBest(rank1=0.5, rank1_step=2, mAP=0.4, mAP_step=4)
    seen = result("Baseline", 0, [1, 0, 1]).model_copy(update={"test_best_legacy": dict.fromkeys(DIRECTIONS, best)})
    made = document(tmp_path, {("Baseline", 0): seen}, scoring=replace(SCORING, selection="test_best_legacy"))
    assert "rank-1, mAP picked on TEST" in in_markdown(made)
    text = in_markdown(made.model_copy(update={"split": "validation"}))  # no command makes such a document any more
    assert "rank-1, mAP picked on VALIDATION" in text and "TEST" not in text
    assert "the best checkpoint on the validation people" in text


def test_a_bar_in_a_name_cuts_no_cell(tmp_path):
    rows = (Row("plain"), Row("a|b", ("model.attack=false",), "plain"))
    results = {("plain", 0): result("plain", 0, [1, 0]), ("a|b", 0): result("a|b", 0, [2, 1])}
    lines = [line for line in in_markdown(document(tmp_path, results, rows=rows)).splitlines() if line.startswith("| ")]
    assert sum(line.startswith("| a\\|b | ") for line in lines) == 3  # two directions and the difference
    bars = {line.replace("\\|", "").count("|") for line in lines}
    assert bars == {12}  # of scores and of differences


def test_a_kill_leaves_no_document_beside_older_tables(some, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out, some)
    for module, step in (
        (publish_module, "write_text"),
        (tables, "write_csv"),
        (tables, "save_dots"),
        (publish_module, "write_json"),
    ):

        def killed(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, step, killed)
            write(out, some)
        assert not (out / "table1.json").exists()
    write(out, some)
    assert GridDocument.model_validate_json((out / "table1.json").read_text()) == some


def test_an_older_picture_goes_where_nothing_is_drawn(some, tmp_path):
    out = tmp_path / "out"
    write(out, some)
    assert (out / "table1.png").is_file()
    paths = write(out, document(tmp_path, {}))
    assert "png" not in paths and not (out / "table1.png").exists() and paths["json"].is_file()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_documents_of_older_versions_are_read_and_compared_anew(path):
    old = GridDocument.model_validate_json(path.read_text(encoding="utf-8"))
    names = list(old.builds_on)[:2]  # the rest is more of the same
    kept = {name: old.builds_on[name] for name in names}
    seen, left_out = comparisons([row for row in old.rows if row.name in names], kept)
    before = [one for one in old.differences if one.row == names[1] and one.against == names[0]]
    assert not left_out and len(seen) == len(before) == 6
    assert [one.difference for one in seen] == pytest.approx([one.difference for one in before])
    assert [one.people_deviation for one in seen] == pytest.approx([one.people_deviation for one in before])
    assert "| " + names[1] in in_markdown(old.model_copy(update={"differences": seen}))


def test_there_are_documents_of_older_versions():
    assert {"table2", "heads", "plus_second"} <= {path.stem for path in COMMITTED}
