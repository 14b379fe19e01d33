"""The reader: both layouts, both places of the info files, the filter, the sides, the counts, the fingerprint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from duskmatch.data import Problem, open_dataset
from duskmatch.data.checking import describe_dataset
from duskmatch.data.vcm import OFFICIAL_COUNTS
from duskmatch.errors import DataError
from tests.data.tree import Tree, vcm_sized_info, write_picture


@pytest.mark.parametrize("layout", ["flat", "split"])
@pytest.mark.parametrize("info", ["info", "root"])
@pytest.mark.parametrize("query", ["one line", "many lines"])
def test_both_layouts_and_places_give_the_same_tracklets(tmp_path: Path, layout: str, info: str, query: str) -> None:
    root = Tree(tmp_path / "set", layout=layout, info=info, query=query).write()
    dataset = open_dataset(root)
    assert (dataset.name, dataset.synthetic, dataset.version) == ("HITSZ-VCM layout", False, "")
    assert len(dataset.train) == 3 * 2 * 2 * 2
    assert len(dataset.test) == 2 * 2 * 2 * 2
    assert dataset.validation == []
    first = dataset.test[0]
    assert (first.pid, first.camid, first.modality, len(first)) == (4, 1, "infrared", 12)
    assert first.tracklet_id == "0004M1D1T1"
    base = root / "Test" if layout == "split" else root
    assert first.frames[0] == base / "0004" / "ir" / "D1" / "100.jpg"
    assert all(frame.is_file() for tracklet in dataset.train + dataset.test for frame in tracklet.frames)


def test_rows_are_one_based_and_inclusive(tree: Tree) -> None:
    tracklet = open_dataset(tree.root).train[1]
    assert [frame.name for frame in tracklet.frames] == [f"{200 + f}.jpg" for f in range(13)]


def test_sides_are_the_query_list_and_the_visible_rest(tree: Tree) -> None:
    dataset = open_dataset(tree.root)
    night_to_day = dataset.direction("infrared_to_visible")
    assert {t.modality for t in night_to_day.query} == {"infrared"}
    assert {t.modality for t in night_to_day.gallery} == {"visible"}
    assert len(night_to_day.query) == len(night_to_day.gallery) == 8
    day_to_night = dataset.direction("visible_to_infrared")
    assert (day_to_night.query, day_to_night.gallery) == (night_to_day.gallery, night_to_day.query)


def test_query_side_keeps_the_order_of_the_list(tree: Tree) -> None:
    rows = tree.file("query_IDX.txt").read_text().split()
    tree.file("query_IDX.txt").write_text(" \t".join(reversed(rows)) + "\n\n")
    ids = [t.tracklet_id for t in open_dataset(tree.root).direction("infrared_to_visible").query]
    assert ids[0] == "0005M1D2T2"
    assert ids[-1] == "0004M1D1T1"


def test_tracks_under_twelve_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = open_dataset(Tree(tmp_path / "set", lengths=(11, 12)).write())
    assert dataset.n_short == {"train": 12, "test": 8}
    assert {len(t) for t in dataset.train + dataset.test} == {12}
    pair = dataset.direction("infrared_to_visible")
    assert len(pair.query) == len(pair.gallery) == 4


def test_validation_people_are_read_where_there_are_any(tmp_path: Path) -> None:
    people = {"train": (1, 2), "test": (3,), "validation": (4, 5)}
    dataset = open_dataset(Tree(tmp_path / "set", people=people, duskwalk=True).write())
    assert (dataset.name, dataset.version, dataset.synthetic) == ("Duskwalk", "1", True)
    assert {t.pid for t in dataset.validation} == {4, 5}
    pair = dataset.direction("visible_to_infrared", split="validation")
    assert {t.pid for t in pair.query} == {4, 5}
    assert {t.modality for t in pair.query} == {"visible"}


def test_no_validation_people_is_said(tree: Tree) -> None:
    with pytest.raises(DataError) as error:
        open_dataset(tree.root).direction("infrared_to_visible", split="validation")
    assert str(error.value) == f"{tree.root}: a direction is scored on test; got 'validation'"


def test_windows_line_ends_and_a_byte_order_mark_are_read(tree: Tree) -> None:
    before = [t.tracklet_id for t in open_dataset(tree.root).train]
    path = tree.file("track_train_info.txt")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert [t.tracklet_id for t in open_dataset(tree.root).train] == before


def test_a_track_number_used_again_gets_a_name_of_its_own(tree: Tree) -> None:
    # One track of 13 frames cut in two rows of 6 and 7 would both be short, so join it with its neighbour first.
    lines = tree.file("train_name.txt").read_text().splitlines()
    lines[12:25] = [line.replace("T2F", "T1F") for line in lines[12:25]]
    tree.file("train_name.txt").write_text("\n".join(lines))
    ids = [t.tracklet_id for t in open_dataset(tree.root).train]
    assert ids[:2] == ["0001M1D1T1", "0001M1D1T1F200"]
    assert len(set(ids)) == len(ids)


@pytest.fixture(scope="module")
def vcm_sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vcm") / "set"
    vcm_sized_info(root)
    return root


@pytest.mark.slow
def test_a_copy_with_the_official_counts_is_hitsz_vcm(vcm_sized: Path) -> None:
    dataset = open_dataset(vcm_sized)
    assert dataset.name == "HITSZ-VCM"
    assert dataset.counts() == OFFICIAL_COUNTS
    pair = dataset.direction("infrared_to_visible")
    assert (len(pair.query), len(pair.gallery)) == (4584, 5099)
    assert dataset.n_short == {"train": 200, "test": 200}


@pytest.mark.slow
def test_a_copy_that_claims_to_be_hitsz_vcm_and_is_not_names_each_count(vcm_sized: Path, tmp_path: Path) -> None:
    root = shutil.copytree(vcm_sized, tmp_path / "set")
    rows = (root / "info" / "track_train_info.txt").read_text().splitlines()
    modality, start, end, pid, camid = rows[0].split()
    rows[0] = f"{modality} {start} {int(end) - 1} {pid} {camid}"
    (root / "info" / "track_train_info.txt").write_text("\n".join(rows))
    with pytest.raises(DataError) as error:
        open_dataset(root)
    assert str(error.value) == (
        f"{root}: this copy claims to be HITSZ-VCM but its counts after the 12-frame filter differ "
        "(train infrared frames: expected 98214, found 98213); copy the info files and archives again"
    )


def test_a_marker_holds_a_copy_to_the_official_counts(tree: Tree) -> None:
    (tree.root / "HITSZ-VCM").touch()
    with pytest.raises(DataError, match="test visible tracks: expected 5099, found 8"):
        open_dataset(tree.root)


def test_fingerprint_is_the_same_wherever_the_data_lie(tmp_path: Path) -> None:
    flat = open_dataset(Tree(tmp_path / "a" / "set").write()).fingerprint
    split = open_dataset(Tree(tmp_path / "b", layout="split", info="root").write()).fingerprint
    assert flat == split
    assert len(flat) == 64


def test_fingerprint_sees_a_changed_row_and_a_changed_size(tree: Tree) -> None:
    before = open_dataset(tree.root).fingerprint
    picture = open_dataset(tree.root).train[0].frames[0]
    data = picture.read_bytes()
    picture.write_bytes(data + b"\0")
    assert open_dataset(tree.root).fingerprint != before
    picture.write_bytes(data)
    assert open_dataset(tree.root).fingerprint == before
    picture.unlink()
    assert open_dataset(tree.root).fingerprint != before
    picture.write_bytes(data)
    tree.edit("track_train_info.txt", 2, "1 13 24 0001 1")
    assert open_dataset(tree.root).fingerprint != before


def test_walks_are_keyed_by_tracklet(tree: Tree) -> None:
    assert open_dataset(tree.root).walks() == {}
    tree.file("walks.csv").write_text("split,row,view_degrees\ntest,2,45\ntrain,1,90\n")
    walks = open_dataset(tree.root).walks()
    assert {name: walk["view_degrees"] for name, walk in walks.items()} == {"0004M1D1T2": "45", "0001M1D1T1": "90"}
    tree.file("walks.csv").write_text("split,row,view_degrees\ntest,2,45\ntest,17,90\n")
    with pytest.raises(DataError) as error:
        open_dataset(tree.root).walks()
    text = "split and row must name a track: train, val or test, and a line of its track file; write the set again"
    assert str(error.value) == f"{tree.root / 'info' / 'walks.csv'}, line 3: {text}"


def test_a_set_of_test_people_alone_is_read(tmp_path: Path) -> None:
    people = {"train": (), "test": (1, 2), "validation": ()}
    dataset = open_dataset(Tree(tmp_path / "set", people=people, duskwalk=True).write())
    assert (dataset.train, dataset.validation, len(dataset.test)) == ([], [], 16)


def test_no_folder_and_no_info_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path / "no")
    assert str(error.value) == (
        f"{tmp_path / 'no'} must be a folder with a data set in it; there is no such folder; check the path"
    )
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} must hold train_name.txt and its companions in info/ or at its root; "
        "found neither; pass the folder that holds them"
    )


ROWS = [
    (
        "train_name.txt",
        3,
        "0001M3D1T1F2.jpg",
        "a name must look like 0001M2D3T1F1.jpg (pid, modality 1 or 2, camera, track, frame); got '0001M3D1T1F2.jpg'",
    ),
    (
        "train_name.txt",
        3,
        "../../../etc/passwd",
        "a name must look like 0001M2D3T1F1.jpg (pid, modality 1 or 2, "
        "camera, track, frame); got '../../../etc/passwd'",
    ),
    (
        "train_name.txt",
        3,
        "0001M1D1T1F/etc/1.jpg",
        "a name must look like 0001M2D3T1F1.jpg (pid, modality 1 or 2, "
        "camera, track, frame); got '0001M1D1T1F/etc/1.jpg'",
    ),
    ("train_name.txt", 3, "0001M1D1T1F101.jpg", "each name must be there once; 0001M1D1T1F101.jpg is in line 2 too"),
    (
        "train_name.txt",
        3,
        "",
        "a name must look like 0001M2D3T1F1.jpg (pid, modality 1 or 2, camera, track, frame); got ''",
    ),
    (
        "track_train_info.txt",
        1,
        "1 1 12 0001",
        "a track must be five whole numbers: modality start end pid camera; got '1 1 12 0001'",
    ),
    (
        "track_train_info.txt",
        1,
        "1 1 x 0001 1",
        "a track must be five whole numbers: modality start end pid camera; got '1 1 x 0001 1'",
    ),
    ("track_train_info.txt", 1, "3 1 12 0001 1", "modality must be 1 (infrared) or 2 (visible); got 3"),
    ("track_train_info.txt", 1, "1 0 12 0001 1", "start must be at least 1 and end not before it; got 0 to 12"),
    ("track_train_info.txt", 1, "1 12 1 0001 1", "start must be at least 1 and end not before it; got 12 to 1"),
    ("track_train_info.txt", 1, "1 1 999 0001 1", "end must be a line of train_name.txt, 1 to 300; got 999"),
    ("track_train_info.txt", 2, "1 12 25 0001 1", "line 12 of train_name.txt belongs to row 1 already"),
    (
        "track_train_info.txt",
        1,
        "1 1 12 0002 1",
        "the row says person 2, infrared, camera 1; line 1 of train_name.txt says person 1, infrared, camera 1",
    ),
    (
        "track_train_info.txt",
        1,
        "2 1 12 0001 1",
        "the row says person 1, visible, camera 1; line 1 of train_name.txt says person 1, infrared, camera 1",
    ),
    (
        "track_train_info.txt",
        1,
        "1 1 12 0001 7",
        "the row says person 1, infrared, camera 7; line 1 of train_name.txt says person 1, infrared, camera 1",
    ),
    ("query_IDX.txt", 1, "1 2 17", "a query must be a row of the track file, 1 to 16; got '17'"),
    ("query_IDX.txt", 1, "1 two", "a query must be a row of the track file, 1 to 16; got 'two'"),
    ("query_IDX.txt", 1, "1 2 1", "each query must be there once; row 1 is in line 1 already"),
]


@pytest.mark.parametrize(("file", "line", "text", "message"), ROWS)
def test_a_broken_row_is_refused_with_file_and_line(tree: Tree, file: str, line: int, text: str, message: str) -> None:
    tree.edit(file, line, text)
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    assert str(error.value) == f"{tree.root}: info/{file}, line {line}: {message}"


def test_query_list_is_held_to_the_infrared_side(tree: Tree) -> None:
    tree.file("query_IDX.txt").write_text("1 2 3 4 5 9 10 11 12")
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    text = "a query must be an infrared track; row 5 of track_test_info.txt is visible"
    assert str(error.value) == f"{tree.root}: info/query_IDX.txt: {text}"
    tree.file("query_IDX.txt").write_text("1 2 3 4 9 10 11")
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    text = "every infrared track must be a query; row 12 of track_test_info.txt is not in the list"
    assert str(error.value) == f"{tree.root}: info/query_IDX.txt: {text}"


def test_a_person_in_training_and_test_is_refused(tmp_path: Path) -> None:
    root = Tree(tmp_path / "set", people={"train": (1, 2), "test": (2, 3)}, layout="split").write()
    with pytest.raises(DataError) as error:
        open_dataset(root)
    text = "train and test people must be different ones; person 2 is in both"
    assert str(error.value) == f"{root}: track_test_info.txt: {text}"


def test_a_missing_info_file_is_named(tree: Tree) -> None:
    tree.file("query_IDX.txt").unlink()
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    text = "this info file is missing; copy it from the data set"
    assert str(error.value) == f"{tree.root}: info/query_IDX.txt: {text}"


def test_links_that_leave_the_data_are_refused(tree: Tree, tmp_path: Path) -> None:
    write_picture(tmp_path / "elsewhere" / "100.jpg")
    picture = tree.root / "0001" / "ir" / "D1" / "100.jpg"
    picture.unlink()
    picture.symlink_to(tmp_path / "elsewhere" / "100.jpg")
    rule = "pictures must lie inside the data set's own folder; this is a link that leaves it"
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    assert str(error.value) == f"{tree.root}: 0001/ir/D1/100.jpg: {rule}; copy the pictures in its place"


def test_a_folder_that_is_a_link_out_is_refused_and_one_that_stays_is_not(tree: Tree, tmp_path: Path) -> None:
    folder = tree.root / "0001" / "ir" / "D1"
    shutil.move(folder, tree.root / "kept")
    folder.symlink_to(tree.root / "kept")
    assert open_dataset(tree.root).train[0].frames[0].is_file()
    folder.unlink()
    shutil.move(tree.root / "kept", tmp_path / "gone")
    folder.symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"set: 0001/ir/D1: pictures must lie inside"):
        open_dataset(tree.root)


def test_an_info_folder_that_is_a_link_out_is_refused(tree: Tree, tmp_path: Path) -> None:
    shutil.move(tree.root / "info", tmp_path / "info")
    (tree.root / "info").symlink_to(tmp_path / "info")
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    text = "info files must not be links that leave the data set; copy the file here"
    assert str(error.value) == f"{tree.root}: info/train_name.txt: {text}"


def test_tracks_outside_are_reported_and_not_opened(tree: Tree, tmp_path: Path) -> None:
    folder = tree.root / "0001" / "ir" / "D1"
    shutil.move(folder, tmp_path / "gone")
    folder.symlink_to(tmp_path / "gone")
    problems: list[Problem] = []
    dataset = open_dataset(tree.root, problems.append)
    assert [(problem.kind, problem.file) for problem in problems] == [("outside", "0001/ir/D1")]
    assert len(dataset.train) == 22
    assert all(frame.resolve().is_relative_to(tree.root) for t in dataset.train for frame in t.frames)


def test_a_picture_outside_in_every_track_leaves_the_counts_of_the_others(tree: Tree, tmp_path: Path) -> None:
    whole = open_dataset(tree.root)
    tracks = [*whole.train, *whole.test]
    for i, frame in enumerate(track.frames[1] for track in tracks):
        shutil.move(frame, tmp_path / f"{i}.jpg")
        frame.symlink_to(tmp_path / f"{i}.jpg")
    problems: list[Problem] = []
    found = open_dataset(tree.root, problems.append)
    assert [problem.kind for problem in problems] == ["outside"]
    assert f"the same holds for {len(tracks) - 1} more links" in problems[0].text
    for name, n in whole.counts().items():
        own = [t for t in tracks if name.startswith(("train" if t in whole.train else "test") + " " + t.modality)]
        assert found.counts()[name] == n - (len(own) if name.endswith("frames") else 0), name
    said = describe_dataset(found, problems, "all")
    assert said["frames"]["missing"] == said["frames"]["unreadable"] == 0 and said["short"] == whole.n_short
    gone = found.train[0].frames[1]
    gone.unlink()
    (problem,) = describe_dataset(found, [], "none")["problems"]
    names = tree.file("train_name.txt").read_text().splitlines()
    assert names[problem["line"] - 1].endswith(gone.name)


def test_a_data_set_reached_through_a_link_is_read(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree.root)
    assert open_dataset(tmp_path / "link").fingerprint == open_dataset(tree.root).fingerprint


def test_a_damaged_duskwalk_file_is_named(tree: Tree) -> None:
    (tree.root / "duskwalk.json").write_text("{")
    with pytest.raises(DataError) as error:
        open_dataset(tree.root)
    text = "it must be JSON with a data_version and is damaged; write the set again"
    assert str(error.value) == f"{tree.root}: duskwalk.json: {text}"


@pytest.mark.parametrize("content", ["[]", "[" * 30000, "null"])
def test_a_duskwalk_file_of_any_content_is_named(content: str, tree: Tree) -> None:
    (tree.root / "duskwalk.json").write_text(content)
    with pytest.raises(DataError, match="it must be JSON with a data_version and is damaged"):
        open_dataset(tree.root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data_version": 2}', "it is damaged: data_version: Input should be a valid string"),
        ('{"data_version": "2", "seed": 1e999}', "it must be JSON with a data_version and is damaged"),
        ('{"data_version": "2", "seed": NaN}', "it must be JSON with a data_version and is damaged"),
        ('{"data_version": "2", "seed": "7"}', "it is damaged: seed: Input should be a valid integer"),
        ('{"data_version": "2", "size": [96]}', "it is damaged: size: List should have at least 2 items"),
        (
            '{"data_version": "2", "severity": -1}',
            "it is damaged: severity: Input should be greater",
        ),
        ('{"data_version": "2", "pools": {"train": {"people": "x"}}}', "it is damaged: pools.train.people: "),
    ],
)
def test_a_duskwalk_file_with_impossible_facts_is_named(content: str, message: str, tree: Tree) -> None:
    (tree.root / "duskwalk.json").write_text(content)
    with pytest.raises(DataError, match=f"duskwalk.json: {message}.*write the set again"):
        open_dataset(tree.root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["duskwalk.json", "info/track_test_info.txt"])
def test_a_pipe_among_the_lists_is_not_waited_for(name: str, tree: Tree) -> None:
    (tree.root / name).unlink(missing_ok=True)
    os.mkfifo(tree.root / name)
    problems: list[Problem] = []
    dataset = open_dataset(tree.root, problems.append)
    assert problems
    if name.startswith("info"):
        with pytest.raises(OSError, match="it is a pipe, socket or device"):
            assert dataset.fingerprint
