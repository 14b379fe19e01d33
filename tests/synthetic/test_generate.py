"""A data set on the disk: its layout, its bytes, its counterfactuals, its refusals."""

import csv
import hashlib
import json
import multiprocessing
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from duskmatch.errors import OutputError, SettingsError
from duskmatch.synthetic import DATA_VERSION, PRESETS, generate
from duskmatch.synthetic.variations import FACTORS


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "duskwalk.json"
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory, few):
    """Read by the tests, never written to."""
    out = tmp_path_factory.mktemp("duskwalk") / "base"
    generate(out, preset="few", seed=5, n_processes=1)
    return out


def test_layout_is_hitsz_vcms(base):
    names = (base / "info" / "test_name.txt").read_text().split()
    assert all(re.fullmatch(r"\d{4}M[12]D\d+T\d+F\d+\.jpg", name) for name in names)
    rows = [line.split() for line in (base / "info" / "track_test_info.txt").read_text().splitlines()]
    assert [int(rows[0][1]), int(rows[-1][2])] == [1, len(names)]
    for modality, begin, end, pid, camid in rows:
        for name in names[int(begin) - 1 : int(end)]:
            found = re.fullmatch(r"(\d{4})M([12])D(\d+)T\d+F(\d+)\.jpg", name)
            assert (found[1], found[2], found[3]) == (pid, modality, camid)
            assert (base / pid / ("ir" if modality == "1" else "rgb") / f"D{camid}" / f"{found[4]}.jpg").is_file()
    text = (base / "info" / "query_IDX.txt").read_text()
    assert text.count("\n") == 1
    assert [rows[int(i) - 1][0] for i in text.split()] == ["1"] * sum(row[0] == "1" for row in rows)
    assert len(list(base.rglob("*.jpg"))) == 7 * 6 * 12
    val = (base / "info" / "track_val_info.txt").read_text().split()
    assert (base / "info" / "val_query_IDX.txt").read_text().split() == ["1", "2", "3"]
    assert val[3] == "0007"


def test_another_size_keeps_people_and_walks(base, tmp_path):
    record = generate(tmp_path / "small", preset="few", seed=5, size=(24, 16), test_people=1, n_processes=1)
    assert record["size"] == [24, 16]
    picture = sorted((tmp_path / "small").rglob("*.jpg"))[0]
    assert cv2.imread(str(picture)).shape == (24, 16, 3)
    with (tmp_path / "small" / "info" / "walks.csv").open(newline="") as file:
        small = {row["tracklet_id"]: row for row in csv.DictReader(file)}
    with (base / "info" / "walks.csv").open(newline="") as file:
        large = {row["tracklet_id"]: row for row in csv.DictReader(file)}
    for name, row in small.items():
        assert {k: row[k] for k in ("view_degrees", "walk", "cadence_hz")} == {
            k: large[name][k] for k in ("view_degrees", "walk", "cadence_hz")
        }
    with pytest.raises(SettingsError) as error:
        generate(tmp_path / "o", preset="few", seed=5, size=(8, 48))
    assert str(error.value) == "size must be (H, W) from 16 to 1024 pixels; got (8, 48)"


def test_walks_has_a_row_for_each_track(base):
    with (base / "info" / "walks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 6
    tests = [row for row in rows if row["split"] == "test"]
    listed = [line.split() for line in (base / "info" / "track_test_info.txt").read_text().splitlines()]
    assert [(int(row["pid"]), int(row["camid"])) for row in tests] == [(int(r[3]), int(r[4])) for r in listed]
    assert [int(row["row"]) for row in tests] == list(range(1, len(tests) + 1))
    assert all(0 <= float(row["view_degrees"]) < 360 and 0 <= float(row["occluded_fraction"]) <= 1 for row in rows)


def test_record_says_what_it_is(base):
    record = json.loads((base / "duskwalk.json").read_text())
    assert (record["name"], record["data_version"], record["synthetic"]) == ("Duskwalk", DATA_VERSION, True)
    assert record["pools"]["test"] == {"people": 4, "infrared_tracks": 12, "visible_tracks": 12, "frames": 288}


def test_infrared_is_grey_and_day_is_not(base):
    night = cv2.imdecode(np.fromfile(next(base.glob("0001/ir/*/1.jpg")), np.uint8), cv2.IMREAD_COLOR)
    day = cv2.imdecode(np.fromfile(next(base.glob("0001/rgb/*/1.jpg")), np.uint8), cv2.IMREAD_COLOR)
    assert night.shape == day.shape == (48, 24, 3)
    assert (night[..., 0] == night[..., 2]).all()
    assert np.abs(day[..., 0].astype(int) - day[..., 2]).max() > 8


@pytest.mark.slow
def test_bytes_do_not_depend_on_processes(base, tmp_path, few):
    generate(tmp_path / "two", preset="few", seed=5, n_processes=2)
    assert digests(tmp_path / "two") == digests(base)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(base, tmp_path, few):
    generate(tmp_path / "again", preset="few", seed=5, n_processes=1)
    assert digests(tmp_path / "again") == digests(base)
    generate(tmp_path / "other", preset="few", seed=6, n_processes=1)
    assert not set(digests(tmp_path / "other").values()) & {
        value for name, value in digests(base).items() if name.endswith(".jpg")
    }


def test_severity_0_is_the_base_set(base, tmp_path, few):
    generate(tmp_path / "same", preset="few", seed=5, vary="pose", severity=0, n_processes=1)
    pictures = {name: value for name, value in digests(tmp_path / "same").items() if name.endswith(".jpg")}
    whole = digests(base)
    assert len(pictures) == 4 * 6 * 12
    assert all(whole[name] == value for name, value in pictures.items())


@pytest.mark.parametrize("factor", FACTORS)
def test_each_factor_changes_pictures_and_nothing_of_the_plan(base, tmp_path, few, factor):
    generate(tmp_path / "varied", preset="few", seed=5, vary=factor, severity=3, n_processes=1)
    varied, whole = digests(tmp_path / "varied"), digests(base)
    pictures = [name for name in varied if name.endswith(".jpg")]
    assert np.mean([varied[name] != whole[name] for name in pictures]) > 0.6
    for name in ("test_name.txt", "track_test_info.txt", "query_IDX.txt"):
        assert varied[f"info/{name}"] == whole[f"info/{name}"]


def pictures_of(folder):
    return {name: value for name, value in digests(folder).items() if name.endswith(".jpg")}


@pytest.mark.parametrize("varied", [{}, {"vary": "view", "severity": 0}], ids=["alone", "severity 0"])
def test_the_first_test_people_alone_are_the_whole_sets_to_the_byte(base, tmp_path, few, varied):
    record = generate(tmp_path / "some", preset="few", seed=5, test_people=2, n_processes=1, **varied)
    some, whole = pictures_of(tmp_path / "some"), pictures_of(base)
    assert {name[:4] for name in some} == {"0003", "0004"}  # two training people come first
    assert some == {name: value for name, value in whole.items() if name[:4] in ("0003", "0004")}
    for name, n in (("test_name.txt", 2 * 6 * 12), ("track_test_info.txt", 2 * 6)):
        lines = (base / "info" / name).read_text().splitlines()
        assert (tmp_path / "some" / "info" / name).read_text().splitlines() == lines[:n]
    assert (tmp_path / "some" / "info" / "train_name.txt").read_text() == ""
    assert record["test_people"] == 2 and record["pools"]["test"]["people"] == 2
    assert json.loads((tmp_path / "some" / "duskwalk.json").read_text()) == record


@pytest.mark.parametrize("order", [{"vary": "pose", "severity": 3}, {"twins": "gait_twins"}], ids=str)
def test_the_first_test_people_are_the_same_among_changed_walks_and_twins(tmp_path, few, order):
    generate(tmp_path / "all", preset="few", seed=5, n_processes=1, **order)
    generate(tmp_path / "one", preset="few", seed=5, test_people=1, n_processes=1, **order)
    one, whole = pictures_of(tmp_path / "one"), pictures_of(tmp_path / "all")
    assert one == {name: value for name, value in whole.items() if name.startswith("0003")}
    assert len(one) == 6 * 12


def test_a_whole_set_says_that_nobody_was_left_out(base):
    assert json.loads((base / "duskwalk.json").read_text())["test_people"] is None


def test_a_crash_leaves_no_record(tmp_path, few, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("duskmatch.synthetic.layout.write_lists", fail)
    with pytest.raises(OSError):
        generate(tmp_path / "broken", preset="few", seed=1, n_processes=1)
    assert list((tmp_path / "broken").rglob("*.jpg"))
    assert not (tmp_path / "broken" / "duskwalk.json").exists()


def test_a_full_disk_is_said_in_one_line(tmp_path, few, monkeypatch):
    write = Path.write_bytes

    def full(self, data):
        if ".jpg" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match=r"^cannot write .*0001.ir.D\d: the disk is full .*; free some space there"):
        generate(tmp_path / "full", preset="few", seed=1, n_processes=1)


@pytest.mark.slow
def test_a_killed_process_is_said_in_one_line(tmp_path, few):
    def kill(*_):
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(OutputError, match=r"is not finished: a rendering process was killed, .* --processes 1$"):
        generate(tmp_path / "killed", preset="few", seed=1, n_processes=2, on_progress=kill)
    assert not (tmp_path / "killed" / "duskwalk.json").exists()


def test_progress_counts_every_frame(tmp_path, few):
    seen = []
    generate(tmp_path / "x", preset="few", seed=1, n_processes=1, on_progress=lambda *now: seen.append(now))
    assert seen[-1] == (504, 504)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"preset": "huge"}, "preset must be one of tiny, demo, bench, full; got 'huge'"),
        ({"seed": -1}, "seed must be from 0 to 2**63 - 1; got -1"),
        ({"vary": "view"}, "vary and severity belong together; got vary alone; add severity"),
        ({"severity": 2}, "vary and severity belong together; got severity alone; add vary"),
        (
            {"vary": "mood", "severity": 2},
            "vary must be one of view, pose, background, occluder, exposure, modality; got 'mood'",
        ),
        ({"vary": "view", "severity": 5}, "severity must be from 0 to 4; got 5"),
        ({"twins": "triplets"}, "twins must be one of gait_twins, look_twins, part_twins; got 'triplets'"),
        ({"test_people": 0}, "test_people must be from 1 to 12, the test people of preset tiny; got 0"),
        ({"test_people": 13}, "test_people must be from 1 to 12, the test people of preset tiny; got 13"),
        ({"n_processes": 0}, "processes must be at least 1; got 0"),
    ],
)
def test_refusals(tmp_path, monkeypatch, asked, message):
    monkeypatch.delitem(PRESETS, "few", raising=False)
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        generate(tmp_path / "x", **{"preset": "tiny", "seed": 0, **asked})
    assert not (tmp_path / "x").exists()


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    message = f"{tmp_path} must be empty; it holds files; choose another OUT or pass --overwrite"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        generate(tmp_path, preset="tiny", seed=0)
    assert (tmp_path / "mine.txt").read_text() == "keep"
