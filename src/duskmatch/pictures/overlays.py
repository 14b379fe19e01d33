"""Heat maps over frames: more is warmer and brighter, so that grey print shows it too."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps

WARM = colormaps["inferno"]
COLDEST, WARMEST = 0.2, 0.95  # the part of the map that is used: neither black nor almost white
DIM, SHARE = 0.8, 0.55  # brightness of the frame, and share of the heat: constant, so that brightness shows heat alone
EDGE_PX = 3


def overlay(frame: UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "h2 w2"]) -> UInt8[np.ndarray, "h w 3"]:
    """The frame in dark grey under the heat (0 to 1), scaled to its size, with a line where the heat is 0.5."""
    height, width = frame.shape[:2]
    smooth = np.clip(cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    colour = 255 * WARM(COLDEST + (WARMEST - COLDEST) * smooth)[..., :3]
    mixed = np.clip((1 - SHARE) * DIM * grey + SHARE * colour, 0, 255).astype(np.uint8)
    inside = np.pad((smooth >= 0.5).astype(np.uint8), EDGE_PX, mode="edge")  # no line along the frame's own edge
    outline, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(-EDGE_PX, -EDGE_PX))
    return np.asarray(cv2.drawContours(np.ascontiguousarray(mixed), outline, -1, (255, 255, 255), 1, cv2.LINE_AA))


def scale_of_heat(width: int = 160, height: int = 12) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of 0 to 1 over mid-grey."""
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return overlay(np.full((height, width, 3), 128, np.uint8), ramp)
