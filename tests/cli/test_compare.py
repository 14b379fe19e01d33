"""`duskmatch compare`, as a person calls it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from duskmatch.cli import main
from duskmatch.cli.compare import names_of
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.errors import DataError
from duskmatch.evaluation import count_test_reads
from duskmatch.training import train
from tests.data.layouts import write_regdb
from tests.data.tree import Tree
from tests.training.conftest import FAST
from tests.training.headers import with_data

BASELINE = ["model.attack=false", "model.defense=false", "model.sequence=none", "data.frames_per_clip=3"]
OTHER = ["data.height=192", "data.width=96", "data.grey=true", "data.per_clip=true", "model.n_parts=3"]
FEW = ["--queries", "2", "--people", "3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set marked as generated and two runs of other settings trained on it."""
    root = tmp_path_factory.mktemp("place")
    people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 12)}
    Tree(root / "data", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
    for name, overrides in (("base", BASELINE), ("full", OTHER)):
        train(load_settings("tiny", overrides=[*FAST, *overrides]), open_dataset(root / "data"), root / name)
    return root


def command(place, out, *more, runs=("base", "full")):
    return ["compare", *(str(place / run) for run in runs), "--data", str(place / "data"), "--out", str(out), *more]


def test_runs_of_other_sizes_are_put_side_by_side(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(command(place, out, "--names", "Baseline, full model", *FEW, "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((out / "compare.json").read_text())
    assert [run["name"] for run in said["runs"]] == ["Baseline", "full model"]
    assert [run["run"] for run in said["runs"]] == [str(place / "base"), str(place / "full")]
    assert said["synthetic"] is True and said["split"] == "test" and said["people"] == 4
    for run in said["runs"]:
        for direction in ("infrared_to_visible", "visible_to_infrared"):
            assert 0 <= run[direction]["rank1"] <= 1 and run[direction]["n_queries"] == 8
        assert set(run["auc"]) == {"visible", "infrared", "across"} and 0 <= run["auc"]["across"] <= 1
    assert said["runs"][0]["part_weights"] is None
    weights = said["runs"][1]["part_weights"]["infrared"]
    assert len(weights["mean"]) == 3 and weights["between_clips"] > 0
    assert {Path(path).name for path in [said["page"], *said["pictures"]]} | {"compare.json"} == {
        path.name for path in out.iterdir()
    }
    page = (out / "compare.html").read_text()
    assert page.index("SYNTHETIC") < page.index("<h2") and "full model" in page


def test_each_run_counts_as_one_reading_of_the_test_people(place, tmp_path, capsys):
    fingerprint = open_dataset(place / "data").fingerprint
    assert main(command(place, tmp_path / "v", *FEW, "--split", "validation", "-q")) == 0
    assert count_test_reads(fingerprint) == 0
    assert main(command(place, tmp_path / "t", *FEW, "-q")) == 0
    assert count_test_reads(fingerprint) == 2
    out = capsys.readouterr().out
    assert out.startswith("SYNTHETIC data (Duskwalk 1)") and "validation split, 3 people" in out
    assert "base  infrared → visible rank-1" in out and "full  infrared → visible rank-1" in out
    page = (tmp_path / "t" / "compare.html").read_text()
    assert "<dt>times these test people were read</dt><dd>2</dd>" in page


def test_the_figures_are_those_of_evaluate(place, tmp_path, capsys):
    assert main(command(place, tmp_path / "out", *FEW, "--json", runs=("full",))) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    arguments = ["evaluate", str(place / "full"), "--data", str(place / "data"), "--engine", "torch", "--no-report"]
    assert main([*arguments, "--out", str(tmp_path / "s.json"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    only_evaluate = {"verification", "open_set", "calibration"}
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        scored = document[direction]
        assert run[direction] == {key: scored[key] for key in scored.keys() - only_evaluate}


def test_names_are_the_folders_unless_given():
    runs = [Path("a/one"), Path("b/two/")]
    assert names_of(runs, None) == ["one", "two"]
    assert names_of(runs, " x , y  z") == ["x", "y z"]
    assert names_of(runs[:1], "alone") == ["alone"]


def refused(capsys, arguments):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line.removeprefix("duskmatch: ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--names", "a"], "--names must hold a name for each of 2 runs, with commas between; got 1: a"),
        (["--names", "a,b,c"], "--names must hold a name for each of 2 runs, with commas between; got 3: a,b,c"),
        (["--names", "a, a"], "names of runs must differ; 2 are called a; choose others"),
        (["--names", "a,"], "--names must hold no empty name; got 'a,'"),
        (["--names", "a," + "b" * 41], f"a run's name must have at most 40 characters; got {'b' * 41}; pass --names"),
        (["--queries", "0"], "--queries must be at least 1; got 0"),
        (["--people", "1"], "--people must be from 2 to 26, as each gets a letter; got 1"),
        (["--people", "27"], "--people must be from 2 to 26, as each gets a letter; got 27"),
    ],
)  # fmt: skip
def test_refusals_before_anything_is_read(place, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.setattr("duskmatch.data.open_dataset", lambda path: pytest.fail("opened"))
    assert refused(capsys, command(place, tmp_path / "out", *more)) == message
    assert not (tmp_path / "out").exists()


def test_a_run_twice_needs_names(place, tmp_path, capsys):
    line = refused(capsys, command(place, tmp_path / "out", runs=("base", "base")))
    assert line == "names of runs must differ; 2 are called base; pass --names A,B,..."


def test_no_run_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["compare", "--data", "d", "--out", "o"])
    assert caught.value.code == 2
    assert "the following arguments are required: RUN" in capsys.readouterr().err


def test_an_unknown_run_is_refused_before_any_is_embedded(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("duskmatch.embedding.Embedder.embed_rows", lambda *_: pytest.fail("embedded"))
    line = refused(capsys, command(place, tmp_path / "out", runs=("base", "nowhere")))
    assert line == f"{place / 'nowhere'} is no RUN folder; name the folder given to `duskmatch train --out`"
    assert not (tmp_path / "out").exists()


def test_an_exported_folder_is_refused(place, tmp_path, capsys):
    exported = tmp_path / "folded"
    assert main(["export", str(place / "base"), "--format", "torch", "--out", str(exported), "-q"]) == 0
    capsys.readouterr()
    line = refused(capsys, ["compare", str(exported), "--data", str(place / "data"), "--out", str(tmp_path / "out")])
    assert line.startswith("an exported folder holds no network that gradients can pass; name the RUN")


def test_a_run_trained_on_another_split_is_refused(place, tmp_path, capsys, monkeypatch):
    source = open_dataset(place / "data")
    data = write_regdb(tmp_path / "regdb", [*source.train, *source.test], n=1)
    run = with_data(place / "base", tmp_path / "other", {"name": "RegDB", "protocol": "split-2"})
    monkeypatch.setattr("duskmatch.cli.evaluate.evaluate_with_progress", reached)
    arguments = ["compare", str(place / "full"), str(run), "--data", str(data), "--out", str(tmp_path / "out")]
    assert refused(capsys, arguments) == (
        f"{run} was trained on split-2 of RegDB, with many of the people whom split-1 tests; pass --protocol split-2, "
        "or --any-split to score it anyway"
    )
    for more in (["--protocol", "split-2"], ["--any-split"]):
        assert refused(capsys, [*arguments, *more]) == "reached"


def reached(*_, **__):
    raise DataError("reached")


def test_a_data_set_of_one_modality_is_refused(place, tmp_path, capsys):
    shutil.copytree(place / "data", tmp_path / "day")
    (tmp_path / "day" / "info" / "query_IDX.txt").write_text("\n")
    rows = (tmp_path / "day" / "info" / "track_test_info.txt").read_text().splitlines()
    day = [row for row in rows if row.startswith("2 ")]
    (tmp_path / "day" / "info" / "track_test_info.txt").write_text("\n".join(day) + "\n")
    arguments = ["compare", str(place / "base"), "--data", str(tmp_path / "day"), "--out", str(tmp_path / "out")]
    line = refused(capsys, arguments)
    assert line == (
        f"{tmp_path / 'day'}: the test split must hold tracklets of both modalities; it holds no infrared ones; choose "
        "another data set or split"
    )


def test_pictures_that_are_gone_are_named(place, tmp_path, capsys):
    shutil.copytree(place / "data", tmp_path / "data")
    gone = open_dataset(tmp_path / "data").test[0].frames[0]
    gone.unlink()
    arguments = ["compare", str(place / "base"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "-q"]
    assert refused(capsys, arguments).startswith(f"{gone}: the picture cannot be read")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_files_is_kept(place, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    line = refused(capsys, command(place, tmp_path))
    assert line == f"{tmp_path} must be empty; it holds files; choose another OUT or pass --overwrite"
    line = refused(capsys, command(place, place, "--overwrite"))
    assert line.startswith("--overwrite must not remove what is read") and (tmp_path / "mine.txt").is_file()
