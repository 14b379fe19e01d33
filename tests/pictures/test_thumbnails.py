"""Small pictures: proportions kept, colours in their order, bad frames shown as such."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from duskmatch.pictures.thumbnails import data_uri, middle_frame, thumbnail
from duskmatch.records import Tracklet


def test_a_wide_picture_is_neither_stretched_nor_cut_nor_given_bars(tmp_path):
    path = tmp_path / "wide.png"
    cv2.imwrite(str(path), np.full((50, 200, 3), (255, 0, 0), np.uint8))  # BGR: blue
    small = thumbnail(path, height=160, width=80)
    assert small.shape == (20, 80, 3)
    assert (small == (0, 0, 255)).all()  # RGB: blue


def test_a_bad_frame_is_grey_with_a_cross_and_stops_nothing(tmp_path):
    path = tmp_path / "half.jpg"
    _, encoded = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (96, 48, 3), np.uint8))
    path.write_bytes(encoded.tobytes()[: len(encoded) // 2])
    for bad in (path, tmp_path / "missing.jpg"):
        small = thumbnail(bad)
        assert (small[0, 40] == 128).all() and (small[80, 40] < 128).all()


def test_a_data_uri_decodes_to_the_picture():
    ramp = np.linspace(0, 255, 64 * 32).reshape(64, 32, 1).repeat(3, axis=2).astype(np.uint8)
    ramp[:, :, 2] = 0
    uri = data_uri(ramp)
    assert uri.startswith("data:image/jpeg;base64,")
    back = cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(back.astype(int) - ramp).mean() < 6


def test_the_middle_frame_stands_for_a_tracklet(tmp_path):
    frames = tuple(tmp_path / f"{i}.jpg" for i in range(5))
    assert middle_frame(Tracklet(frames, 1, 1, "visible")) == frames[2]
