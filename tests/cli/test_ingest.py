"""`duskmatch ingest`: the words, the JSON, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duskmatch.cli import main
from duskmatch.data import open_tracklets
from tests.data.videos import write_boxes, write_video


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    video = write_video(tmp_path / "v.mp4", 6)
    boxes = write_boxes(tmp_path / "mot.txt", [(f, 2, 1, 1, 8, 8, 1) for f in (1, 2, 4)] + [(3, 9, 60, 1, 20, 9, 0)])
    return [
        "ingest",
        str(video),
        "--boxes",
        str(boxes),
        "--modality",
        "infrared",
        "--camera",
        "4",
        "--out",
        str(tmp_path / "out"),
    ]


def test_words_for_a_person(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "-q"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 boxes in 1 tracks: 3 cut (0 of them clipped to the picture), 1 dropped (1 confidence 0)",
        "  boxes of confidence 0 were left out, as in ground truth; --min-confidence 0 keeps them",
        "  0002: 3 frames, 0.00 s to 0.30 s",
        f"written: {tmp_path / 'out'}",
    ]
    (tracklet,) = open_tracklets(str(tmp_path / "out"))
    assert (tracklet.pid, tracklet.camid, tracklet.modality) == (2, 4, "infrared")


def test_json_is_the_account(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main([*command, "--json", "--split-halves", "--min-frames", "2", "--max-gap", "0", "--boxes-size", "64x48"])
        == 0
    )
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("out") == str(tmp_path / "out")
    assert shown == json.loads((tmp_path / "out" / "ingest.json").read_text())
    assert shown["boxes"]["dropped_why"] == {"confidence 0": 1, "in a track of too few frames": 1}
    assert (tmp_path / "out" / "second" / "tracklets.csv").is_file()


def test_refusals_are_one_line(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mot.txt").write_text("1,1,nan,1,8,8,1\n")
    assert main([*command, "-q"]) == 2
    err = capsys.readouterr().err
    path = tmp_path / "mot.txt"
    assert err == f"duskmatch: {path}, line 1: x must be a finite number; got 'nan'; remove the row or mend it\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--scale", "big", "argument --scale: must be SX or SX,SY, like 0.5 or 0.5,0.4; got 'big'"),
        ("--boxes-size", "64", "argument --boxes-size: must be WxH, like 1920x1080; got '64'"),
    ],
)
def test_a_flag_that_cannot_be_read_is_named(
    command: list[str], capsys: pytest.CaptureFixture[str], flag: str, value: str, message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, flag, value])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
