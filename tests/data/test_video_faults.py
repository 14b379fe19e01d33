"""What FFmpeg does not say by itself: damage it passes over, times it makes up, grey it flattens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from duskmatch.data import decode_frame, open_tracklets
from duskmatch.data.cutting import Cut
from duskmatch.data.video import Video, ingest
from duskmatch.errors import DataError, SettingsError
from tests.data.videos import turn, write_boxes, write_coded, write_deep, write_flat, write_video


def cut(video: Path, n: int, *, overwrite: bool = False, **settings: Any) -> dict[str, Any]:
    boxes = write_boxes(video.with_name("mot.txt"), [(f, 1, 1, 1, 64, 48, 1) for f in range(1, n + 1)])
    how = Cut(**{"modality": "infrared", "camid": 1, **settings})
    return ingest(video, boxes, video.with_name("out"), how, overwrite=overwrite)


def zero(path: Path, begin: int, n: int) -> None:
    data = bytearray(path.read_bytes())
    data[begin : begin + n] = bytes(n)
    path.write_bytes(data)


def offset(path: Path, share: float, step: int = 1) -> int:
    return int(path.stat().st_size * share) // step * step


H264 = {"g": "8", "bf": "0", "preset": "ultrafast", "threads": "1"}


def test_a_transport_stream_with_a_hole_is_refused(tmp_path: Path) -> None:
    """A picture is lost: without a word, all boxes after it would be cut from the next picture."""
    video = write_coded(tmp_path / "v.ts", 20, "libx264", options=H264)
    zero(video, offset(video, 0.5, 188), 2 * 188)
    with pytest.raises(DataError, match=r"v\.ts: the video is damaged after frame \d+ \(.*incomplete in the file\)"):
        cut(video, 20)
    assert not (tmp_path / "out" / "tracklets.csv").exists()


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_pictures_that_decode_in_spite_of_damage_are_refused(tmp_path: Path, codec: str) -> None:
    video = write_coded(tmp_path / "v.avi", 12, codec)
    assert cut(video, 12)["boxes"]["cut"] == 12
    bad = tmp_path / "bad" / "v.avi"
    bad.parent.mkdir()
    with av.open(str(video)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][6]
    data = bytearray(video.read_bytes())
    middle = (packet.pos or 0) + packet.size // 2
    n = min(100, packet.size // 4)
    data[middle : middle + n] = b"\xff" * n
    bad.write_bytes(data)
    with av.open(str(bad)) as container:
        assert len(list(container.decode(video=0))) == 12  # FFmpeg by itself stops at nothing
    with pytest.raises(DataError, match=r"v\.avi: the video is damaged after frame 6 \("):
        cut(bad, 12)


def test_a_frame_that_the_decoder_marks_as_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder here makes one on demand: the fourth frame is marked in its place."""
    decoded = Video._undamaged

    def marked(self: Video) -> Iterator[Any]:
        yield from (SimpleNamespace(is_corrupt=True) if n == 3 else frame for n, frame in enumerate(decoded(self)))

    monkeypatch.setattr(Video, "_undamaged", marked)
    text = r"v\.mp4: the video is damaged after frame 3 \(the next one is marked as damaged\)"
    with pytest.raises(DataError, match=text):
        cut(write_video(tmp_path / "v.mp4", 6), 6)


def test_damage_after_the_last_box_is_no_matter(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.ts", 20, "libx264", options=H264)
    zero(video, offset(video, 0.8, 188), 2 * 188)
    assert cut(video, 4)["boxes"]["cut"] == 4


def test_a_recording_that_begins_between_key_frames_is_read(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.ts", 20, "libx264", options=H264)
    data = video.read_bytes()
    video.write_bytes(data[: 3 * 188] + data[offset(video, 0.3, 188) :])
    assert cut(video, 20)["boxes"]["cut"] >= 8


def test_a_recording_that_was_cut_off_ends_before_its_last_picture(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.avi", 12, "mjpeg")
    video.write_bytes(video.read_bytes()[: offset(video, 0.5)])
    account = cut(video, 12)
    assert account["hints"] == ["the video's last picture is incomplete and was left out"]
    assert 0 < account["boxes"]["cut"] < 12
    assert account["boxes"]["dropped_why"] == {"after the video's last frame": 12 - account["boxes"]["cut"]}


def test_a_raw_stream_without_a_rate_has_no_times_unless_they_are_said(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.mjpeg", 5, "mjpeg", form="mjpeg")
    account = cut(video, 5)
    assert (account["times"], account["tracks"][0]["end_s"]) == ("none", None)
    assert account["hints"] == ["the video holds no times, so begin_s and end_s are empty; give its rate with --fps N"]
    (tracklet,) = open_tracklets(str(tmp_path / "out"))
    assert (tracklet.begin_s, tracklet.end_s) == (None, None)


def test_fps_counts_the_times(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.mjpeg", 5, "mjpeg", form="mjpeg")
    account = cut(video, 5, fps=8.0)
    assert (account["times"], account["tracks"][0]["end_s"], account["hints"]) == ("8 frames a second", 0.5, [])


def test_a_raw_stream_that_names_its_rate_is_counted_by_it(tmp_path: Path) -> None:
    video = write_coded(tmp_path / "v.264", 5, "libx264", form="h264", options=H264)
    account = cut(video, 5)
    assert account["tracks"][0]["end_s"] == 0.4  # 10 a second; FFmpeg's own guess is 25
    text = "the video holds no times; they are counted at 10 frames a second, its own rate"
    assert account["hints"] == [text]


def thermal(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 48 * 64).astype(np.uint16).reshape(48, 64)


def test_deep_grey_is_said_with_its_range(tmp_path: Path) -> None:
    video = write_deep(tmp_path / "v.mkv", [thermal(7000, 8000), thermal(7500, 9000)])
    account = cut(video, 2)
    assert account["levels"] == {"bits": 16, "seen": [7000, 9000]}
    (hint,) = account["hints"]
    assert hint.startswith("16-bit grey from 7000 to 9000 was cut to 8 bits as it is")
    assert "--levels 7000,9000" in hint


def test_one_range_spreads_deep_grey_in_all_frames(tmp_path: Path) -> None:
    video = write_deep(tmp_path / "v.mkv", [thermal(7000, 8000), thermal(7500, 9000)])
    account = cut(video, 2, levels=(7000.0, 9000.0), png=True)
    assert account["hints"] == []
    first, second = (decode_frame(p) for p in open_tracklets(str(tmp_path / "out"))[0].frames)
    assert (first.min(), first.max(), second.min(), second.max()) == (0, 128, 64, 255)


def test_a_range_that_loses_much_is_said(tmp_path: Path) -> None:
    video = write_deep(tmp_path / "v.mkv", [thermal(7000, 9000)])
    text = "50% of the pixels lie outside --levels and became black or white; seen: 7000 to 9000"
    assert cut(video, 1, levels=(7000.0, 8000.0))["hints"] == [text]


def test_twelve_bits_are_counted_as_the_file_does(tmp_path: Path) -> None:
    video = write_deep(tmp_path / "v.mkv", [thermal(1000, 2000)], "gray12le")
    assert cut(video, 1)["levels"] == {"bits": 12, "seen": [1000, 2000]}


TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORED = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


@pytest.mark.parametrize("matrix", [*TURNS, *MIRRORED])
def test_a_video_is_cut_as_its_display_matrix_turns_and_mirrors_it(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    a, b, c, d = matrix
    video = turn(write_video(tmp_path / "v.mp4", 1), matrix)
    width, height = (64, 48) if a else (48, 64)
    boxes = write_boxes(tmp_path / "mot.txt", [(1, 1, 1, 1, width, height, 1)])
    ingest(video, boxes, tmp_path / "out", Cut(modality="visible", camid=1, png=True))
    shown = decode_frame(open_tracklets(str(tmp_path / "out"))[0].frames[0])
    assert shown.shape == (height, width, 3)
    for x, y, white in ((-30, -22, True), (30, -22, False), (-30, 22, False), (30, 22, False)):  # from the middle
        pixel = shown[height // 2 + b * x + d * y, width // 2 + a * x + c * y]
        assert (pixel.min() > 200) == white, (x, y)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p12le", "yuv420p16le", "gbrp10le", "gbrp12le", "gbrp16le"])
def test_deep_colour_comes_out_as_the_same_colour(tmp_path: Path, pix_fmt: str) -> None:
    video = write_flat(tmp_path / "v.mkv", (200, 100, 30), pix_fmt)
    account = cut(video, 1, png=True)
    assert account["levels"] is None and account["hints"] == []
    picture = decode_frame(open_tracklets(str(tmp_path / "out"))[0].frames[0])
    assert np.abs(picture.astype(int) - (200, 100, 30)).max() <= 2
    with pytest.raises(DataError, match="--levels needs grey of more than 8 bits; these pictures hold none; leave it"):
        cut(video, 1, levels=(0.0, 1000.0), overwrite=True)


def test_levels_of_8_bits_are_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 2)
    with pytest.raises(DataError, match="--levels needs grey of more than 8 bits; these pictures hold none; leave it"):
        cut(video, 2, levels=(0.0, 100.0))
    with pytest.raises(SettingsError, match="levels must be LOW,HIGH, HIGH the larger; got 5,5"):
        cut(video, 2, levels=(5.0, 5.0))
    with pytest.raises(SettingsError, match=r"fps must be above 0 and below 1e\+06; got 0"):
        cut(video, 2, fps=0.0)


def test_progress_knows_the_last_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 6)
    boxes = write_boxes(tmp_path / "mot.txt", [(f, 1, 1, 1, 8, 8, 1) for f in (2, 9)])
    heard: list[tuple[int, int]] = []
    how = Cut(modality="visible", camid=1)
    ingest(video, boxes, tmp_path / "out", how, on_frame=lambda *numbers: heard.append(numbers))
    assert heard == [(n, 6) for n in range(1, 7)]
