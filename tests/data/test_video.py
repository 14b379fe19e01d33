"""Tracklets out of videos: the right pixels, every box accounted for, flat memory, and videos that are not right."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duskmatch.data import decode_frame, open_tracklets
from duskmatch.data.cutting import Cut
from duskmatch.data.video import ingest
from duskmatch.errors import DataError, OutputError, SettingsError
from tests.data.videos import STEP, turn, write_boxes, write_lossless, write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "v.mp4", 12)


def cut(video: Path, rows: Sequence[Sequence[object]], overwrite: bool = False, **settings: Any) -> dict[str, Any]:
    boxes = write_boxes(video.with_name("mot.txt"), rows)
    how = Cut(**{"modality": "infrared", "camid": 3, **settings})
    return ingest(video, boxes, video.with_name("out"), how, overwrite=overwrite)


def grey(path: Path) -> int:
    return int(np.median(decode_frame(path)))


def test_crops_come_from_their_frames_and_places(video: Path) -> None:
    rows = [(f, 7, 33, 25, 16, 20, 1, -1, -1, -1) for f in (5, 2, 3)] + [(2, 1, 1, 1, 16, 12, 1, -1, -1, -1)]
    account = cut(video, rows)
    corner, walk = open_tracklets(str(video.with_name("out")))
    assert (walk.tracklet_id, walk.pid, walk.camid, walk.modality) == ("0007", 7, 3, "infrared")
    assert [frame.name for frame in walk.frames] == ["000002.jpg", "000003.jpg", "000005.jpg"]
    assert (walk.begin_s, walk.end_s) == (0.1, 0.4)
    for frame, number in zip(walk.frames, (2, 3, 5), strict=True):
        assert decode_frame(frame).shape == (20, 16, 3)
        assert abs(grey(frame) - (8 + STEP * (number - 1))) <= 1
    assert grey(corner.frames[0]) >= 250
    assert account["boxes"] == {"total": 4, "cut": 4, "clipped": 0, "dropped": 0, "dropped_why": {}}
    assert account["frames_read"] == 5  # what comes after the last box is not decoded


def test_every_box_is_accounted_for(video: Path) -> None:
    rows = [
        (1, 1, 60, 40, 20, 20, 1),  # clipped
        (2, 1, 1, 1, 64, 48, 1),
        (3, 1, 1, 1, 0, 48, 1),  # no area
        (4, 1, 1, 1, 10, 10, 0),  # confidence 0
        (5, 1, 500, 1, 10, 10, 1),  # outside
        (12, 1, 1, 1, 10, 10, 1),
        (13, 1, 1, 1, 10, 10, 1),  # after the end
        (6, 2, 60, 1, 10, 10, 1),  # too short
    ]
    account = cut(video, rows, drop_outside=True, min_frames=2)
    assert account["boxes"] == {
        "total": 8,
        "cut": 3,
        "clipped": 1,
        "dropped": 5,
        "dropped_why": {
            "after the video's last frame": 1,
            "confidence 0": 1,
            "in a track of too few frames": 1,
            "no area": 1,
            "outside the picture": 1,
        },
    }
    assert account["clipped_lines"] == [1]
    assert [entry["line"] for entry in account["dropped_lines"]] == [3, 4, 5, 7, 8]
    out = video.with_name("out")
    assert json.loads((out / "ingest.json").read_text()) == json.loads(json.dumps(account))
    assert sorted(path.name for path in out.iterdir()) == ["0001", "ingest.json", "tracklets.csv"]
    assert decode_frame(out / "0001" / "000001.jpg").shape == (9, 5, 3)


def test_an_id_that_comes_back_is_a_new_tracklet_of_the_same_person(video: Path) -> None:
    cut(video, [(f, 4, 1, 1, 8, 8, 1) for f in (1, 2, 9, 10)], max_gap=5)
    tracklets = open_tracklets(str(video.with_name("out")))
    assert [(t.tracklet_id, t.pid, len(t)) for t in tracklets] == [("0004", 4, 2), ("0004-2", 4, 2)]


def test_halves_hold_each_frame_once_with_their_own_times(video: Path) -> None:
    cut(video, [(f, 1, 1, 1, 8, 8, 1) for f in range(1, 6)] + [(9, 2, 1, 1, 8, 8, 1)], split_halves=True)
    out = video.with_name("out")
    first, second = (open_tracklets(str(out / half)) for half in ("first", "second"))
    assert [(t.tracklet_id, len(t)) for t in first] == [("0001", 3), ("0002", 1)]
    assert [(t.tracklet_id, len(t)) for t in second] == [("0001", 2)]
    assert (first[0].begin_s, first[0].end_s, second[0].begin_s, second[0].end_s) == (0.0, 0.2, 0.3, 0.4)
    assert [frame.name for t in (first[0], second[0]) for frame in t.frames] == [f"{f:06d}.jpg" for f in range(1, 6)]
    assert not (out / "tracklets.csv").exists()
    assert not (out / "0001").exists()


def test_times_of_a_variable_frame_rate_come_from_the_video(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.7, 2.0, 2.05]
    video = write_video(tmp_path / "v.mkv", 6, times_s=times)
    cut(video, [(f, 1, 1, 1, 8, 8, 1) for f in (2, 5)])
    (tracklet,) = open_tracklets(str(tmp_path / "out"))
    assert (tracklet.begin_s, tracklet.end_s) == (pytest.approx(0.1, abs=2e-3), pytest.approx(2.0, abs=2e-3))


def test_boxes_of_another_scale_are_refused_and_then_told(video: Path) -> None:
    rows = [(1, 1, 257, 193, 64, 80, 1), (2, 1, 1, 1, 512, 384, 1)]  # made for 512x384, 8 times the video
    with pytest.raises(DataError) as error:
        cut(video, rows)
    boxes = video.with_name("mot.txt")
    assert str(error.value) == (
        f"{boxes}, line 1: boxes must lie in the picture of 64x48; 1 do not, the first is 257,193,64,80; "
        "give the size they were made for with --boxes-size WxH, or pass --drop-outside"
    )
    assert not video.with_name("out").exists()
    account = cut(video, rows, boxes_size=(512, 384))
    assert (account["scale"], account["boxes"]["clipped"]) == ([0.125, 0.125], 0)
    frames = open_tracklets(str(video.with_name("out")))[0].frames
    assert [decode_frame(frame).shape for frame in frames] == [(10, 8, 3), (48, 64, 3)]
    assert cut(video, rows, scale=(0.125, 0.125), overwrite=True)["boxes"] == account["boxes"]


def test_boxes_that_count_from_0_are_noticed(video: Path) -> None:
    rows = [(1, 1, 0, 0, 64, 48, 1), (2, 1, 10, 10, 5, 5, 1)]
    assert cut(video, rows)["counts_from_0"] is True
    account = cut(video, rows, pixels_from=0, overwrite=True)
    assert (account["counts_from_0"], account["boxes"]["clipped"]) == (False, 0)
    assert cut(video, [(1, 1, 1, 1, 64, 48, 1)], overwrite=True)["counts_from_0"] is False


def test_a_turned_video_is_cut_as_it_is_shown(tmp_path: Path) -> None:
    video = turn(write_video(tmp_path / "v.mp4", 3))
    shown = cv2.VideoCapture(str(video)).read()[1]  # OpenCV turns it, and so does what trackers see
    assert shown.shape == (64, 48, 3)
    account = cut(video, [(1, 1, 1, 1, 48, 64, 1)], png=True)
    assert account["video_size"] == [48, 64]
    mine = decode_frame(open_tracklets(str(tmp_path / "out"))[0].frames[0])[..., ::-1]
    assert np.abs(mine.astype(int) - shown).max() <= 2
    assert shown[5, 43].min() > 200  # the white corner has moved to the right


def test_png_keeps_the_pixels(video: Path) -> None:
    cut(video, [(1, 1, 1, 1, 64, 48, 1)], png=True)
    (frame,) = open_tracklets(str(video.with_name("out")))[0].frames
    assert frame.suffix == ".png"
    shown = cv2.VideoCapture(str(video)).read()[1][..., ::-1]
    assert np.abs(decode_frame(frame).astype(int) - shown).max() <= 2


PEAK = """
import gc, resource, sys
from pathlib import Path
from duskmatch.data.cutting import Cut
from duskmatch.data.video import ingest
gc.disable()  # a circle of references that holds a picture would show
for name in sys.argv[1:]:
    base = Path(name)
    ingest(base.with_suffix(".mp4"), base.with_suffix(".txt"), base, Cut(modality="visible", camid=1))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory in kilobytes is Linux's")
def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    bases = {n: tmp_path / str(n) for n in (20, 200)}
    for n, base in bases.items():
        write_video(base.with_suffix(".mp4"), n, size=(640, 480))
        write_boxes(base.with_suffix(".txt"), [(f, 1, 1, 1, 640, 480, 1) for f in range(1, n + 1)])
    command = [sys.executable, "-c", PEAK, *map(str, bases.values())]
    few, many = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert many - few < 180 * (640 * 480 * 3) / 6  # a sixth of what the 180 further pictures take


def test_no_address_in_a_playlist_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls: list[object] = []

        def accept() -> None:
            try:
                calls.append(server.accept())
            except OSError:
                return  # closed at the end of the test

        listener = threading.Thread(target=accept, daemon=True)
        listener.start()
        playlist = tmp_path / "v.m3u8"
        address = f"http://127.0.0.1:{server.getsockname()[1]}/1.ts"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(DataError):
            cut(playlist, [(1, 1, 1, 1, 8, 8, 1)])
        listener.join(timeout=0.2)
        assert calls == []


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        cut(tmp_path / "no.mp4", [(1, 1, 1, 1, 8, 8, 1)])
    assert str(error.value) == f"{tmp_path / 'no.mp4'}: the video must be a file; there is none; check the path"
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4: the video cannot be opened \(.*\); copy it again"):
        cut(tmp_path / "text.mp4", [(1, 1, 1, 1, 8, 8, 1)])
    video = write_video(tmp_path / "half.mp4", 12)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])  # the index of an MP4 lies at its end
    with pytest.raises(
        DataError, match=r"half\.mp4: the file must hold a video; it holds none or is cut off; copy it again"
    ):
        cut(video, [(1, 1, 1, 1, 8, 8, 1)])
    assert not (tmp_path / "out").exists()


def test_a_video_damaged_in_the_middle_stops_with_the_last_good_frame(tmp_path: Path) -> None:
    video = write_lossless(tmp_path / "v.mkv", 12)
    data = bytearray(video.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 5000, 3):
        data[at] ^= 0x55
    video.write_bytes(data)
    with pytest.raises(DataError, match=r"v\.mkv: the video is damaged after frame \d+ \(.*\); copy it again"):
        cut(video, [(f, 1, 1, 1, 8, 8, 1) for f in range(1, 13)])
    assert not (tmp_path / "out" / "tracklets.csv").exists()


def test_a_video_that_ends_early_is_counted(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", 40)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    account = cut(video, [(f, 1, 1, 1, 8, 8, 1) for f in range(1, 41)])
    late = account["boxes"]["dropped_why"]["after the video's last frame"]
    assert 0 < late < 40
    assert account["boxes"]["cut"] == 40 - late == len(open_tracklets(str(tmp_path / "out"))[0])


def test_nothing_left_to_cut_is_refused(video: Path) -> None:
    with pytest.raises(DataError) as error:
        cut(video, [(1, 1, 1, 1, 8, 8, 0), (2, 1, 1, 1, 0, 8, 1)])
    text = "must hold at least one box to cut; all are dropped: 1 confidence 0, 1 no area"
    assert str(error.value) == f"{video.with_name('mot.txt')} {text}"
    assert not video.with_name("out").exists()
    with pytest.raises(DataError, match="all are dropped: 1 after the video's last frame"):
        cut(video, [(99, 1, 1, 1, 8, 8, 1)])
    assert not (video.with_name("out") / "tracklets.csv").exists()


def test_a_folder_with_files_is_refused_and_one_with_the_video_even_with_overwrite(video: Path) -> None:
    cut(video, [(1, 1, 1, 1, 8, 8, 1)])
    with pytest.raises(OutputError) as error:
        cut(video, [(1, 1, 1, 1, 8, 8, 1)])
    out = video.with_name("out")
    assert str(error.value) == f"{out} must be empty; it holds files; choose another OUT or pass --overwrite"
    boxes = write_boxes(video.with_name("mot.txt"), [(1, 1, 1, 1, 8, 8, 1)])
    with pytest.raises(OutputError) as error:
        ingest(video, boxes, video.parent, Cut(modality="visible", camid=1), overwrite=True)
    assert str(error.value) == (
        f"{video.parent} must not hold the video or its boxes; {video} lies in it; choose another OUT"
    )
    assert video.is_file()


def test_a_full_disk_is_said_and_leaves_no_table(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError) as error:
        cut(video, [(1, 1, 1, 1, 8, 8, 1)])
    out = video.with_name("out")
    said = str(error.value)
    assert said.startswith(f"cannot write {out / '0001' / '000001.jpg'}: the disk is full (")
    assert "free some space there, then run the command again, with --overwrite" in said
    assert not (out / "tracklets.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_gap": -1}, "max-gap must be at least 0; got -1"),
        ({"min_frames": 0}, "min-frames must be at least 1; got 0"),
        ({"pixels_from": 2}, "pixels-from must be 0 or 1; got 2"),
        ({"scale": (0.0, 1.0)}, "scale must be above 0 and below 1e+06; got 0.0, 1.0"),
        ({"camid": 10**18}, f"camera must be -1 (unknown) or a number of at most 18 digits; got {10**18}"),
        ({"camid": -2}, "camera must be -1 (unknown) or a number of at most 18 digits; got -2"),
        ({"boxes_size": (-5, 5)}, "boxes-size must be above 0 and below 1e+06; got -5, 5"),
        ({"scale": (1.0, 1.0), "boxes_size": (5, 5)}, "scale and boxes-size say the same thing; give one of them"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Cut(**{"modality": "visible", "camid": 1, **settings})
    assert str(error.value) == message


@pytest.mark.dataset
def test_the_real_clip_gives_six_tracks_of_1068_boxes(shared_clip: Path, tmp_path: Path) -> None:
    how = Cut(modality="visible", camid=1, split_halves=True)
    video, boxes = shared_clip / "one-by-one-person-detection.mp4", shared_clip / "derived_mot.txt"
    account = ingest(video, boxes, tmp_path / "out", how)
    assert account["boxes"]["total"] == account["boxes"]["cut"] == 1068
    assert [track["frames"] for track in account["tracks"]] == [136, 219, 193, 121, 275, 124]
    halves = [open_tracklets(str(tmp_path / "out" / half)) for half in ("first", "second")]
    assert [len(tracklets) for tracklets in halves] == [6, 6]
    assert sum(len(t) for tracklets in halves for t in tracklets) == 1068
    assert all(decode_frame(t.frames[0]).shape[2] == 3 for tracklets in halves for t in tracklets)
