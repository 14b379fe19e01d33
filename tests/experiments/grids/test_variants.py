"""Rows of tables: the paper's, and one's own."""

import os
from pathlib import Path

import pytest

from duskmatch.errors import SettingsError
from duskmatch.experiments.grids.grid import Base, key_of, make_grid, settings_of, with_budget
from duskmatch.experiments.grids.sweep import same_value, sweep_rows, swept
from duskmatch.experiments.grids.variants import (
    COMPARED_METHODS,
    FIGURES,
    PRINTED,
    TABLE1,
    TABLE2,
    Row,
    read_rows,
    rows_of,
)
from tests.training.test_rows import TABLE_1


def test_the_printed_table_is_the_one_whose_figures_are_counts_of_queries():
    for direction, text in TABLE_1.items():
        ranks = [PRINTED[row][direction][f] for row in TABLE1 for f in FIGURES[:-1]]
        assert ranks == [float(word) for word in text.split()]
    assert PRINTED["Baseline+ASAM+ADM+FRM-STIG"]["visible_to_infrared"]["mAP"] == 51.76


def test_rows_come_in_the_tables_order_and_an_unknown_one_is_named():
    assert [r.name for r in rows_of(TABLE1, ["Baseline+ADM", "Baseline"])] == ["Baseline", "Baseline+ADM"]
    with pytest.raises(SettingsError) as error:
        rows_of(TABLE1, ["Baseline+AMD"])
    assert str(error.value).startswith("--rows must be of Baseline, Baseline+ASAM, ")
    assert str(error.value).endswith("; got Baseline+AMD; did you mean Baseline+ADM?")


def test_every_row_builds_on_one_above_it():
    above: list[str] = []
    for row in TABLE1.values():
        assert row.builds_on in (above or [None])
        above.append(row.name)


QUERIES = {"infrared_to_visible": 4584, "visible_to_infrared": 5099}


def test_the_printed_figures_of_compared_methods_are_counts_of_queries_but_for_vsds():
    def is_count(figure, n):
        return round(100 * round(figure * n / 100) / n, 2) == figure

    for method in COMPARED_METHODS:
        whole = [is_count(PRINTED[method][d][f], n) for d, n in QUERIES.items() for f in FIGURES[:-1]]
        assert all(whole) == (method != "VSD"), method


def test_both_tables_share_their_baseline_and_the_main_methods_rows():
    def of(row):
        return key_of(settings_of(row, 0, Base("small", budget=66)))

    assert of(TABLE2["Baseline"]) == of(TABLE1["Baseline"])
    assert of(TABLE2["Proposed*"]) == of(TABLE1["Baseline+ASAM+ADM"])
    assert of(TABLE2["Proposed"]) == of(TABLE1["Baseline+ASAM+ADM+FRM-STIG"])
    assert [row.name for row in rows_of(TABLE2)][1:7] == list(COMPARED_METHODS)


def test_rows_from_a_file(tmp_path):
    file = tmp_path / "rows.yaml"
    file.write_text(
        "plain:\nwide: {model.width: 0.5, train.decay_epochs: [2, 3]}\nwider: {builds_on: wide, model.width: 1}\n"
        "other: {method: lba}\n"
    )
    assert read_rows(file) == [
        Row("plain"),
        Row("wide", ("model.width=0.5", "train.decay_epochs=[2, 3]"), "plain"),
        Row("wider", ("model.width=1",), "wide"),
        Row("other", (), "plain", "lba"),
    ]
    wide = settings_of(read_rows(file)[1], 3, Base("tiny"))
    assert (wide.model.width, wide.train.decay_epochs, wide.seed) == (0.5, (2, 3), 3)


MERGES = "a0: &m0 {train.lr: 1}\n" + "".join(
    f"a{i + 1}: &m{i + 1} {{<<: [{','.join([f'*m{i}'] * 9)}]}}\n" for i in range(9)
)  # 9**9 values to be merged


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n", "must hold rows, `name: {section.key: value}`; got list"),
        ("a: 3\n", "row a must hold section.key: value; got int"),
        ("a:\nb: {builds_on: c}\n", "row b builds on c, which must be a row above it; there is no such row"),
        ("a: [\n", "cannot be read as rows: "),
        (
            '"a\\nb": {}\n',
            "a row's name must be one line of 1 to 100 characters without blanks at its ends; got 'a\\nb'",
        ),
        ("'': {}\n", "a row's name must be one line"),
        (f"{'n' * 101}: {{}}\n", "a row's name must be one line"),
        ("a: {seed: 3}\n", "row a: seed must be left out of a row; pass --seeds"),
        ("a: {preset: small}\n", "row a: preset must be left out of a row; pass --preset, or name the row's method"),
        (f"a: {{train.lr: 0x{'f' * 6000}}}\n", "row a: a value cannot be written out: "),
        (MERGES, "cannot be read as rows: aliases (*name) repeat more than 200,000 values"),
        ("a: &a {<<: *a}\n", "cannot be read as rows: aliases (*name) repeat more than 200,000 values"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(tmp_path, text, why):
    file = tmp_path / "rows.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        read_rows(file)
    assert str(error.value).startswith(f"{file}: {why}")


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("true", "yes"), ("16", "0x10")])
def test_rows_that_are_one_key_are_refused(tmp_path, one, other):
    file = tmp_path / "rows.yaml"
    file.write_text(f"{one}: {{}}\n{other}: {{train.lr: 0.5}}\n")
    with pytest.raises(SettingsError) as error:
        read_rows(file)
    assert str(error.value) == f"{file}, line 2: {other} must be there once; it is in line 1 too"


def test_a_pipe_is_no_file_of_rows(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "rows.yaml")
    with pytest.raises(SettingsError, match=r"rows\.yaml: cannot be read as rows: it is a pipe, socket or device$"):
        read_rows(tmp_path / "rows.yaml")


def test_an_unknown_method_is_refused_before_anything_is_trained():
    with pytest.raises(SettingsError, match=r"row b: model.name must be one of .*; got nosuch"):
        settings_of(Row("b", method="nosuch"), 0, Base("tiny"))


def test_an_unknown_setting_names_its_row():
    with pytest.raises(SettingsError, match=r"row b: unknown setting model.widht; did you mean model.width\?"):
        settings_of(Row("b", ("model.widht=1",)), 0, Base("tiny"))


def test_the_budget_keeps_the_epochs():
    settings = with_budget(settings_of(Row("a"), 0, Base("scratch")), 500)
    assert settings.train.steps_per_epoch == 30 and settings.train.stage1_epochs == 13  # 17 epochs
    with pytest.raises(SettingsError) as error:
        with_budget(settings, 16)
    assert str(error.value) == "--budget must be at least 17 iterations, one for each epoch; got 16"


def test_equal_rows_share_a_cell_and_other_seeds_do_not(tmp_path):
    grid = make_grid(
        [Row("a"), Row("b", ("model.width=0.125",)), Row("c", ("model.width=1",))], (1, 0), Base("tiny"), tmp_path
    )
    assert [(c.row, c.seed) for c in grid.queue()] == [("a", 1), ("c", 1), ("a", 0), ("c", 0)]  # tiny is 0.125 wide
    assert key_of(grid.cells["a", 0].settings) == key_of(grid.cells["a", 1].settings)


@pytest.mark.parametrize(
    ("seeds", "names", "why"), [((1, 1), "ab", "seed must be named once; got 1"), ((0,), "aa", "row must")]
)
def test_what_stands_twice_is_refused(tmp_path, seeds, names, why):
    with pytest.raises(SettingsError, match=why):
        make_grid([Row(n) for n in names], seeds, Base("tiny"), tmp_path)


def test_lists_of_values_are_parted_at_commas_outside_brackets():
    assert swept("a.b", "0.1,1, 9") == ["0.1", "1", "9"]
    assert swept("a.b", "[1,2],[3]") == ["[1,2]", "[3]"]
    assert swept("a.b", "[1,2]") == swept("a.b", "7") == []
    with pytest.raises(SettingsError) as error:
        swept("loss.margin", "1,,2")
    assert str(error.value) == "--loss.margin must list values once each, a,b,c; got 1,,2"


def test_a_sweep_runs_what_is_as_it_is_once():
    values = {"loss.attack_weight": ["0.1", "1"], "loss.triplet": ["squared", "euclidean"]}
    rows = sweep_rows(values, {"loss.attack_weight": 1.0, "loss.triplet": "euclidean"})
    assert [r.name for r in rows] == ["as is", "loss.attack_weight=0.1", "loss.triplet=squared"]


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [("1", 1.0, True), ("1e-4", 0.0001, True), ("true", True, True), ("1", True, False), ("[1,2]", (1, 2), True),
     ("null", None, True), ("own", "own", True), ("own", "other", False), ("0.5", 0.1, False)],
)  # fmt: skip
def test_what_an_override_means(text, value, same):
    assert same_value(text, value) is same


def test_the_rows_of_the_recorded_studies_are_settings_of_today():
    files = sorted((Path(__file__).parents[3] / "benchmarks" / "studies").glob("*.yaml"))
    assert files
    for file in files:
        rows = read_rows(file)
        assert len({settings_of(row, 0, Base("scratch")).model_dump_json() for row in rows}) == len(rows), file
