"""Small pictures of people, as arrays and as data: URIs."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from duskmatch.data import decode_frame
from duskmatch.errors import FrameError
from duskmatch.records import Tracklet

HEIGHT_PX = 160
WIDTH_PX = 80
JPEG_QUALITY = 80
BACKGROUND = 128


def thumbnail(path: Path, *, height: int = HEIGHT_PX, width: int = WIDTH_PX) -> UInt8[np.ndarray, "h w 3"]:
    """The picture (RGB) scaled to fit into the box, never stretched; if it cannot be read, a grey box with a cross."""
    try:
        return fitted(decode_frame(path), height, width)
    except FrameError:
        canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
        for corners in (((0, 0), (width - 1, height - 1)), ((width - 1, 0), (0, height - 1))):
            cv2.line(canvas, *corners, (90, 90, 90), 2, cv2.LINE_AA)
        return canvas


def fitted(picture: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The picture scaled to fit into the box, at its own proportions."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    h, w = (max(1, round(scale * n)) for n in picture.shape[:2])
    small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(small, np.uint8)


def middle_frame(tracklet: Tracklet) -> Path:
    """The frame that represents a tracklet: the middle one, in which the person is most often fully visible."""
    return tracklet.frames[len(tracklet) // 2]


def jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The picture as the bytes of a JPEG file."""
    whole, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not whole:
        raise FrameError(f"a picture of {picture.shape} could not be encoded as JPEG")
    return encoded.tobytes()


def data_uri(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """The picture as a data: URI of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture)).decode()
