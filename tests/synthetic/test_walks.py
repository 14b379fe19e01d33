"""The plan: counts, cameras, lengths; and HITSZ-VCM's own counts for `full`."""

from collections import Counter

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
    assert Counter(track.n_frames for track in tracks).most_common(1)[0][0] == 24


def test_pids_are_unique_over_the_pools():
    tracks = plan(PRESETS["tiny"], 0)
    owners = {(track.pid, track.pool) for track in tracks}
    assert len(owners) == len({pid for pid, _ in owners}) == 24


# Source: REFERENCE 1.2, the eight counts of a real copy after the 12-frame filter, and the raw ones.
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
