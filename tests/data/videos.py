"""Small videos for tests: each frame's grey level tells its number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 4  # grey levels from one frame to the next, far above what the codec changes


def write_video(
    path: Path, n: int, size: tuple[int, int] = (64, 48), *, times_s: Sequence[float] | None = None, rate: int = 10
) -> Path:
    """`n` flat frames of grey 8 + STEP * i with a white corner at the upper left, steady or at the given times."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(n):
            picture = np.full((height, width, 3), 8 + STEP * (i % 55), np.uint8)
            picture[: height // 4, : width // 4] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = Fraction(1, 1000)
            frame.pts = round(1000 * (times_s[i] if times_s else i / rate))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_lossless(path: Path, n: int) -> Path:
    """`n` frames of noise whose coding carries checksums: damage inside cannot be covered up."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10, options={"level": "3", "slicecrc": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(n):
            picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_coded(
    path: Path, n: int, codec: str, *, form: str | None = None, options: dict[str, str] | None = None, rate: int = 10
) -> Path:
    """`n` moving pictures of 64x48 by any encoder; `form` is the container where the name does not say it."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (48, 64 + n, 3), dtype=np.uint8)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(n):
            picture = np.ascontiguousarray(noise[:, i : i + 64])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_deep(path: Path, pictures: Sequence[np.ndarray], pix_fmt: str = "gray16le") -> Path:
    """Grey of 16 bits without loss, 10 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = pix_fmt
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=pix_fmt)))
        container.mux(stream.encode())
    return path


def write_flat(path: Path, colour: tuple[int, int, int], pix_fmt: str) -> Path:
    """One picture of one RGB colour, without loss, in any pixel format."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        picture = np.full((48, 64, 3), colour, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, matrix_of_4: tuple[int, int, int, int] = (0, 1, -1, 0)) -> Path:
    """Gives an MP4 the display matrix (a b 0, c d 0, 0 0 1); a quarter turn, as telephones write it."""
    data = path.read_bytes()
    matrix = data.find(b"tkhd") + 4 + 40
    one = 1 << 16
    a, b, c, d = (one * number for number in matrix_of_4)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:matrix] + turned + data[matrix + 36 :])
    return path


def write_boxes(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path
