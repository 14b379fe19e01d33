"""The plan: counts, cameras, lengths; and HITSZ-VCM's own counts for `full`."""

from collections import Counter
from dataclasses import replace

import pytest

from duskmatch.synthetic.presets import PRESETS
from duskmatch.synthetic.walks import plan, plan_pool


@pytest.mark.parametrize("name", ["tiny", "demo", "bench"])
def test_every_person_is_seen_by_three_cameras_in_each_modality(name):
    preset = PRESETS[name]
    tracks = plan(preset, 4)
    assert len({track.pid for track in tracks}) == sum(preset.people)
    for modality in ("visible", "infrared"):
        cameras: dict[int, set[int]] = {}
        for track in tracks:
            if track.modality == modality:
                cameras.setdefault(track.pid, set()).add(track.camid)
        assert min(len(own) for own in cameras.values()) >= 3
        assert len(set.union(*cameras.values())) == preset.cameras  # cameras carry both modalities
    assert min(track.n_frames for track in tracks) >= 12
    seen = [track.n_frames for track in tracks if track.pool != "train" or preset.train_frames is None]
    assert Counter(seen).most_common(1)[0][0] == 24


def test_the_demos_test_people_are_those_of_longer_training_tracks():
    short, long = PRESETS["demo"], replace(PRESETS["demo"], people=(256, 30, 100), train_frames=None)
    assert short.version == "2.1" and PRESETS["bench"].version == "2"
    for pool in ("val", "test"):
        a, b = ([(t.place, t.n_frames) for t in plan_pool(preset, 3, pool)] for preset in (short, long))
        assert a == b and a  # the key of all randomness of a track, and its length: the same pictures
    assert {track.n_frames for track in plan_pool(short, 3, "train")} == {12}


def test_pids_are_unique_over_the_pools():
    tracks = plan(PRESETS["tiny"], 0)
    owners = {(track.pid, track.pool) for track in tracks}
    assert len(owners) == len({pid for pid, _ in owners}) == 24


# Source: docs/datasets.md, the eight counts of a real copy after the 12-frame filter; M3-ReID's loader, the raw ones.
@pytest.mark.parametrize(
    ("pool", "infrared", "visible", "raw_tracks", "raw_frames"),
    [
        ("train", (4291, 98_214), (5460, 126_543), 11_061, 232_496),
        ("test", (4584, 105_979), (5099, 118_137), 10_802, 230_763),
    ],
)  # fmt: skip
def test_full_has_the_counts_of_hitsz_vcm(pool, infrared, visible, raw_tracks, raw_frames):
    tracks = list(plan_pool(PRESETS["full"], 9, pool))
    assert (len(tracks), sum(track.n_frames for track in tracks)) == (raw_tracks, raw_frames)
    for modality, expected in (("infrared", infrared), ("visible", visible)):
        kept = [track.n_frames for track in tracks if track.modality == modality and track.n_frames >= 12]
        assert (len(kept), sum(kept)) == expected
    assert len({track.pid for track in tracks}) == {"train": 500, "test": 427}[pool]
    if pool == "test":
        assert sum(track.modality == "infrared" for track in tracks) == 5159


def test_full_leaves_every_query_a_match_in_another_camera():
    cameras: dict[tuple[int, str], set[int]] = {}
    for track in plan_pool(PRESETS["full"], 9, "test"):
        if track.n_frames >= 12:
            cameras.setdefault((track.pid, track.modality), set()).add(track.camid)
    assert min(len(own) for own in cameras.values()) >= 2
