"""Tracklets whose frames are put in other orders; nothing else about them changes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np

from duskmatch.data import SAMPLINGS, Sampling
from duskmatch.errors import SettingsError
from duskmatch.records import Tracklet

Order = Literal["in_order", "shuffled", "one_frame", "reversed"]
ORDERS: dict[Order, str] = {
    "in_order": "in order",
    "shuffled": "shuffled",
    "one_frame": "one frame repeated",
    "reversed": "reversed",
}


def reordered(tracklet: Tracklet, order: Order, n_frames: int, seed: int, sampling: Sampling = "segments") -> Tracklet:
    """The tracklet reduced to the T frames that the test draws from it, in another order.

    From exactly T frames every sampling draws each once, in their order, so that the embedder needs no change.
    """
    drawn = SAMPLINGS[sampling](len(tracklet), n_frames, None)
    places = frame_places(order, n_frames, tracklet.tracklet_id or str(tracklet.frames[0]), seed)
    return replace(tracklet, frames=tuple(tracklet.frames[drawn[place]] for place in places))


def frame_places(order: Order, n_frames: int, name: str, seed: int) -> list[int]:
    """The index of the frame, of T, at each place of the clip."""
    if n_frames < 2:
        raise SettingsError(
            f"the motion test needs clips of 2 frames or more; data.frames_per_clip is {n_frames}; name a RUN with more"
        )
    forward = list(range(n_frames))
    if order == "shuffled":
        return shuffled(n_frames, name, seed)
    if order == "one_frame":
        return [n_frames // 2] * n_frames
    return forward[::-1] if order == "reversed" else forward


def shuffled(n_frames: int, name: str, seed: int) -> list[int]:
    """A permutation that depends only on the tracklet's name and the seed, and is never the identity."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    while True:  # ends at once: at most one permutation in two is the identity
        places = [int(place) for place in rng.permutation(n_frames)]
        if places != list(range(n_frames)):
            return places
