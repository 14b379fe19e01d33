"""`duskmatch check`: clean data pass, and of broken data every problem is listed, not the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duskmatch.cli import main
from duskmatch.data import open_dataset, write_tracklets
from tests.data.tree import Tree


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict, str]:
    status = main(["check", "--json", *arguments])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else {}, err


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "set", people={"train": (1, 2), "test": (3,), "validation": (4,)}, lengths=(11, 12))
    made.write()
    return made


def test_a_clean_set_is_counted_and_passes(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, err = check(capsys, str(tree.root), "--frames", "all")
    assert (status, err, found["problems"]) == (0, "", [])
    assert (found["name"], found["synthetic"]) == ("HITSZ-VCM layout", False)
    assert found["fingerprint"] == open_dataset(tree.root).fingerprint
    assert found["people"] == {"train": 2, "test": 1, "validation": 1}
    assert found["short"] == {"train": 8, "test": 4, "validation": 4}
    assert found["frames"] == {"checked": "all", "listed": 368, "missing": 0, "opened": 368, "unreadable": 0}
    counts = {row["what"]: (row["found"], row["expected"]) for row in found["counts"]}
    assert counts["train infrared tracks"] == (4, 4291)
    assert counts["test visible frames"] == (24, 118137)
    assert found["cameras"][0] == {
        "camid": 1,
        "train visible": 2, "train infrared": 2,
        "test visible": 1, "test infrared": 1,
        "validation visible": 1, "validation infrared": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("frames", "opened"), [("none", 0), ("sample", 32), ("all", 368)])
def test_frames_are_opened_as_asked(tree: Tree, capsys: pytest.CaptureFixture[str], frames: str, opened: int) -> None:
    assert check(capsys, str(tree.root), "--frames", frames, "--threads", "2")[1]["frames"]["opened"] == opened


def test_a_sample_is_the_middle_picture_of_each_track(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    frames = open_dataset(tree.root).train[0].frames  # 12 of them, the second track in its list
    for at in (0, 6, 11):
        data = bytearray(frames[at].read_bytes())
        data[20:-2] = bytes(len(data) - 22)  # begins and ends like a JPEG
        frames[at].write_bytes(data)
    problems = check(capsys, str(tree.root))[1]["problems"]
    assert [(p["kind"], p["line"]) for p in problems] == [("unreadable", 11 + 7)]


def test_a_sample_looks_at_the_size_and_end_of_all_pictures(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    frames = open_dataset(tree.root).train[0].frames
    frames[0].write_bytes(b"")
    size = frames[11].stat().st_size // 2
    frames[11].write_bytes(frames[11].read_bytes()[:size])
    frames[3].write_bytes(frames[3].read_bytes() + bytes(100))  # bytes after the end do no harm
    status, found, _ = check(capsys, str(tree.root))
    assert [(p["kind"], p["line"]) for p in found["problems"]] == [("unreadable", 12), ("unreadable", 23)]
    texts = [p["text"].split(": ", 1)[1] for p in found["problems"]]
    assert texts == [
        "the picture is empty (0 bytes); copy it from the data set",
        f"the file is cut off ({size} bytes); copy it from the data set",
    ]
    assert (status, found["frames"]["opened"], found["frames"]["unreadable"]) == (2, 32, 2)
    assert check(capsys, str(tree.root), "--frames", "none")[1]["problems"] == []


def test_all_problems_are_listed_with_file_and_line(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    train = open_dataset(tree.root).splits["train"].tracklets
    train[1].frames[2].unlink()
    train[2].frames[0].write_bytes(b"")
    train[3].frames[1].write_bytes(train[3].frames[1].read_bytes()[:300])
    tree.edit("train_name.txt", 40, "../0001M1D1T1F1.jpg")
    tree.edit("train_name.txt", 60, "0001M2D1T1F100.jpg")
    tree.edit("track_train_info.txt", 8, "2 81 9999 0001 2")
    tree.edit("track_train_info.txt", 9, "1 104 93 0002 1")
    tree.edit("track_train_info.txt", 10, "1 104 116 0002 1")
    tree.edit("track_train_info.txt", 11, "2 116 126 0002 2")
    tree.edit("track_train_info.txt", 12, "1 127 138 2")
    tree.edit("track_test_info.txt", 1, "1 1 11 0001 1")
    tree.file("query_IDX.txt").write_text("1 2 3\n4 4 5\n99\n")
    status, found, err = check(capsys, str(tree.root), "--frames", "all")
    problems = {(p["kind"], p["file"], p["line"]) for p in found["problems"]}
    assert problems == {
        ("missing", "info/train_name.txt", 3),
        ("unreadable", "info/train_name.txt", 12),
        ("unreadable", "info/train_name.txt", 25),
        ("malformed", "info/train_name.txt", 40),
        ("duplicate", "info/train_name.txt", 60),
        ("malformed", "info/track_train_info.txt", 8),
        ("malformed", "info/track_train_info.txt", 9),
        ("contradictory", "info/track_train_info.txt", 10),
        ("contradictory", "info/track_train_info.txt", 11),
        ("malformed", "info/track_train_info.txt", 12),
        ("contradictory", "info/track_test_info.txt", 1),
        ("duplicate", "info/query_IDX.txt", 2),
        ("contradictory", "info/query_IDX.txt", None),
        ("malformed", "info/query_IDX.txt", 3),
    }
    assert status == 2
    n = len(found["problems"])
    assert err == f"duskmatch: {tree.root}: {n} problems are listed above; correct the data and check again\n"


def test_people_in_two_splits_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Tree(tmp_path / "set", people={"train": (1, 2), "test": (2, 3)}, layout="split").write()
    status, found, err = check(capsys, str(root))
    assert [p["text"] for p in found["problems"]] == [
        "train and test people must be different ones; person 2 is in both"
    ]
    assert (status, err) == (2, f"duskmatch: {root}: 1 problem is listed above; correct the data and check again\n")


def test_a_missing_info_file_does_not_hide_the_rest(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.file("track_train_info.txt").unlink()
    status, found, _ = check(capsys, str(tree.root))
    assert (status, found["fingerprint"]) == (2, None)
    assert [(p["kind"], p["file"]) for p in found["problems"]] == [("missing", "info/track_train_info.txt")]
    assert found["people"]["test"] == 1


def test_words_for_a_person(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    (tree.root / "duskwalk.json").write_text('{"data_version": "1"}')
    assert main(["check", str(tree.root), "-q"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "data set: Duskwalk, version 1",
        "synthetic: yes, generated pictures",
        f"fingerprint: {open_dataset(tree.root).fingerprint}",
    ]
    assert "pictures: 368 listed, 0 missing, 32 opened (sample), 0 unreadable" in out
    assert ["train", "infrared", "tracks", "8", "-"] in [line.split() for line in out]
    assert out[-1] == "no problems"


def test_a_generated_set_is_held_to_what_it_says(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    pools = {"train": {"people": 2, "infrared_tracks": 8, "visible_tracks": 8, "frames": 184}, "val": {"people": 5}}
    (tree.root / "duskwalk.json").write_text(json.dumps({"data_version": "1", "pools": pools}))
    status, found, _ = check(capsys, str(tree.root))
    counts = {row["what"]: (row["found"], row["expected"]) for row in found["counts"]}
    assert counts["train frames"] == (184, 184)
    assert counts["test people"] == (1, None)
    rule = "a generated set must hold what its own record says"
    assert [p["text"] for p in found["problems"]] == [f"{rule}; validation people: expected 5, found 1"]
    assert status == 2


def test_a_folder_of_tracklets_is_checked_too(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tracklets = open_dataset(tree.root).train[:3]
    write_tracklets(tree.root, tracklets)
    status, found, _ = check(capsys, str(tree.root), "--frames", "all")
    assert (status, found["kind"], found["frames"]["opened"]) == (0, "tracklets", 36)
    lines = (tree.root / "tracklets.csv").read_text().splitlines()
    (tree.root / "tracklets.csv").write_text("\n".join([lines[0], "a,x,1,visible,,,a.jpg", *lines[1:]]))
    tracklets[1].frames[0].unlink()
    status, found, _ = check(capsys, str(tree.root), "--frames", "none")
    assert [(p["kind"], p["line"]) for p in found["problems"]] == [("malformed", 2), ("missing", 4)]
    assert status == 2


def test_control_characters_of_names_do_not_reach_the_terminal(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tracklets = open_dataset(tree.root).train[:1]
    path = write_tracklets(tree.root, tracklets)
    path.write_text(path.read_text() + 'b,1,1,"\x1b[31mred",,,a.jpg\n"c",1,1,visible,,,"\x1b[2J.jpg"\n')
    assert main(["check", str(tree.root)]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_no_data_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"duskmatch: {tmp_path} must hold train_name.txt")
