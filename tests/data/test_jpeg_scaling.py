"""JPEGs decoded at a half, a quarter or an eighth: near the exact pixels, upright, and refused as they always were."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.data import ClipReader, FrameCache, decode_frame, open_dataset, resize
from duskmatch.data import decoding as decoding_module
from duskmatch.data.decoding import read_frame
from duskmatch.data.jpeg import is_whole, reduction, stored_size
from duskmatch.errors import FrameError
from tests.data.test_batches import batches
from tests.data.tree import Tree, write_picture

SIZE = (288, 144)


def person(height: int = 600, width: int = 300) -> np.ndarray:
    """BGR: somebody in a checked shirt before a wall, with a sensor's noise and no edge sharper than a lens gives."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, x / width
    picture = np.stack([90 + 60 * x, 100 + 40 * y, 120 - 30 * x], axis=2)
    checks = 40 * (np.sin(60 * x) > 0) + 30 * (np.sin(90 * y) > 0)
    shirt = (abs(x - 0.5) < 0.25) & (abs(y - 0.35) < 0.17)
    picture[shirt] = np.stack([60 + checks, 50 + checks / 2, 130 + checks], axis=2)[shirt]
    picture[(abs(abs(x - 0.5) - 0.12) < 0.1) & (y > 0.52) & (y < 0.95)] = (80, 45, 40)
    picture[((x - 0.5) / 0.14) ** 2 + ((y - 0.11) / 0.08) ** 2 < 1] = (120, 150, 200)
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.2)
    return np.clip(blurred + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def encoded(path: Path, image: np.ndarray, *options: int) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes())
    return path


def turned(path: Path, orientation: int) -> Path:
    """The same JPEG with an EXIF entry: big-endian TIFF, one entry, orientation (0x0112), SHORT, 1 value."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    data = path.read_bytes()
    out = path.with_name(f"turned{orientation}.jpg")
    out.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    return out


def moved(path: Path, size: tuple[int, int]) -> np.ndarray:
    return np.abs(read_frame(path, size, True).astype(int) - read_frame(path, size))


KINDS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "4:4:4": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "times", "mean", "most"),
    [(SIZE, 2, 1, 16), ((150, 75), 4, 1, 16), ((96, 48), 4, 1, 16), ((70, 30), 8, 3, 48)],
)
def test_pixels_move_by_few_grey_levels(
    tmp_path: Path, kind: str, size: tuple[int, int], times: int, mean: float, most: int
) -> None:
    path = encoded(tmp_path / "1.jpg", person(), *KINDS[kind])
    assert reduction(path.read_bytes(), size) == times
    off = moved(path, size)
    assert off.shape == (3, *size)
    assert 0 < off.mean() < mean and off.max() < most


def test_grey_jpegs_stay_grey(tmp_path: Path) -> None:
    path = encoded(tmp_path / "1.jpg", cv2.cvtColor(person(), cv2.COLOR_BGR2GRAY))
    assert 0 < moved(path, SIZE).mean() < 1.5
    frame = read_frame(path, SIZE, True)
    assert (frame == frame[:1]).all()


def test_the_size_of_the_smaller_picture_decides(tmp_path: Path) -> None:
    for stored, wanted, times in [
        ((600, 300), (300, 150), 2),
        ((599, 299), (300, 150), 2),  # rounded up
        ((598, 300), (300, 150), 1),
        ((600, 298), (300, 150), 1),
        ((600, 300), (301, 10), 1),
        ((1152, 576), SIZE, 4),
        ((2304, 1152), SIZE, 8),
        ((9000, 5000), (10, 10), 8),
        ((40, 20), SIZE, 1),
    ]:
        path = encoded(tmp_path / "1.jpg", np.zeros((*stored, 3), np.uint8))
        assert reduction(path.read_bytes(), wanted) == times
        assert decoding_module.decode_bgr(path.read_bytes(), path, wanted).shape[:2] == (
            -(-stored[0] // times),
            -(-stored[1] // times),
        )


@pytest.mark.parametrize("size", [(301, 150), (300, 151), (600, 300), (700, 400), (900, 20)])
def test_where_no_reduction_fits_nothing_moves(tmp_path: Path, size: tuple[int, int]) -> None:
    assert (moved(encoded(tmp_path / "1.jpg", person()), size) == 0).all()


@pytest.mark.parametrize("ending", [".png", ".bmp", ".webp", ".tiff"])
def test_other_formats_are_left_alone(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"1{ending}"
    path.write_bytes(cv2.imencode(ending, person())[1].tobytes())
    assert reduction(path.read_bytes(), SIZE) == 1
    assert (moved(path, SIZE) == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_jpegs_come_out_upright_at_the_right_size(tmp_path: Path, orientation: int) -> None:
    upright = encoded(tmp_path / "1.jpg", person(640, 480))
    path = turned(upright, orientation)
    h, w = decode_frame(path).shape[:2]
    assert (h, w) == ((640, 480) if orientation < 5 else (480, 640))
    off = moved(path, (h // 2 - 10, w // 2 - 20))
    assert off.shape == (3, h // 2 - 10, w // 2 - 20) and off.mean() < 1.5
    assert (off > 0).any() == (orientation < 5)  # 8's half is too small as it lies in the file: decoded whole
    assert 0 < moved(path, (120, 120)).mean() < 1.5  # any way round


def test_a_jpeg_on_its_side_whose_half_is_too_small_is_decoded_whole(tmp_path: Path) -> None:
    path = turned(encoded(tmp_path / "1.jpg", person()), 6)  # (300 600) upright, whose half has 150 rows
    assert reduction(path.read_bytes(), SIZE) == 2
    assert (moved(path, SIZE) == 0).all()


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("keep", [0.01, 0.05, 0.3, 0.5, 0.9, -20, -3, -2, -1, 0])
def test_what_is_damaged_is_refused_in_the_same_words(tmp_path: Path, keep: float, progressive: int) -> None:
    path = encoded(tmp_path / "1.jpg", person(), cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    data = path.read_bytes()
    damaged = data[: int(keep * len(data)) if keep > 0 else int(keep)]
    for bad in (damaged, damaged + bytes(1000), b"\xff\xd8\xff" + data[40:300], data[:2]):
        path.write_bytes(bad)
        with pytest.raises(FrameError) as exact:
            read_frame(path, SIZE)
        with pytest.raises(FrameError) as scaled:
            read_frame(path, SIZE, True)
        assert str(scaled.value) == str(exact.value)


def test_the_size_is_read_past_whatever_stands_before_it(tmp_path: Path) -> None:
    data = encoded(tmp_path / "1.jpg", person(90, 70)).read_bytes()
    inner = encoded(tmp_path / "2.jpg", person(32, 16)).read_bytes()  # a thumbnail has a frame header of its own
    before = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + b"\xff\xff\xff\xff\xfe\x00\x04hi"
    assert stored_size(data) == stored_size(data[:2] + before + data[2:]) == (90, 70)
    scan = data.index(b"\xff\xda")
    header = data.index(b"\xff\xc0")
    assert stored_size(data[:header] + data[scan:]) is None
    assert stored_size(data[: header + 8]) is None
    assert stored_size(data[:2]) is None and stored_size(data[:2] + b"\xff\xe1\x00\x01" + data[2:]) is None
    assert stored_size(data[:2] + b"\xff" * 10**7 + data[2:]) is None  # soon


@given(st.binary(max_size=60), st.lists(st.sampled_from([b"\xff\xd9", b"\xff\xda", b"\xff", b"\xd9"]), max_size=6))
@settings(max_examples=150, deadline=None)
def test_whole_is_an_end_after_the_last_scan(data: bytes, pieces: list[bytes]) -> None:
    for piece in pieces:
        data = data[: len(data) // 2] + piece + data[len(data) // 2 :] + piece
    assert is_whole(data) == (data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda"))


def test_the_cache_keeps_both_apart(tmp_path: Path) -> None:
    path = encoded(tmp_path / "1.jpg", person())
    cache = FrameCache(limit_bytes=10**7)
    for _ in range(2):
        for scaling in (True, False):
            assert (cache.read(path, SIZE, scaling) == read_frame(path, SIZE, scaling)).all()
    assert cache.n_bytes == 2 * 3 * 288 * 144
    assert (cache.read(path, SIZE) == read_frame(path, SIZE)).all()


@pytest.mark.parametrize("cached", [False, True])
def test_clips_and_batches_are_read_as_asked(tmp_path: Path, cached: bool) -> None:
    tree = Tree(tmp_path / "set", size=(48, 24))
    tree.write()
    for path in tree.root.rglob("*.jpg"):
        picture = cv2.imread(str(path))
        encoded(path, np.clip(picture + np.random.default_rng(0).normal(0, 20, picture.shape), 0, 255).astype(np.uint8))
    tracklet = open_dataset(tree.root).test[0]
    size = (22, 11)
    frames = {on: np.stack([read_frame(tracklet.frames[i], size, on) for i in (0, 6)]) for on in (False, True)}
    assert (frames[True] != frames[False]).any()
    for on in (False, True):
        cache = {"cache": FrameCache(10**6)} if cached else {}
        clips = [read.clip for read in ClipReader(size, 2, jpeg_scaling=on).clips([tracklet] * 3, n_threads=2)]
        assert all((clip.frames == frames[on]).all() for clip in clips) and len(clips) == 3
        made = batches(tree, size=size, jpeg_scaling=on, **cache)
        exact = batches(tree, size=size)
        assert (made[0].visible == exact[0].visible).all() == (not on)
        assert (made[0].infrared == exact[0].infrared).all() == (not on)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_the_resize_is_opencvs_own_to_the_bit(seed: int, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    small = min(size[1], wanted[1]), min(size[0], wanted[0])
    averaged = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    assert (resize(picture, wanted) == cv2.resize(averaged, wanted[::-1], interpolation=cv2.INTER_LINEAR)).all()


@pytest.mark.parametrize("size", [(600, 300), (300, 150), (200, 100), (601, 299), (1500, 700)])
def test_whole_factors_and_large_pictures_are_resized_to_the_bit_too(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    for wanted in [SIZE, (100, 50), (100, 60), (50, 25)]:
        small = min(size[1], wanted[1]), min(size[0], wanted[0])
        averaged = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        assert (resize(picture, wanted) == cv2.resize(averaged, wanted[::-1], interpolation=cv2.INTER_LINEAR)).all()


def test_a_frame_is_the_picture_decoded_resized_and_turned_to_planes(tmp_path: Path) -> None:
    for i, size in enumerate([(600, 300), (24, 12), (33, 71)]):
        write_picture(tmp_path / "1.jpg", size, seed=i)
        for wanted in [SIZE, (24, 12), (1, 1)]:
            frame = read_frame(tmp_path / "1.jpg", wanted)
            assert (frame == resize(decode_frame(tmp_path / "1.jpg"), wanted).transpose(2, 0, 1)).all()
            assert frame.flags.c_contiguous and frame.dtype == np.uint8
