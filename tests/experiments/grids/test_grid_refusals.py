"""What a grid refuses before anything is trained, and where its cells' settings come from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from duskmatch.cli import build_parser, console, main, reproduce
from duskmatch.cli.grids import base_of, run_with_progress
from duskmatch.data import open_dataset
from duskmatch.data.dataset import DirectionPair
from duskmatch.errors import DataError, SettingsError
from duskmatch.experiments.grids import queue
from duskmatch.experiments.grids.cells import Cell, Scoring
from duskmatch.experiments.grids.grid import Base, check_data, check_machine, make_grid
from duskmatch.experiments.grids.variants import TABLE1, Row, read_rows, rows_of
from tests.data.bupt_tree import BuptTree
from tests.data.tree import Tree
from tests.experiments.grids.conftest import FLAGS


def words_of(command, data, out, *more):
    return [*command, "--data", str(data), "--out", str(out), "--preset", "tiny", "--device", "cpu", "-q", *more]


def scoring_of(data, split="test", selection="last"):
    return Scoring(data, split, selection, "cpu", 1)


def grid_in(folder, *overrides):
    return make_grid([Row("a", overrides)], [0], Base("tiny"), folder)


@pytest.fixture(scope="module")
def one_camera(tmp_path_factory):
    """People who are each seen by one camera alone: the camera rule removes every match."""
    people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 12)}
    root = tmp_path_factory.mktemp("one") / "tree"
    return Tree(root, people=people, cameras=(1,), lengths=(12,), pictures=False).write()


def test_people_whose_matches_the_camera_rule_takes_away_are_refused_at_once(one_camera, tmp_path, capsys):
    out = tmp_path / "o"
    assert main(words_of(["reproduce", "table1"], one_camera, out, *FLAGS)) == 2
    assert capsys.readouterr().err == (
        f"duskmatch: {one_camera}: infrared_to_visible on test people needs a query with a match; camera rule "
        "same-pid-same-camera removes every match; pass --evaluate.camera_rule none\n"
    )
    assert not out.exists()
    free = [*FLAGS, "--evaluate.camera_rule", "none", "--table-only"]
    assert main(words_of(["reproduce", "table1"], one_camera, out, *free)) == 0


def test_each_rule_that_a_row_uses_is_looked_at(one_camera, tmp_path):
    dataset = open_dataset(one_camera)
    rows = [Row("a", ("evaluate.camera_rule=none",)), Row("b")]
    with pytest.raises(DataError, match="camera rule same-pid-same-camera removes every match"):
        check_data(dataset, scoring_of(one_camera), make_grid(rows, [0], Base("tiny"), tmp_path))
    check_data(dataset, scoring_of(one_camera), make_grid(rows[:1], [0], Base("tiny"), tmp_path))


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (("visible", "infrared"), None),
        (("visible",), "infrared_to_visible on test people needs a query and a gallery; the query is empty; check the"),
        (("infrared",), "infrared_to_visible on test people needs a query and a gallery; the gallery is empty; check"),
    ],
)
def test_a_split_without_one_modality_is_refused_at_once(tree, tmp_path, keep, why):
    dataset = open_dataset(tree)

    def sides(name, split, trial):
        pair = dataset.direction(name, split)
        return DirectionPair(*([t for t in side if t.modality in keep] for side in pair))

    less = replace(dataset, find_pair=sides)
    if why is None:
        check_data(less, scoring_of(tree), grid_in(tmp_path))
        return
    with pytest.raises(DataError) as error:
        check_data(less, scoring_of(tree), grid_in(tmp_path))
    assert str(error.value).startswith(f"{tree}: {why}")


def test_strangers_are_refused_whatever_the_rule(tree, tmp_path):
    dataset = open_dataset(tree)

    def sides(name, split, trial):
        pair = dataset.direction(name, split)
        return DirectionPair([t for t in pair.query if t.pid == 8], [t for t in pair.gallery if t.pid != 8])

    with pytest.raises(DataError) as error:
        check_data(replace(dataset, find_pair=sides), scoring_of(tree), grid_in(tmp_path))
    assert str(error.value).endswith(
        "needs a query with a match; no query's person is in the gallery; check the data or choose another --split"
    )


def test_the_people_that_checkpoints_are_chosen_on_are_looked_at_too(tree, tmp_path):
    dataset = open_dataset(tree)

    def sides(name, split, trial):
        pair = dataset.direction(name, split)
        return DirectionPair([], pair.gallery) if split == "validation" else pair

    less = replace(dataset, find_pair=sides)
    check_data(less, scoring_of(tree), grid_in(tmp_path))
    with pytest.raises(DataError, match="infrared_to_visible on validation people needs a query and a gallery"):
        check_data(less, scoring_of(tree, selection="validation"), grid_in(tmp_path))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["--train.selection", "validation"],
            "row Baseline: train.selection must be left out of a grid; got validation; pass --selection validation",
        ),
        (["--seed", "3"], "--seed is not used by a grid of runs; got 3; pass --seeds 3"),
        (
            ["--selection", "test_best_legacy", "--split", "validation"],
            "--selection test_best_legacy chooses on test people",
        ),
    ],
)
@pytest.mark.parametrize("table", ["table1", "table2"])
def test_flags_that_a_table_would_not_heed_are_refused(tree, tmp_path, capsys, table, words, why):
    assert main(words_of(["reproduce", table], tree, tmp_path / "o", *FLAGS, *words)) == 2
    assert capsys.readouterr().err.startswith(f"duskmatch: {why}")
    assert not (tmp_path / "o").exists()


def test_a_seed_before_the_tables_name_and_one_of_a_sweep_are_refused_too(tree, tmp_path, capsys):
    for command in (["reproduce", "--seed", "0", "table1"], ["sweep", "--seed", "0", "--loss.margin", "0.1,0.3"]):
        assert main(words_of(command, tree, tmp_path / "o", *FLAGS)) == 2
        assert capsys.readouterr().err == "duskmatch: --seed is not used by a grid of runs; got 0; pass --seeds 0\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a:\nb: {model.width: 1}\na: {model.width: 0.5}\n", "line 3: a must be there once; it is in line 1 too"),
        ("a: {model.width: 1, model.width: 0.5}\n", "line 1: model.width must be there once; it is in line 1 too"),
    ],
)
def test_a_row_or_setting_that_stands_twice_is_refused(tmp_path, text, why):
    file = tmp_path / "rows.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        read_rows(file)
    assert str(error.value) == f"{file}, {why}"


def test_what_a_merge_brings_may_be_changed_however_deep(tmp_path):
    file = tmp_path / "rows.yaml"
    file.write_text(
        "a: &a {model.width: 1, train.lr: 0.1}\nb: &b {<<: *a, train.lr: 0.2}\nc: {<<: [*b, *a], model.width: 2}\n"
    )
    assert [row.overrides for row in read_rows(file)] == [
        ("model.width=1", "train.lr=0.1"),
        ("model.width=1", "train.lr=0.2"),
        ("model.width=2", "train.lr=0.2"),
    ]


def test_a_row_that_builds_on_a_list_is_refused(tmp_path):
    file = tmp_path / "rows.yaml"
    file.write_text("a:\nb: {builds_on: [a]}\n")
    with pytest.raises(SettingsError) as error:
        read_rows(file)
    assert str(error.value) == (f"{file}: row b builds on ['a'], which must be a row above it; there is no such row")


@pytest.mark.parametrize("text", ["0.1,%5", "0.1,2026-13-45", "[,1"])
def test_a_swept_value_that_is_no_yaml_is_refused(tree, tmp_path, capsys, text):
    assert main(words_of(["sweep"], tree, tmp_path / "o", *FLAGS, "--loss.attack_weight", f"1,{text}")) == 2
    error = capsys.readouterr().err
    assert error.startswith("duskmatch: --loss.attack_weight: ") and error.count("\n") == 1
    assert "is no YAML value; got 1," in error


def test_row_names_are_no_markup(tmp_path, monkeypatch, capsys):
    row = "with [/b] and [red]"
    cell = Cell(row, grid_in(tmp_path).cells["a", 0].settings, tmp_path / "seed0")

    def run_cells(cells, scoring, *, at_once, on_step, on_end):
        on_step(cells[0], 1, 2)
        on_end(cells[0], None)
        return {}

    console.setup(quiet=False, verbose=False, as_json=False)
    monkeypatch.setattr(queue, "run_cells", run_cells)
    assert run_with_progress([cell], scoring_of(tmp_path), 1, on_end=lambda: None) == {}
    assert f"done: {row}, seed 0" in capsys.readouterr().err


def test_curves_of_an_earlier_sweep_do_not_stay(tree, tmp_path):
    rows = tmp_path / "rows.yaml"
    rows.write_text("a:\n")
    curves = tmp_path / "sweep_curves.png"
    curves.write_bytes(b"old")
    assert main(words_of(["sweep"], tree, tmp_path, *FLAGS, "--rows", str(rows), "--table-only")) == 0
    assert not curves.exists() and (tmp_path / "sweep.html").is_file()


def base_for(data, *more):
    args = build_parser("sweep").parse_args(["sweep", "--data", str(data), "--out", "o", "--preset", "small", *more])
    return base_of(args, {})


def test_what_the_protocol_brings_to_training_reaches_the_cells(tree, tmp_path):
    data = BuptTree(tmp_path / "bupt").write(open_dataset(tree)).root
    protocol = open_dataset(data).protocol
    settings = make_grid([Row("a")], [0], base_for(data), tmp_path).cells["a", 0].settings
    assert (settings.data.frames_per_clip, settings.data.sampling) == (protocol.frames_per_clip, "uniform")
    file = tmp_path / "settings.yaml"
    file.write_text("data: {frames_per_clip: 3}\n")  # a file and a row change it, as in `train`
    changed = make_grid([Row("a")], [0], base_for(data, "--settings", str(file)), tmp_path).cells["a", 0].settings
    assert (changed.data.frames_per_clip, changed.data.sampling) == (3, "uniform")


def test_cells_of_hitsz_vcms_layout_keep_their_folders(tree, tmp_path):
    rows = rows_of(TABLE1)
    now, before = (make_grid(rows, [0], base, tmp_path) for base in (base_for(tree), Base("small")))
    assert base_for(tree).defaults == () and now.cells == before.cells


@pytest.mark.parametrize(("words", "seed"), [([], 0), (["--seed", "3"], 3)])
def test_other_experiments_keep_their_seed(tmp_path, monkeypatch, words, seed):
    heard = []
    monkeypatch.setattr(reproduce, "module", lambda name, known=reproduce.module: heard_by(known(name), heard))
    for command in (["reproduce", *words, "motion"], ["reproduce", "motion", *words]):
        assert main([*command, str(tmp_path), "--data", str(tmp_path), "--out", "o", "-q"]) == 0
    assert heard == [seed, seed]


def heard_by(experiment, heard):
    """The experiment's flags, and instead of its work a note of the seed it was given."""
    return SimpleNamespace(add_arguments=experiment.add_arguments, run=lambda args: heard.append(args.seed))


def test_a_seed_is_finished_on_the_machine_it_was_begun_on(tmp_path):
    grid = make_grid([Row("a"), Row("b", ("train.lr=0.5",))], [0, 1], Base("tiny"), tmp_path)
    there = SimpleNamespace(row="a", machine="2 cores, x86_64, AVX512")
    second, other_seed = grid.cells["b", 0], grid.cells["a", 1]
    check_machine([second, other_seed], {("a", 0): there}, there.machine)
    check_machine([other_seed], {("a", 0): there}, "2 cores, x86_64, AVX2")
    with pytest.raises(
        SettingsError, match=r"seed 0 was started on another machine: row a on .* AVX512; this is .* AVX2"
    ):
        check_machine([other_seed, second], {("a", 0): there}, "2 cores, x86_64, AVX2")


def test_a_folder_that_has_a_documents_name_is_refused_before_anything_is_trained(tree, tmp_path, capsys):
    (tmp_path / "table1.png").mkdir()
    assert main(words_of(["reproduce", "table1"], tree, tmp_path, *FLAGS)) == 2
    place = tmp_path / "table1.png"
    assert capsys.readouterr().err == f"duskmatch: {place} must be a file's name; a folder has it; choose another\n"
    assert not (tmp_path / "cells").exists()
