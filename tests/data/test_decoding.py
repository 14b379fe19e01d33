"""Pictures from bytes: every way a file can be bad, what comes out of odd ones, and the one resize."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.data import FrameCache, decode_frame, resize
from duskmatch.data.decoding import look_at_end
from duskmatch.data.headers import stored_size
from duskmatch.errors import FrameError, SettingsError
from tests.data.tree import write_picture

NEXT = "copy it again or pass --on-bad-frame skip"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_picture(tmp_path / "1.jpg", size=(96, 48), seed=1)
    return tmp_path / "1.jpg"


def encoded(path: Path, image: np.ndarray, *options: int) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image, list(options))[1].tobytes())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FrameError) as error:
        decode_frame(path)
    return str(error.value)


def test_a_picture_comes_out_in_rgb(tmp_path: Path) -> None:
    bgr = np.zeros((8, 4, 3), np.uint8)
    bgr[..., 2] = 255
    assert decode_frame(encoded(tmp_path / "red.png", bgr))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.5, 0.9, -20, -3, -2, -1])
def test_a_jpeg_cut_off_anywhere_is_refused(tmp_path: Path, keep: float, progressive: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 48, 3), dtype=np.uint8)
    path = encoded(tmp_path / "1.jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep > 0 else int(keep)])
    assert refusal(path) == f"{path}: the file is cut off ({path.stat().st_size} bytes); {NEXT}"


@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_marker_is_refused_though_it_decodes(tmp_path: Path, lost: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 48, 3), dtype=np.uint8)
    path = encoded(tmp_path / "1.jpg", cv2.GaussianBlur(noise, (5, 5), 0))
    path.write_bytes(path.read_bytes()[:-lost])
    assert cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None
    assert refusal(path) == f"{path}: the file is cut off ({path.stat().st_size} bytes); {NEXT}"


def test_a_large_jpeg_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    path = encoded(tmp_path / "1.jpg", cv2.GaussianBlur(noise, (9, 9), 0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "the file is cut off" in refusal(path)


def test_a_jpeg_whose_end_was_never_written_is_refused(picture: Path) -> None:
    data = picture.read_bytes()  # a power cut leaves the length and zeros
    picture.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    assert refusal(picture) == f"{picture}: the file is cut off ({len(data)} bytes); {NEXT}"


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(picture: Path) -> None:
    before = decode_frame(picture)
    picture.write_bytes(picture.read_bytes() + bytes(100))
    assert (decode_frame(picture) == before).all()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_png_cut_off_is_refused(tmp_path: Path, keep: float) -> None:
    path = encoded(tmp_path / "1.png", np.random.default_rng(0).integers(0, 256, (96, 48, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert refusal(path) == f"{path}: the file is damaged or no picture ({path.stat().st_size} bytes); {NEXT}"


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    assert refusal(path) == f"{path}: the picture cannot be read (No such file or directory); {NEXT}"
    path.touch()
    assert refusal(path) == f"{path}: the picture is empty (0 bytes); {NEXT}"
    path.write_text("<html>not found</html>")
    assert refusal(path) == f"{path}: the file is damaged or no picture (22 bytes); {NEXT}"
    path.unlink()
    path.mkdir()
    assert refusal(path) == f"{path}: the picture cannot be read (Is a directory); {NEXT}"


def test_grey_becomes_three_equal_channels_and_16_bits_eight(tmp_path: Path) -> None:
    grey = (np.arange(96 * 48, dtype=np.uint16) * 14).reshape(96, 48)
    out = decode_frame(encoded(tmp_path / "16.png", grey))
    assert (out.shape, out.dtype) == ((96, 48, 3), np.uint8)
    assert np.abs(out.astype(int) - (grey / 256)[..., None]).max() <= 1
    out = decode_frame(encoded(tmp_path / "8.png", grey.astype(np.uint8)))
    assert (out == grey.astype(np.uint8)[..., None]).all()


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (8, 4, 4), dtype=np.uint8)
    out = decode_frame(encoded(tmp_path / "a.png", rgba))
    assert (out == rgba[..., 2::-1]).all()


def test_a_picture_is_turned_upright_as_its_exif_entry_says(tmp_path: Path) -> None:
    image = np.zeros((16, 8, 3), np.uint8)
    image[:8] = 255
    data = encoded(tmp_path / "up.jpg", image).read_bytes()
    # Exif, big-endian TIFF, one entry: orientation (0x0112), SHORT, 1 value, 6 = turn a quarter clockwise.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(data[:2] + segment + data[2:])
    out = decode_frame(tmp_path / "turned.jpg")
    assert out.shape == (8, 16, 3)
    assert out[:, 12:].min() > 200
    assert out[:, :4].max() < 50


def test_resize_averages_where_it_shrinks() -> None:
    stripes = np.zeros((64, 32, 3), np.uint8)
    stripes[::4] = 200  # a filter that looks at two rows of four sees 0 or 100
    assert (resize(stripes, (16, 8)) == 50).all()


def test_resize_is_linear_where_it_grows() -> None:
    edge = np.zeros((4, 2, 3), np.uint8)
    edge[:, 1] = 200
    assert resize(edge, (4, 4))[0, :, 0].tolist() == [0, 50, 150, 200]
    mixed = resize(np.repeat(edge, 4, axis=0), (4, 4))  # shrinks down, grows across
    assert mixed[0, :, 0].tolist() == [0, 50, 150, 200]


def test_resize_to_the_same_size_changes_nothing(picture: Path) -> None:
    image = decode_frame(picture)
    assert resize(image, (96, 48)) is image


def test_the_cache_gives_the_same_pixels_and_keeps_to_its_limit(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for i, path in enumerate(paths):
        write_picture(path, seed=i)
    cache, one = FrameCache(limit_bytes=3 * 24 * 12 * 3), (24, 12)
    first = [cache.read(path, one) for path in paths]
    assert cache.n_bytes == 3 * 24 * 12 * 3
    for path, before in zip(paths, first, strict=True):
        assert (cache.read(path, one) == before).all()
        assert (decode_frame(path).transpose(2, 0, 1) == before).all()
    assert cache.read(paths[0], one) is first[0]
    assert cache.read(paths[0], (12, 6)).shape == (3, 12, 6)


def test_cached_pictures_lie_side_by_side_in_large_blocks(tmp_path: Path) -> None:
    """One by one they would pin the heap around them: five times their size was measured in training."""
    paths = [tmp_path / f"{i}.jpg" for i in range(6)]
    for i, path in enumerate(paths):
        write_picture(path, seed=i)
    n = 3 * 24 * 12
    cache = FrameCache(limit_bytes=4 * n + n // 2)
    pictures = [cache.read(path, (24, 12)) for path in paths]
    block = pictures[0].base
    assert block is not None and block.nbytes == 4 * n  # no more than the limit holds
    assert [picture.base is block for picture in pictures] == [True] * 4 + [False] * 2
    assert not any(picture.flags.writeable for picture in pictures)
    assert cache.n_bytes == 4 * n


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.jpg")
    text = f"{tmp_path / '1.jpg'}: the picture cannot be read (it is a pipe, socket or device); {NEXT}"
    for read in (decode_frame, look_at_end):
        with pytest.raises(FrameError) as error:
            read(tmp_path / "1.jpg")
        assert str(error.value) == text


@pytest.mark.parametrize("ending", [".png", ".bmp", ".jpg", ".tif", ".webp", ".jp2", ".gif"])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encoded(tmp_path / f"1{ending}", np.zeros((300, 400, 3), np.uint8))
    monkeypatch.setenv("DUSKMATCH_MAX_PIXELS", "120000")
    assert decode_frame(path).shape == (300, 400, 3)
    monkeypatch.setenv("DUSKMATCH_MAX_PIXELS", "119999")
    monkeypatch.setattr(cv2, "imdecode", None)  # nothing may be decoded
    rule = "a picture must have at most 0.119999 million pixels; it has 400x300"
    assert refusal(path) == f"{path}: {rule}; make it smaller or set DUSKMATCH_MAX_PIXELS"
    monkeypatch.setenv("DUSKMATCH_MAX_PIXELS", "many")
    with pytest.raises(SettingsError, match="DUSKMATCH_MAX_PIXELS must be a whole number above 0; got 'many'"):
        decode_frame(path)


def test_headers_that_no_encoder_here_writes_say_their_size() -> None:
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (399).to_bytes(3, "little") + (299).to_bytes(3, "little")
    assert stored_size(extended) == (300, 400)
    boxes = cv2.imencode(".jp2", np.zeros((300, 400, 3), np.uint8))[1].tobytes()
    stream = boxes[boxes.index(b"\xff\x4f\xff\x51") :]
    assert stored_size(stream) == (300, 400)
    long = boxes[:12] + (1).to_bytes(4, "big") + b"jp2c" + (0).to_bytes(8, "big") + stream  # a length of 8 bytes
    assert stored_size(long) == (300, 400)


@given(st.sampled_from([".webp", ".jp2", ".gif", ".tif"]), st.integers(0, 90), st.binary(max_size=8))
@settings(max_examples=100, deadline=None)
def test_any_header_is_read_or_says_nothing(ending: str, at: int, junk: bytes) -> None:
    data = cv2.imencode(ending, np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    for broken in (data[:at], data[:at] + junk + data[at + len(junk) :]):
        assert stored_size(broken) is None or len(stored_size(broken) or ()) == 2


def test_the_ceiling_stands_without_being_set(tmp_path: Path) -> None:
    path = encoded(tmp_path / "1.png", np.zeros((8, 8, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    assert "a picture must have at most 100 million pixels; it has 30000x30000" in refusal(path)


def test_floats_are_called_so(tmp_path: Path) -> None:
    path = tmp_path / "1.tif"
    path.write_bytes(cv2.imencode(".tif", np.random.default_rng(0).random((9, 7)).astype(np.float32))[1].tobytes())
    text = "the picture holds 32-bit floats, not 8 or 16-bit values: save it as such"
    assert refusal(path) == f"{path}: {text} ({path.stat().st_size} bytes); {NEXT}"
