"""Names of RUNs and data sets, and files that stand together or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from duskmatch.errors import OutputError, SettingsError
from duskmatch.evaluation.document import Part
from duskmatch.experiments import publish as publish_module
from duskmatch.experiments.document import Difference
from duskmatch.experiments.publish import change, check_place, markdown, publish
from duskmatch.experiments.subjects import run_names, short_names
from duskmatch.pictures.dots import Dot, DotChart, Dots, save_dots

CHARTS = [DotChart("a title", ["row"], [Dots("a", "#b4530a", [Dot(1.0, 0.5, 1.5)])])]


def test_names_are_as_much_of_the_paths_as_tells_them_apart(tmp_path: Path) -> None:
    def names(*paths: str) -> list[str]:
        return run_names([tmp_path / path for path in paths], None)

    assert names("x/run") == ["run"]
    assert names("x/run", "y/other") == ["run", "other"]
    assert names("x/run", "y/run") == ["x/run", "y/run"]
    assert names("a/x/run", "b/x/run") == ["a/x/run", "b/x/run"]


def test_given_names_count(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    assert run_names(places, "with, without") == ["with", "without"]
    assert run_names([places[0]] * 2, "once,again") == ["once", "again"]
    for given in ("one", "a,b,c", "a,a", ""):
        with pytest.raises(SettingsError) as caught:
            run_names(places, given)
        assert str(caught.value) == (
            f"--names must be 2 different names with commas between, one for each RUN; got {given!r}"
        )


def test_one_place_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        short_names([tmp_path / "a", tmp_path / "b" / ".." / "a"], "RUN")
    assert str(caught.value) == f"each RUN must be named once; {tmp_path / 'a'} is named 2 times"


def test_a_table_survives_names_with_bars_and_a_difference_has_its_sign() -> None:
    assert markdown(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"
    assert change(Difference(value=0.123, low=-0.01, high=0.2)) == "+12.3 (-1.0 to +20.0)" and change(None) == "–"


class Small(Part):
    a: int


def test_the_json_is_there_only_where_all_three_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = partial(save_dots, CHARTS)
    publish(tmp_path, "x", Small(a=1), {"x.png": drawn, "x.md": "table\n"})
    assert sorted(place.name for place in tmp_path.iterdir()) == ["x.json", "x.md", "x.png"]

    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(publish_module, "write_text", full)
    with pytest.raises(OutputError):
        publish(tmp_path, "x", Small(a=2), {"x.png": drawn, "x.md": "other\n"})
    assert sorted(place.name for place in tmp_path.iterdir()) == ["x.md", "x.png"]
    assert (tmp_path / "x.md").read_text() == "table\n"
    monkeypatch.undo()
    publish(tmp_path, "x", Small(a=3), {"x.png": None, "x.md": "other\n"})  # an older picture goes
    assert sorted(place.name for place in tmp_path.iterdir()) == ["x.json", "x.md"]


def test_a_place_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        check_place(tmp_path / "file", ["x.md"], overwrite=True)
    assert str(caught.value) == f"{tmp_path / 'file'} must be a folder; a file has that name; choose another --out"
    (tmp_path / "x.png").write_text("")
    with pytest.raises(OutputError) as caught:
        check_place(tmp_path, ["x.json", "x.png"], overwrite=False)
    assert str(caught.value) == (f"{tmp_path / 'x.png'} already exists; choose another --out or pass --overwrite")
    check_place(tmp_path, ["x.json", "x.png"], overwrite=True)
    check_place(tmp_path, ["y.json"], overwrite=False)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["file", "x.png"]
