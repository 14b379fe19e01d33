"""Orders of frames: only the order changes, the shuffling is fixed by name and seed and is never the identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duskmatch.data import ClipReader
from duskmatch.errors import SettingsError
from duskmatch.experiments.motion.orders import ORDERS, frame_places, reordered, shuffled
from duskmatch.records import Tracklet
from tests.data.tree import write_picture

SIZE = (24, 12)


def made(folder: Path, n: int) -> Tracklet:
    frames = tuple(folder / f"{i}.jpg" for i in range(n))
    for i, frame in enumerate(frames):
        write_picture(frame, SIZE, seed=i)
    return Tracklet(frames, 1, 1, "visible", f"walk{n}")


def clip(tracklet: Tracklet) -> np.ndarray:
    return ClipReader(SIZE, 6).read(tracklet).clip.frames


@pytest.mark.parametrize("n", [1, 4, 6, 12, 13, 24])
def test_only_the_order_changes(tmp_path: Path, n: int) -> None:
    tracklet = made(tmp_path, n)
    plain = clip(tracklet)
    found = {order: clip(reordered(tracklet, order, 6, 0)) for order in ORDERS}
    assert (found["in_order"] == plain).all()
    assert (found["reversed"] == plain[::-1]).all()
    assert (found["shuffled"] == plain[shuffled(6, tracklet.tracklet_id, 0)]).all()
    assert (found["one_frame"] == plain[3]).all()  # all of them, the middle one


def test_a_reordered_tracklet_is_the_same_tracklet_but_for_its_frames(tmp_path: Path) -> None:
    tracklet = made(tmp_path, 24)
    other = reordered(tracklet, "shuffled", 6, 0)
    assert (other.pid, other.camid, other.modality, other.tracklet_id) == (1, 1, "visible", "walk24")
    assert sorted(other.frames) == sorted(reordered(tracklet, "in_order", 6, 0).frames)


@pytest.mark.parametrize("n_frames", [2, 3, 6])
def test_shuffling_is_a_function_of_name_and_seed_and_never_the_identity(n_frames: int) -> None:
    names = [f"{i:04d}M1D1T1" for i in range(300)]
    drawn = [shuffled(n_frames, name, 5) for name in names]
    assert all(sorted(places) == list(range(n_frames)) and places != sorted(places) for places in drawn)
    assert drawn == [shuffled(n_frames, name, 5) for name in names]
    if n_frames > 2:
        assert drawn != [shuffled(n_frames, name, 6) for name in names]
        # Every other order turns up, and each about as often.
        orders, counts = np.unique(drawn, axis=0, return_counts=True)
        assert len(orders) == (5 if n_frames == 3 else len(orders)) and counts.max() < 0.35 * len(names)


def test_every_order_is_one_to_one_but_the_repeated_frame() -> None:
    for order in ORDERS:
        places = frame_places(order, 5, "a", 0)
        assert places == [2] * 5 if order == "one_frame" else sorted(places) == [0, 1, 2, 3, 4]


def test_clips_of_one_frame_have_no_order() -> None:
    with pytest.raises(SettingsError) as caught:
        frame_places("shuffled", 1, "a", 0)
    assert str(caught.value) == (
        "the motion test needs clips of 2 frames or more; data.frames_per_clip is 1; name a RUN with more"
    )
