"""duskmatch gallery: from tracklets to entries, hits, strips, files, and nothing."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duskmatch.cli import main
from duskmatch.cli.gallery import ACTIONS, when
from duskmatch.cli.gallery_delete import age
from duskmatch.cli.gallery_search import _is_generated
from duskmatch.cli.gallery_sources import moment
from duskmatch.config import load_settings
from duskmatch.data import open_dataset, open_tracklets, write_tracklets
from duskmatch.errors import SettingsError
from duskmatch.records import Tracklet
from duskmatch.training import train
from tests.data.tree import Tree
from tests.training.conftest import FAST

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set marked as generated, and a run trained on it."""
    root = tmp_path_factory.mktemp("place")
    people = {"train": range(1, 5), "test": range(5, 9)}
    Tree(root / "data", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
    train(load_settings("tiny", overrides=FAST), open_dataset(root / "data"), root / "run")
    return root


@pytest.fixture
def run(place: Path) -> list[str]:
    return ["--run", str(place / "run")]


def said(capsys: Capture, *words: object) -> dict[str, Any]:
    """The JSON of a command that succeeds."""
    capsys.readouterr()
    assert main(["gallery", *map(str, words), "--json"]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def shown(capsys: Capture, *words: object) -> str:
    """The words of a command that succeeds."""
    capsys.readouterr()
    assert main(["gallery", *map(str, words), "-q"]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: Capture, *words: object) -> str:
    capsys.readouterr()
    assert main(["gallery", *map(str, words)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("duskmatch")]
    return line


@pytest.fixture
def people(place: Path, run: list[str], tmp_path: Path, capsys: Capture) -> Path:
    """A gallery of the test people by day, under the namespace day."""
    said(capsys, "create", tmp_path / "people", *run)
    said(capsys, "add", tmp_path / "people", f"{place / 'data'}:gallery", *run, "--namespace", "day", "--note", "demo")
    return tmp_path / "people"


def test_a_gallery_is_made_for_a_run_or_a_width(run: list[str], tmp_path: Path, capsys: Capture) -> None:
    made = said(capsys, "create", tmp_path / "one", *run)
    assert made["model"].startswith("self_attack-") and made["width"] > 8
    assert said(capsys, "create", tmp_path / "two", "--width", 32)["model"] is None
    assert "already exists" in refused(capsys, "create", tmp_path / "two", "--width", 32)


def test_adding_again_changes_nothing(people: Path, place: Path, run: list[str], capsys: Capture) -> None:
    again = ["add", people, f"{place / 'data'}:gallery", *run, "--namespace", "day", "--note", "demo"]
    assert shown(capsys, *again) == f"0 entries added, 8 were there already; {people} holds 8\n"
    assert "pass a namespace" in refused(capsys, *again[:-1], "another")
    assert said(capsys, *again[:-1], "another", "--on-duplicate", "replace")["entries"] == 8


def test_search_leaves_a_table_and_strips(
    people: Path, place: Path, run: list[str], tmp_path: Path, capsys: Capture
) -> None:
    command = ["search", people, "--query", f"{place / 'data'}:query", *run, "--top", 3, "--out", tmp_path / "found"]
    text = shown(capsys, *command)
    assert "SYNTHETIC data" in text and "8 queries among 8 entries" in text and "day/" in text
    rows = list(csv.DictReader((tmp_path / "found" / "ranking.csv").open()))
    assert len(rows) == 8 * 3 and [row["rank"] for row in rows[:3]] == ["1", "2", "3"]
    assert cv2.imread(str(tmp_path / "found" / "strips-001.png")).shape[1] > 300
    outcome = said(capsys, *command, "--overwrite", "--camera", 1, "--modality", "visible")
    assert {row["camera"] for row in outcome["hits"]} == {1} and outcome["synthetic"] is True
    assert said(capsys, *command[:-2], "--modality", "infrared")["hits"] == []


def test_nobody_is_found_in_their_own_entry(
    people: Path, place: Path, run: list[str], tmp_path: Path, capsys: Capture
) -> None:
    hits = said(capsys, "search", people, "--query", f"{place / 'data'}:gallery", *run, "--top", 8)["hits"]
    assert len(hits) == 8 * 7 and not any(hit["id"] == f"day/{hit['query']}" for hit in hits)
    id = hits[0]["id"]
    of_one = said(capsys, "search", people, "--id", id, "--top", 8, "--out", tmp_path / "one")
    assert len(of_one["hits"]) == 7 and id not in {hit["id"] for hit in of_one["hits"]}
    assert of_one["synthetic"] is True and json.loads((tmp_path / "one" / "ranking.json").read_text())["synthetic"]


@pytest.mark.parametrize("source", ("", "a" * 4000, "nowhere", "x.npz", "http://a/b:c"))
def test_a_source_may_be_no_place(source: str) -> None:
    assert not _is_generated(source)


def test_what_a_gallery_holds_is_shown(people: Path, tmp_path: Path, capsys: Capture) -> None:
    listed = said(capsys, "list", people, "--pid", 5)["entries"]
    assert {entry["pid"] for entry in listed} == {5} and "2 of 8 entries" in shown(capsys, "list", people, "--pid", 5)
    id = listed[0]["id"]
    entry = said(capsys, "show", people, id, "--pictures", tmp_path / "pictures")
    assert entry["note"] == "demo" and entry["source"].endswith("data:gallery") and entry["thumbnails"] == 1
    assert cv2.imread(entry["pictures"][0]).shape[0] > 30
    assert "person     5" in shown(capsys, "show", people, id)
    counts = said(capsys, "stats", people)
    assert counts["n_entries"] == 8 and counts["by_modality"] == {"visible": 8}
    assert "8 entries of" in shown(capsys, "stats", people)
    assert "no entry has the id 'x'" in refused(capsys, "show", people, "x")


def test_a_data_set_calibrates_a_gallery(
    people: Path,
    place: Path,
    run: list[str],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    assert "calibrated: no" in shown(capsys, "stats", people)
    made = said(capsys, "calibrate", people, "--data", place / "data", *run)
    assert (made["n_people"], made["n_tracklets"], made["data"]) == (4, 16, ["data:test"])
    assert made["synthetic"] is True and made["camera_rule"] == "same-pid-same-camera"
    assert {one["kind"] for one in made["pairs"].values()} == {"platt"} and made["quality"] == []
    assert {(one["largest_gallery"], one["least_rate"]) for one in made["false_alarms"]} == {(3, 0.75)}
    text = shown(capsys, "calibrate", people, "--data", place / "data", *run)
    assert "calibrated on 4 people, 16 tracklets of data:test\nSYNTHETIC data: generated people" in text
    assert "too few people to judge the probabilities" in text and "the least rate that can be promised is 0.75" in text
    for command in (["stats", people], ["show", people, said(capsys, "list", people)["entries"][0]["id"]]):
        assert "on 4 people of data:test, SYNTHETIC (" in shown(capsys, *command)
        assert said(capsys, *command)["calibration"]["n_people"] == 4

    search = ["search", people, "--query", f"{place / 'data'}:query", *run, "--top", 2]
    hits = said(capsys, *search, "--out", tmp_path / "found")["hits"]
    assert all(0 < hit["probability"] < 1 for hit in hits)
    rows = list(csv.DictReader((tmp_path / "found" / "ranking.csv").open()))
    assert [float(row["probability"]) for row in rows] == [hit["probability"] for hit in hits]
    more = said(capsys, *search, "--prior", 0.9)["hits"]
    assert all(a["probability"] < b["probability"] for a, b in zip(hits, more, strict=True))
    text = shown(capsys, *search)
    assert " %  day/" in text and "probabilities: calibrated on 4 people of data:test, SYNTHETIC" in text
    message = "false alarms of 0.01 among 4 people cannot be promised after a calibration with 4 people; the least"
    assert message in refused(capsys, *search, "--false-alarms", 0.01)


def test_entries_are_deleted_by_id_by_person_and_by_age(people: Path, capsys: Capture) -> None:
    ids = [entry["id"] for entry in said(capsys, "list", people)["entries"]]
    assert shown(capsys, "delete", people, ids[0]) == f"1 entry deleted and erased; {people} holds 7\n"
    assert said(capsys, "delete", people, "--pid", 8)["deleted"] == 2
    assert "takes ID ... or --pid N; got neither" in refused(capsys, "delete", people)
    assert said(capsys, "expire", people, "--older-than", "1h")["deleted"] == 0
    time.sleep(0.01)
    assert said(capsys, "expire", people, "--older-than", "0s") == {"gallery": str(people), "deleted": 5, "entries": 0}
    assert "must be a number and one of s, m, h, d, w" in refused(capsys, "expire", people, "--older-than", "soon")


def test_a_gallery_is_verified_backed_up_restored_copied_and_exported(
    people: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert said(capsys, "verify", people) == {"gallery": str(people), "entries": 8, "whole": True, "problems": []}
    assert said(capsys, "backup", people, tmp_path / "kept")["bytes"] > 0
    assert said(capsys, "restore", tmp_path / "again", tmp_path / "kept")["entries"] == 8
    assert said(capsys, "copy", people, tmp_path / "copy")["entries"] == 8
    assert said(capsys, "export", people, "--pid", 5, "--out", tmp_path / "five")["entries"] == 2
    assert (tmp_path / "five" / "embeddings.safetensors").is_file() and (tmp_path / "five" / "0001-1.jpg").is_file()
    database = people / "gallery.sqlite"
    database.write_bytes(database.read_bytes().replace(b"demo", b"DEMO"))
    capsys.readouterr()
    assert main(["gallery", "verify", str(people), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["whole"] is False and "is damaged: 8 problems; restore a backup" in err


def test_new_vectors_come_from_the_pictures_that_are_left(
    people: Path, place: Path, run: list[str], tmp_path: Path, capsys: Capture
) -> None:
    again = said(capsys, "reembed", people, *run, "--out", tmp_path / "new")
    assert again == {"gallery": str(tmp_path / "new"), "entries": 8, "missing": {}}


def test_features_of_any_program_are_added(tmp_path: Path, capsys: Capture) -> None:
    vectors = np.eye(3, 8, dtype=np.float32)
    labels = {"pids": np.arange(3), "camids": np.arange(3), "modalities": np.array(["visible"] * 3)}
    np.savez(tmp_path / "features.npz", vectors=vectors, **labels)
    np.savez(tmp_path / "long.npz", vectors=2 * vectors, **labels)
    said(capsys, "create", tmp_path / "g", "--width", 8)
    added = said(capsys, "add", tmp_path / "g", "--features", tmp_path / "features.npz", "--namespace", "cam1")
    assert added["ids"] == [f"cam1/features.npz#{i}" for i in range(3)]
    assert "must have length 1" in refused(capsys, "add", tmp_path / "g", "--features", tmp_path / "long.npz")
    assert "leave it out" in refused(capsys, "add", tmp_path / "g", "--features", "f", "--run", "r")


def test_times_of_a_video_are_marked_or_moved(place: Path, run: list[str], tmp_path: Path, capsys: Capture) -> None:
    film = tmp_path / "film"
    film.mkdir()
    frames = open_tracklets(f"{place / 'data'}:query")[0].frames
    for frame in frames:
        shutil.copy(frame, film)
    write_tracklets(film, [Tracklet(tuple(film / f.name for f in frames), 1, 2, "infrared", "0001", 3.0, 5.0)])
    said(capsys, "create", tmp_path / "g", *run)
    add = ["add", tmp_path / "g", film, *run]
    assert "no time of day since 1973; pass --clock video, or --video-start" in refused(capsys, *add)
    assert said(capsys, *add, "--clock", "video")["clock"] == "video"
    assert said(capsys, "show", tmp_path / "g", "0001")["pid"] == 1
    (film / "ingest.json").write_text("{}")
    assert said(capsys, *add, "--on-duplicate", "replace")["clock"] == "video"
    assert said(capsys, "show", tmp_path / "g", "0001")["pid"] == -1  # a track's number is no person
    said(capsys, *add, "--namespace", "timed", "--video-start", "2026-11-27T18:00:00")
    entry = said(capsys, "show", tmp_path / "g", "timed/0001")
    assert (entry["begin_s"], entry["clock"]) == (1795802403.0, "unix")
    between = ["--between", "2026-11-27T18:00:04", "2026-11-27T19:00"]
    query = ["search", tmp_path / "g", "--query", f"{place / 'data'}:gallery", *run]
    assert {hit["id"] for hit in said(capsys, *query, *between)["hits"]} == {"timed/0001"}
    assert {hit["id"] for hit in said(capsys, *query)["hits"]} == {"timed/0001", "0001"}


@pytest.mark.parametrize("what", ACTIONS)
def test_each_command_refuses_what_is_no_gallery(what: str, run: list[str], tmp_path: Path, capsys: Capture) -> None:
    needed: dict[str, list[object]] = {
        "create": ["--width", 0], "add": ["--features", "x.npz"], "search": ["--id", "x"], "show": ["x"],
        "calibrate": ["--features", "x.npz", "--not-trained-on"],
        "delete": ["x"], "expire": ["--older-than", "1d"], "backup": [tmp_path / "b"], "restore": [tmp_path / "b"],
        "copy": [tmp_path / "c"], "export": ["--pid", 1, "--out", tmp_path / "o"],
        "reembed": [*run, "--out", tmp_path / "n"], "same": ["x", "y"], "different": ["x", "y"], "split": [1, "x"],
        "name": [1, "Alice"],
    }  # fmt: skip
    assert "galler" in refused(capsys, what, tmp_path / "none", *needed.get(what, []))
    assert list(tmp_path.iterdir()) == []


def test_words_for_times_and_ages() -> None:
    assert (age("30d"), age("1.5h"), age("0s")) == (30 * 86400, 5400, 0)
    assert moment("1795802403") == moment("2026-11-27T18:00:03Z") == moment("2026-11-27T18:00:03") == 1795802403
    with pytest.raises(SettingsError, match="a time must be like 2026-11-27T18:00:00"):
        moment("yesterday")
    for text in ("2026", "20261127"):
        with pytest.raises(SettingsError, match=f"'{text}' could be a date or Unix seconds"):
            moment(text)
    assert moment("2026.0") == 2026
    assert when(1795802403.0, "unix") == "2026-11-27 18:00:03 UTC" and when(None, "unix") == "?"
    assert when(3.25, "video") == "3.25 s of its video" and when(1e300, "unix").endswith(" s")
