"""Tables and charts of a document with missing, failed and finished cells."""

from types import SimpleNamespace

import pytest

from duskmatch.experiments.grids.cells import LegacyBest, Order
from duskmatch.experiments.grids.charts import grid_charts, grid_svgs
from duskmatch.experiments.grids.document import experiment_document
from duskmatch.experiments.grids.grid import Base, make_grid
from duskmatch.experiments.grids.tables import differences_table, figures_table, markdown, write_experiment
from duskmatch.experiments.grids.variants import TABLE1, rows_of
from duskmatch.records import DIRECTIONS, HITSZ_VCM
from tests.experiments.grids.cells import result

ROWS = ["Baseline", "Baseline+ASAM", "Baseline+ADM"]
ORDER = Order(data=None, split="test", selection="last", device="cpu", threads=1)


def document(tmp_path, results, failed=None, *, name="Duskwalk", synthetic=True):
    grid = make_grid(rows_of(TABLE1, ROWS), (0, 1), Base("tiny"), tmp_path)
    failed = {str(grid.cells[key].folder): why for key, why in (failed or {}).items()}
    facts = {"version": "2" if synthetic else "", "fingerprint": "f" * 64, "protocol": HITSZ_VCM}
    data = SimpleNamespace(name=name, synthetic=synthetic, **facts)
    return experiment_document("table1", grid, Base("tiny"), ORDER, data, results, failed)


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
    status = {(row["name"], row["seed"]): row["status"] for row in some["rows"]}
    assert status == {
        ("Baseline", 0): "done", ("Baseline", 1): "done", ("Baseline+ASAM", 0): "not run",
        ("Baseline+ASAM", 1): "done", ("Baseline+ADM", 0): "the disk is full", ("Baseline+ADM", 1): "not run",
    }  # fmt: skip


def test_the_table_shows_means_spreads_and_why_a_row_is_empty(some):
    head, rows = figures_table(some, "infrared_to_visible")
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[0][:3] == ["Baseline", "2", "25.0 ± 11.8"]  # 2 and 1 of 6 queries
    assert rows[1][:3] == ["Baseline+ASAM", "1", "83.3"]
    assert rows[2][:3] == ["Baseline+ADM", "0", "the disk is full; not run"] and set(rows[2][3:]) == {""}


def test_differences_are_over_common_seeds_alone(some):
    _, rows = differences_table(some)
    assert [row[:4] for row in rows] == [["Baseline+ASAM", "Baseline", "1", "+66.7"]]
    assert all(one["seeds"] == [1] for one in some["differences"])


def test_charts_leave_out_what_is_not_there(some):
    scores, gains = grid_charts(some)
    assert list(scores.rows) == ["Baseline", "Baseline+ASAM"] and list(gains.rows) == ["Baseline+ASAM"]
    assert scores.series[0].dots[0].value == pytest.approx(25.0)
    assert gains.series[0].dots[0].value == pytest.approx(66.7, abs=0.04) and gains.line == "no difference"
    assert all("SYNTHETIC" in chart.title for chart in (scores, gains))
    assert all("<svg" in svg for svg in grid_svgs(some))


def test_nothing_done_is_a_table_and_no_chart(tmp_path):
    empty = document(tmp_path, {})
    assert grid_charts(empty) == [] and empty["differences"] == []
    paths = write_experiment(tmp_path / "out", "table1", empty)
    assert "png" not in paths and markdown(empty).count("not run") == 6


def test_a_single_row_has_no_differences_to_draw(tmp_path):
    one = document(tmp_path, {("Baseline", 0): result("Baseline", 0, [1, 1])})
    assert len(grid_charts(one)) == 1


def test_on_the_real_data_set_the_printed_figures_stand_beside_ours(tmp_path):
    seen = result("Baseline", 0, [1, 0, 1]).model_copy(update={"synthetic": False})
    text = markdown(document(tmp_path, {("Baseline", 0): seen}, name="HITSZ-VCM", synthetic=False))
    assert "| 58.05, 43.23 | -24.72, -9.90 |" in text  # 33.33 less them
    assert "SYNTHETIC" not in text and "HITSZ-VCM: real data" in text


def test_a_checkpoint_picked_on_test_people_is_flagged(tmp_path):
    best = LegacyBest(rank1=0.5, rank1_step=2, mAP=0.4, mAP_step=4)
    seen = result("Baseline", 0, [1, 0, 1]).model_copy(update={"test_best_legacy": dict.fromkeys(DIRECTIONS, best)})
    head, rows = figures_table(document(tmp_path, {("Baseline", 0): seen}), "visible_to_infrared")
    assert rows[0][head.index("rank-1, mAP picked on TEST")] == "50.0, 40.0"
    assert [len(row) for row in rows] == [len(head)] * 3


def test_the_pages_say_synthetic_in_every_file(some, tmp_path):
    paths = write_experiment(tmp_path / "out", "table1", some)
    for kind in ("md", "html"):
        assert "SYNTHETIC" in paths[kind].read_text()
    assert '"synthetic": true' in paths["json"].read_text() and ",True," in paths["csv"].read_text()
    assert paths["png"].stat().st_size > 5000
