"""Videos that lie as numbered pictures: which picture is which frame, times, gaps, and deep grey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duskmatch.data import decode_frame, open_tracklets
from duskmatch.data.cutting import Cut
from duskmatch.data.video import ingest
from duskmatch.errors import DataError
from tests.data.videos import write_boxes

SEQUENCE = "[Sequence]\nname=x\nimDir=img1\nframeRate=5\nseqLength=12\nimWidth=64\nimHeight=48\nimExt=.png\n"


def write_pictures(folder: Path, names: Sequence[str], size: tuple[int, int] = (48, 64)) -> Path:
    """Flat pictures whose grey level is ten times the number in their name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        level = 10 * int("".join(filter(str.isdigit, name.split(".")[0])))
        (folder / name).write_bytes(cv2.imencode(".png", np.full((*size, 3), level, np.uint8))[1].tobytes())
    return folder


def cut(tmp_path: Path, video: Path, frames: Sequence[int], **settings: Any) -> dict[str, Any]:
    boxes = write_boxes(tmp_path / "mot.txt", [(f, 1, 1, 1, 8, 8, 1) for f in frames])
    how = Cut(**{"modality": "infrared", "camid": 1, "png": True, **settings})
    return ingest(video, boxes, tmp_path / "out", how)


def greys(tmp_path: Path) -> list[int]:
    return [int(decode_frame(path)[0, 0, 0]) for path in open_tracklets(str(tmp_path / "out"))[0].frames]


def test_the_number_in_a_name_is_the_frames(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "v", [f"{n}.png" for n in range(1, 13)])
    account = cut(tmp_path, folder, [2, 10, 12])
    assert greys(tmp_path) == [20, 100, 120]  # by number: as text 10 would come before 2
    assert (account["times"], account["hints"], account["video_size"]) == ("none", [], [64, 48])


def test_pictures_that_count_from_0_are_one_behind(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "v", [f"img_{n:04d}.png" for n in range(4)])
    account = cut(tmp_path, folder, [1, 4], fps=2.0)
    assert greys(tmp_path) == [0, 30]
    assert account["hints"] == ["the pictures count from 0: frame 1 is img_0000.png"]
    assert account["tracks"][0]["end_s"] == 1.5


@pytest.mark.parametrize("inner", ["", "img1"])
def test_a_sequence_says_rate_and_folder(tmp_path: Path, inner: str) -> None:
    write_pictures(tmp_path / "seq" / "img1", [f"{n:06d}.png" for n in range(1, 13)])
    (tmp_path / "seq" / "seqinfo.ini").write_text(SEQUENCE)
    account = cut(tmp_path, tmp_path / "seq" / inner, [1, 11])
    assert (account["tracks"][0]["end_s"], account["hints"]) == (2.0, [])


def test_a_sequence_that_says_something_else_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "seq" / "img1", [f"{n:06d}.png" for n in range(1, 12)], (24, 32))
    (tmp_path / "seq" / "seqinfo.ini").write_text(SEQUENCE)
    assert cut(tmp_path, tmp_path / "seq", [1])["hints"] == [
        "seqinfo.ini says 64x48, the pictures are 32x24: boxes made for it need --boxes-size 64x48",
        "seqinfo.ini says 12 pictures; there are 11",
    ]
    (tmp_path / "seq" / "seqinfo.ini").write_text("no section")
    with pytest.raises(DataError, match=r"seqinfo\.ini: it must hold a section \[Sequence\]"):
        cut(tmp_path, tmp_path / "seq", [1])


def test_missing_pictures_leave_their_boxes_out_and_shift_nothing(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "v", ["1.png", "2.png", "4.png"])
    account = cut(tmp_path, folder, [2, 3, 4, 5])
    assert greys(tmp_path) == [20, 40]
    assert account["boxes"]["dropped_why"] == {"after the video's last frame": 1, "no picture of that number": 1}
    assert account["hints"] == ["1 pictures are missing among the numbers, the first for frame 3"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "01.png"], "each number must be there once"),
        (["a1.png", "b2.png"], "frames must have one name with a number at its end"),
        ([], "a folder of frames must hold pictures called by number, 000001.jpg; none does"),
    ],
)
def test_names_that_give_no_order_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    folder = write_pictures(tmp_path / "v", names)
    with pytest.raises(DataError, match=message):
        cut(tmp_path, folder, [1])


def test_a_damaged_or_smaller_picture_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "v", ["1.png", "2.png"])
    write_pictures(folder, ["3.png"], (24, 32))
    with pytest.raises(DataError, match=r"3\.png: all pictures must have one size; it changes from 64x48 to 32x24"):
        cut(tmp_path, folder, [1, 3])
    (tmp_path / "v" / "2.png").write_bytes(b"")
    boxes = write_boxes(tmp_path / "mot.txt", [(2, 1, 1, 1, 8, 8, 1)])
    with pytest.raises(DataError) as error:
        ingest(folder, boxes, tmp_path / "b", Cut("infrared", 1))
    assert str(error.value) == f"{folder / '2.png'}: the picture is empty (0 bytes); copy it again"


def test_deep_grey_pictures_have_one_range(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    for n, level in enumerate((7000, 9000), start=1):
        cv2.imwrite(str(folder / f"{n}.tif"), np.full((48, 64), level, np.uint16))
    account = cut(tmp_path, folder, [1, 2], levels=(7000.0, 9000.0))
    assert (greys(tmp_path), account["levels"]) == ([0, 255], {"bits": 16, "seen": [7000, 9000]})
