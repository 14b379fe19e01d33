"""TRACKLETS: the table read and written, sides of a data set, and every refusal with its line."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duskmatch.data import Problem, open_dataset, open_tracklets, write_tracklets
from duskmatch.data.tracklets import has_splits, open_folder, split_spec
from duskmatch.errors import DataError
from duskmatch.records import Tracklet
from tests.data.tree import Tree, write_picture

HEADER = "tracklet_id,pid,camid,modality,begin_s,end_s,frames\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        write_picture(tmp_path / "walk" / f"{i}.jpg", seed=i)
    return tmp_path


def made(folder: Path, **changes: object) -> Tracklet:
    frames = tuple(folder / "walk" / f"{i}.jpg" for i in range(3))
    return replace(Tracklet(frames, 7, 2, "infrared", "seven", 1.5, 2.75), **changes)


def refusal(folder: Path, row: str) -> str:
    (folder / "tracklets.csv").write_text(HEADER + row + "\n")
    with pytest.raises(DataError) as error:
        open_tracklets(str(folder))
    return str(error.value).removeprefix(f"{folder}: tracklets.csv, line 2: ")


def test_what_is_written_is_read_back(folder: Path) -> None:
    tracklets = [made(folder), made(folder, tracklet_id="none", pid=-1, begin_s=None, end_s=None, modality="visible")]
    path = write_tracklets(folder, tracklets)
    assert path == folder / "tracklets.csv"
    assert path.read_text().splitlines()[:2] == [
        HEADER.strip(),
        "seven,7,2,infrared,1.5,2.75,walk/0.jpg;walk/1.jpg;walk/2.jpg",
    ]
    assert open_tracklets(str(folder)) == tracklets
    assert open_tracklets(folder) == tracklets


names = st.text(string.printable + "é=+@-;,\"'", min_size=1, max_size=20).filter(
    lambda name: name.isprintable() and name == name.strip() and name[0] != "'"
)


@given(names, st.integers(-1, 10**9), st.integers(0, 10**6), st.floats(0, 1e9), st.floats(0, 1e9))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_and_time_survives(folder: Path, name: str, pid: int, camid: int, a: float, b: float) -> None:
    tracklet = made(folder, tracklet_id=name, pid=pid, camid=camid, begin_s=min(a, b), end_s=max(a, b))
    write_tracklets(folder, [tracklet])
    assert open_tracklets(str(folder)) == [tracklet]


def test_a_spreadsheet_runs_nothing(folder: Path) -> None:
    write_tracklets(folder, [made(folder, tracklet_id="=HYPERLINK(1)")])
    assert "'=HYPERLINK(1)" in (folder / "tracklets.csv").read_text()
    assert open_tracklets(str(folder))[0].tracklet_id == "=HYPERLINK(1)"


def test_a_very_long_track_is_read(folder: Path) -> None:
    frames = tuple(folder / "walk" / f"{i}.jpg" for i in range(60_000))
    write_tracklets(folder, [made(folder, frames=frames)])
    assert len(open_tracklets(str(folder))[0]) == 60_000


@pytest.mark.parametrize("side", ["train", "query", "gallery", "validation-query", "validation-gallery"])
def test_sides_of_a_data_set(tmp_path: Path, side: str) -> None:
    people = {"train": (1,), "test": (2, 3), "validation": (4,)}
    dataset = open_dataset(Tree(tmp_path / "set", people=people).write())
    expected = {
        "train": dataset.train,
        "query": [t for t in dataset.test if t.modality == "infrared"],
        "gallery": [t for t in dataset.test if t.modality == "visible"],
        "validation-query": [t for t in dataset.validation if t.modality == "infrared"],
        "validation-gallery": [t for t in dataset.validation if t.modality == "visible"],
    }[side]
    assert expected
    assert open_tracklets(f"{dataset.root}:{side}") == expected


def test_an_unknown_side_names_the_nearest(tree: Tree) -> None:
    with pytest.raises(DataError) as error:
        open_tracklets(f"{tree.root}:galery")
    assert str(error.value) == (
        f"{tree.root}:galery: the word after the colon must be one of train, query, gallery, validation-query, "
        f"validation-gallery; got 'galery'; did you mean {tree.root}:gallery?"
    )


def test_a_data_set_without_its_side_is_told_which_there_are(tree: Tree) -> None:
    with pytest.raises(DataError) as error:
        open_tracklets(str(tree.root))
    assert str(error.value) == (
        f"{tree.root} must hold a tracklets.csv; found none; a data set is given as {tree.root}:query, "
        f"{tree.root}:gallery or {tree.root}:train"
    )


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        open_tracklets(str(tmp_path / "no"))
    assert str(error.value) == (
        f"{tmp_path / 'no'} must be a folder with a tracklets.csv, or DATASET:query and the like; "
        "there is no such folder; check the path"
    )


ROWS = [
    ("a,-5,2,infrared,,,walk/0.jpg", "pid must be -1 (unknown), 0 or more; got -5"),
    ("a,7,2,infrared,,,walk/0.jpg;walk/1.jpg;./walk/0.jpg", "each picture must be in a tracklet once; "
     "0.jpg is there twice; remove one"),
    (",7,2,infrared,,,walk/0.jpg", "tracklet_id must not be empty"),
    ("a,x,2,infrared,,,walk/0.jpg", "pid must be a whole number (-1: unknown); got 'x'"),
    ("a,7,2.5,infrared,,,walk/0.jpg", "camid must be a whole number (-1: unknown); got '2.5'"),
    ("a,7,2,ir,,,walk/0.jpg", "modality must be visible or infrared; got 'ir'"),
    ("a,7,2,infrared,nan,,walk/0.jpg", "begin_s must be seconds or empty; got 'nan'"),
    ("a,7,2,infrared,2,1,walk/0.jpg", "end_s must not be before begin_s; got 2.0 to 1.0"),
    ("a,7,2,infrared,,,", "frames must name at least one picture"),
    ("a,7,2,infrared,,", "a row must have 7 cells, one for each column; got 6"),
    ("a,7,2,infrared,,,walk/0.jpg;../../secret.jpg", "pictures must lie inside the folder of tracklets.csv; "
     "got '../../secret.jpg'; copy it there"),
    ("a,7,2,infrared,,,walk/../walk/0.jpg", "pictures must lie inside the folder of tracklets.csv; "
     "got 'walk/../walk/0.jpg'; copy it there"),
    ("a,7,2,infrared,,,/etc/passwd", "pictures must lie inside the folder of tracklets.csv; got '/etc/passwd'; "
     "copy it there"),
    ("a,7,2,infrared,,,C:\\x.jpg", "pictures must lie inside the folder of tracklets.csv; got 'C:\\\\x.jpg'; "
     "copy it there"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ROWS)
def test_a_broken_row_is_refused_with_its_line(folder: Path, row: str, message: str) -> None:
    assert refusal(folder, row) == message


def test_a_picture_that_is_a_link_out_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away") / "x.jpg"
    write_picture(away)
    (folder / "walk" / "link.jpg").symlink_to(away)
    message = refusal(folder, "a,7,2,infrared,,,walk/link.jpg")
    assert message == "pictures must lie inside the folder of tracklets.csv; got 'walk/link.jpg'; copy it there"


def test_a_table_without_rows_is_refused(folder: Path) -> None:
    (folder / "tracklets.csv").write_text(HEADER)
    with pytest.raises(DataError) as error:
        open_tracklets(folder)
    text = "the table must have rows below the names of its columns; it has none; add a row for each tracklet"
    assert str(error.value) == f"{folder}: tracklets.csv, line 1: {text}"


def test_the_pictures_of_a_row_that_stay_inside_are_kept(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "walk" / "link.jpg").symlink_to(tmp_path_factory.mktemp("away") / "x.jpg")
    row = "a,7,2,infrared,,,walk/0.jpg;walk/link.jpg;walk/1.jpg;../up.jpg"
    (folder / "tracklets.csv").write_text(HEADER + row + "\n")
    found: list[Problem] = []
    (tracklet,) = open_folder(folder, found.append).values()
    assert [frame.name for frame in tracklet.frames] == ["0.jpg", "1.jpg"]
    text = "pictures must lie inside the folder of tracklets.csv; got 'walk/link.jpg'; copy it there"
    more = "the same holds for 1 more picture, left out of the counts"
    assert found == [Problem("outside", "tracklets.csv", 2, f"{text}; {more}")]


def test_rows_that_lead_out_are_said_once_with_their_number(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "away").symlink_to(tmp_path_factory.mktemp("away"))
    rows = [f"t{i},7,2,infrared,,,away/{i}.jpg" for i in range(24)] + ["good,7,2,infrared,,,walk/0.jpg"]
    (folder / "tracklets.csv").write_text(HEADER + "\n".join(rows) + "\n")
    found: list[Problem] = []
    assert [t.tracklet_id for t in open_folder(folder, found.append).values()] == ["good"]
    text = "pictures must lie inside the folder of tracklets.csv; got 'away/0.jpg'; copy it there"
    more = "the same holds for 23 more pictures, left out of the counts"
    assert found == [Problem("outside", "tracklets.csv", 2, f"{text}; {more}")]


def test_a_picture_twice_in_a_tracklet_is_not_written(folder: Path) -> None:
    with pytest.raises(DataError, match="tracklet seven: each picture must be there once"):
        write_tracklets(folder, [made(folder, frames=made(folder).frames * 2)])


def test_a_name_used_twice_and_a_missing_column_are_refused(folder: Path) -> None:
    row = "a,7,2,infrared,,,walk/0.jpg"
    (folder / "tracklets.csv").write_text(f"{HEADER}{row}\n{row}\n")
    with pytest.raises(DataError) as error:
        open_tracklets(str(folder))
    text = "each tracklet_id must be there once; 'a' is in line 2 too"
    assert str(error.value) == f"{folder}: tracklets.csv, line 3: {text}"
    (folder / "tracklets.csv").write_text("tracklet_id,pid\n")
    with pytest.raises(DataError) as error:
        open_tracklets(str(folder))
    assert str(error.value) == (
        f"{folder}: tracklets.csv, line 1: the first line must name the columns tracklet_id, pid, camid, modality, "
        "begin_s, end_s, frames; camid, modality, begin_s, end_s, frames not found"
    )


def test_what_cannot_be_written_leaves_no_table(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away") / "x.jpg"
    with pytest.raises(DataError) as error:
        write_tracklets(folder, [made(folder, frames=(away,))])
    assert str(error.value) == (f"tracklet seven: its pictures must lie inside {folder}; got {away}; copy them there")
    with pytest.raises(DataError, match="each tracklet_id must be there once; 2 tracklets share 1 of them"):
        write_tracklets(folder, [made(folder), made(folder)])
    with pytest.raises(DataError, match="tracklet_id must be printable"):
        write_tracklets(folder, [made(folder, tracklet_id="'=1")])
    assert not (folder / "tracklets.csv").exists()


@pytest.mark.parametrize("way", ["relative", "link"])
def test_pictures_may_be_named_from_the_working_folder_or_through_a_link(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    named = Path(folder.name) if way == "relative" else elsewhere / "link"
    frames = tuple(named / frame.relative_to(folder) for frame in made(folder).frames)
    write_tracklets(named, [made(folder, frames=frames)])
    monkeypatch.chdir(elsewhere)
    (read,) = open_tracklets(folder)
    assert [frame.resolve() for frame in read.frames] == [frame.resolve() for frame in made(folder).frames]


def test_one_letter_may_name_a_data_set_or_a_drive() -> None:
    assert split_spec("x:query") == (Path("x"), "query")
    assert split_spec("C:data") == (Path("C:data"), None)
    assert split_spec(":query") == (Path(":query"), None)


def test_line_ends_of_old_systems_are_read(folder: Path) -> None:
    text = (HEADER + "a,7,2,infrared,,,walk/0.jpg\n").replace("\n", "\r")
    (folder / "tracklets.csv").write_bytes(text.encode())
    assert not has_splits(folder)
    assert [t.tracklet_id for t in open_tracklets(folder)] == ["a"]


def test_a_column_twice_is_refused(folder: Path) -> None:
    (folder / "tracklets.csv").write_text(HEADER.replace("pid", "pid,pid", 1) + "a,7,8,2,infrared,,,walk/0.jpg\n")
    with pytest.raises(DataError, match="line 1: each column must be there once; pid is there 2 times; remove one"):
        open_tracklets(folder)
