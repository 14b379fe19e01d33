"""Pictures from files: decoded from bytes, one resize for training and test, and the rule for a bad one.

A picture of more pixels than the ceiling is refused by its header, before it takes memory; DUSKMATCH_MAX_PIXELS is
another ceiling.
"""

from __future__ import annotations

import math
import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from duskmatch.data import headers, jpeg
from duskmatch.errors import FrameError, SettingsError
from duskmatch.files import read_regular

Size = tuple[int, int]
Picture = npt.NDArray[np.uint8]
OnBadFrame = Literal["stop", "skip"]

NEXT = "copy it again or pass --on-bad-frame skip"
MAX_PIXELS = 100_000_000  # of one picture: 300 MB as RGB, and as much again while it is decoded
MAX_PIXELS_VARIABLE = "DUSKMATCH_MAX_PIXELS"

# An fp32 copy of a picture of more numbers than this (8 MiB) is slower to average than the picture itself.
_AVERAGED_IN_FP32 = 1 << 21
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_frame(path: Path) -> Picture:
    """The picture in a file: (h w 3) uint8, RGB, turned upright by its EXIF entry.

    Grey becomes three equal channels, 16 bits are divided by 256, alpha is dropped. A file that is missing, empty,
    cut off, no picture or too large is a FrameError with its name.
    """
    return decode_bytes(read_bytes(path), path)


def decode_bytes(data: bytes, path: Path | str) -> Picture:
    """As `decode_frame`, of bytes; `path` is for the message."""
    return np.asarray(cv2.cvtColor(decode_bgr(data, path), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture's file."""
    try:
        return read_regular(path)
    except OSError as error:
        raise FrameError(f"{path}: the picture cannot be read ({error.strerror or error}); {NEXT}") from error


def look_at_end(path: Path) -> None:
    """Refuses a file that is empty or lacks its format's end, with the messages of `decode_frame`; decodes nothing."""
    if not _has_end_marker(path):
        data = read_bytes(path)
        if not data:
            raise FrameError(f"{path}: the picture is empty (0 bytes); {NEXT}")
        cut_off = data.startswith(jpeg.START) and not jpeg.is_whole(data)
        if cut_off or (data.startswith(headers.PNG) and headers.PNG_END not in data):
            raise FrameError(f"{path}: {_what_is_wrong(data, not cut_off)} ({len(data)} bytes); {NEXT}")


def _has_end_marker(path: Path) -> bool:
    """True if a regular file's last bytes are the end of a JPEG or PNG; if not, the whole file has to be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - len(headers.PNG_END)))
            return file.read().endswith((jpeg.END_OF_IMAGE, headers.PNG_END))
    except OSError:
        return False


def decode_bgr(data: bytes, path: Path | str, at_least: Size | None = None) -> Picture:
    """(h w 3) uint8, BGR; a JPEG at a half, a quarter or an eighth if that is still `at_least` (H, W)."""
    if not data:
        raise FrameError(f"{path}: the picture is empty (0 bytes); {NEXT}")
    _check_size(data, path)
    times = jpeg.reduction(data, at_least) if at_least else 1
    picture = _decode(data, times)
    if at_least and times > 1 and picture is not None:
        (h, w), (height, width) = picture.shape[:2], at_least
        picture = picture if h >= height and w >= width else _decode(data, 1)  # EXIF turns it by a quarter
    # A JPEG that lacks only its end marker still decodes, and so may one that ends in a hole of zeros.
    whole = not data.startswith(jpeg.START) or jpeg.is_whole(data)
    if picture is None or not whole:
        raise FrameError(f"{path}: {_what_is_wrong(data, whole)} ({len(data)} bytes); {NEXT}")
    return picture


def decode_grey16(data: bytes) -> npt.NDArray[np.uint16] | None:
    """(h w) of a PNG or TIFF of 16-bit grey, with all its bits; None for any other picture."""
    if not headers.may_be_deep(data):
        return None
    picture = _imdecode(data, cv2.IMREAD_UNCHANGED)
    deep = picture is not None and picture.dtype == np.uint16 and picture.ndim == 2
    return np.asarray(picture, dtype=np.uint16) if deep else None


def max_pixels() -> int:
    """The largest number of pixels of a picture: that of the environment, or MAX_PIXELS."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdecimal() and int(text[:18]) > 0):
        raise SettingsError(f"{MAX_PIXELS_VARIABLE} must be a whole number above 0; got {text[:40]!r}")
    return int(text[:18])


def _check_size(data: bytes, path: Path | str) -> None:
    size = headers.stored_size(data)
    if size is not None and math.prod(size) > (ceiling := max_pixels()):
        rule = f"a picture must have at most {ceiling / 1e6:g} million pixels; it has {size[1]}x{size[0]}"
        raise FrameError(f"{path}: {rule}; make it smaller or set {MAX_PIXELS_VARIABLE}")


def _what_is_wrong(data: bytes, whole: bool) -> str:
    if not whole:
        return "the file is cut off"
    picture = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is not None and picture.dtype.kind == "f":
        return f"the picture holds {8 * picture.itemsize}-bit floats, not 8 or 16-bit values: save it as such"
    return "the file is damaged or no picture"


def _decode(data: bytes, times: int) -> Picture | None:
    picture = _imdecode(data, _FLAGS[times])
    return None if picture is None else np.asarray(picture, dtype=np.uint8)


def _imdecode(data: bytes, flags: int) -> npt.NDArray[Any] | None:
    # imdecode, never imread, which fills the rest of a cut-off JPEG with grey.
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def resize(picture: Picture, size: Size) -> Picture:
    """The picture at (H, W): averaged where it shrinks, linear where it grows; the same in training and test.

    OpenCV's area filter is blocky when it enlarges, and its linear one aliases when it shrinks, so each axis gets the
    suitable one.
    """
    (h, w), (height, width) = picture.shape[:2], size
    small = min(h, height), min(w, width)
    if small != (h, w):
        picture = _averaged(picture, small)
    if small != (height, width):
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return picture


def _averaged(picture: Picture, size: Size) -> Picture:
    """OpenCV's area filter, on fp32: the same sums in the same order, in less time.

    Not for whole factors, which it sums as integers, faster still and with another rounding of halves.
    """
    (h, w), (height, width) = picture.shape[:2], size
    if (h % height == 0 and w % width == 0) or picture.size > _AVERAGED_IN_FP32:
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    averages = cv2.resize(picture.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.rint(averages, out=averages).astype(np.uint8)


def read_frame(path: Path, size: Size, jpeg_scaling: bool = False) -> Picture:
    """One picture ready for a clip: (3 h w) uint8, RGB.

    jpeg_scaling: a JPEG is decoded at a half, a quarter or an eighth where that is no smaller than (H, W), in the
    JPEG's own transform: faster, and other pixels, by one to four grey levels on average.
    """
    picture = resize(decode_bgr(read_bytes(path), path, size if jpeg_scaling else None), size)
    return np.stack(cv2.split(picture)[::-1])


@dataclass
class BadFrames:
    """The pictures that were left out, and the tracklets without a readable picture, by name with the reason."""

    frames: dict[str, str] = field(default_factory=dict)
    tracklets: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.frames or self.tracklets)

    def add(self, other: BadFrames) -> None:
        self.frames.update(other.frames)
        self.tracklets.update(other.tracklets)

    def summary(self) -> str:
        """One line for a person: how many, and the first by name."""
        if not self:
            return "left out: nothing"
        first = next(iter(self.frames), next(iter(self.tracklets), ""))
        return f"left out: pictures {len(self.frames)}, tracklets {len(self.tracklets)}; the first: {first}"


_BLOCK_BYTES = 1 << 26  # more than malloc ever takes from its heap: such a block is the system's own mapping


class FrameCache:
    """Decoded pictures of one size, kept until `limit_bytes` are used; what does not fit is read again each time.

    Nothing is evicted: an epoch reads every picture once, so the least recently used is the next one needed.
    Pictures are copied into large blocks. Allocated one by one they would be scattered over the heap among the
    temporary arrays of an iteration and keep that memory from being freed: five times their own size was measured.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.n_bytes = limit_bytes, 0
        self._pictures: dict[tuple[Path, Size, bool], Picture] = {}
        self._free: dict[tuple[int, ...], list[Picture]] = {}  # by shape: free places of the current block
        self._lock = threading.Lock()

    def read(self, path: Path, size: Size, jpeg_scaling: bool = False) -> Picture:
        """The same as `read_frame`; the array is shared and must not be written to."""
        key = path, size, jpeg_scaling
        picture = self._pictures.get(key)
        if picture is None:
            picture = read_frame(path, size, jpeg_scaling)
            with self._lock:
                if self.n_bytes + picture.nbytes <= self.limit_bytes and key not in self._pictures:
                    picture = self._pictures[key] = self._kept(picture)
                    self.n_bytes += picture.nbytes
            picture.flags.writeable = False
        return picture

    def _kept(self, picture: Picture) -> Picture:
        free = self._free.setdefault(picture.shape, [])
        if not free:
            n = min(max(1, _BLOCK_BYTES // picture.nbytes), (self.limit_bytes - self.n_bytes) // picture.nbytes)
            free += list(np.empty((n, *picture.shape), np.uint8))[::-1]  # pages that are not written to cost nothing
        place = free.pop()
        place[:] = picture
        return place
