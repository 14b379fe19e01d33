"""Pictures from files: decoded from bytes, one resize for training and test, and what happens to a bad one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from duskmatch.errors import FrameError

Size = tuple[int, int]
Picture = npt.NDArray[np.uint8]
OnBadFrame = Literal["stop", "skip"]

_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def decode_frame(path: Path) -> Picture:
    """The picture in a file: (h w 3) uint8, RGB, turned upright as its EXIF entry says.

    Grey becomes three equal channels, 16 bits are divided by 256, alpha is dropped. A file that is missing, empty,
    cut off or no picture is a FrameError with its name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: the picture cannot be read ({error.strerror or error}); {_NEXT}") from error
    return decode_bytes(data, path)


def decode_bytes(data: bytes, path: Path | str) -> Picture:
    """As `decode_frame`, of bytes; `path` is for the message."""
    if not data:
        raise FrameError(f"{path}: the picture is empty (0 bytes); {_NEXT}")
    # imdecode, never imread: half a JPEG comes back from imread as a picture filled up with grey.
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    # A JPEG that lacks only its end marker still decodes, and so may one that ends in a hole of zeros.
    whole = not data.startswith(_JPEG) or data.rfind(_END_OF_IMAGE) > data.rfind(_START_OF_SCAN)
    if picture is None or not whole:
        what = "cut off" if data.startswith(_JPEG) and not whole else "damaged or no picture"
        raise FrameError(f"{path}: the file is {what} ({len(data)} bytes); {_NEXT}")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


_NEXT = "copy it again or pass --on-bad-frame skip"


def resize(picture: Picture, size: Size) -> Picture:
    """The picture at (H, W): averaged where it shrinks, linear where it grows; the same in training and test.

    OpenCV's area filter turns blocky where it enlarges and its linear one aliases where it shrinks, so each axis
    gets the one that suits it.
    """
    (h, w), (height, width) = picture.shape[:2], size
    if (h, w) == (height, width):
        return picture
    small = cv2.resize(picture, (min(w, width), min(h, height)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def read_frame(path: Path, size: Size) -> Picture:
    """One picture ready for a clip: (3 h w) uint8, RGB."""
    return np.ascontiguousarray(resize(decode_frame(path), size).transpose(2, 0, 1))


@dataclass
class BadFrames:
    """What was left out, by name: pictures with the reason, and tracklets that had no picture left."""

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


class FrameCache:
    """Decoded pictures of one size, kept until `limit_bytes` are used; what does not fit is read again each time.

    Nothing is thrown out: an epoch reads every picture once, so the least recently used is the next one needed.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.n_bytes = limit_bytes, 0
        self._pictures: dict[tuple[Path, Size], Picture] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, size: Size) -> Picture:
        """The same as `read_frame`; the array is shared and must not be written to."""
        picture = self._pictures.get((path, size))
        if picture is None:
            picture = read_frame(path, size)
            picture.flags.writeable = False
            with self._lock:
                if self.n_bytes + picture.nbytes <= self.limit_bytes and (path, size) not in self._pictures:
                    self._pictures[path, size] = picture
                    self.n_bytes += picture.nbytes
        return picture
