"""Six segments, and batches of people seen in both modalities: by hand, by properties, and in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duskmatch.data import PairedIdentitySampler, segment_indices, uniform_indices
from duskmatch.data.sampling import Stream, generator
from duskmatch.errors import DataError, SettingsError
from duskmatch.evaluation import halves
from duskmatch.records import Tracklet
from tests.data.tree import fake_tracklets
from tests.oracle.sampling import literal_segments


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (24, [0, 4, 8, 12, 16, 20]),
        (13, [0, 3, 6, 9, 12, 12]),
        (12, [0, 2, 4, 6, 8, 10]),
        (6, [0, 1, 2, 3, 4, 5]),
        (4, [0, 1, 2, 3, 3, 3]),
        (1, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_test_clips_take_the_first_frame_of_each_segment(n: int, expected: list[int]) -> None:
    assert segment_indices(n, 6, None).tolist() == expected


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 2**32))
def test_training_draws_one_frame_from_each_segment_of_the_filled_list(n: int, n_frames: int, seed: int) -> None:
    segments = literal_segments(n, n_frames)
    assert segment_indices(n, n_frames, None).tolist() == [segment[0] for segment in segments]
    drawn = segment_indices(n, n_frames, np.random.default_rng(seed))
    assert all(int(frame) in segment for frame, segment in zip(drawn, segments, strict=True))


def test_each_frame_of_a_segment_is_drawn_as_often_as_another() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([segment_indices(24, 6, rng) for _ in range(4000)])
    assert drawn.min(axis=0).tolist() == [0, 4, 8, 12, 16, 20]
    shares = np.bincount(drawn.ravel(), minlength=24) / 4000
    assert np.abs(shares - 0.25).max() < 0.04


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (24, [0, 2, 4, 7, 9, 12, 14, 16, 19, 21]),
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (4, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),
        (1, [0] * 10),
    ],
)
def test_even_steps_begin_at_the_first_frame(n: int, expected: list[int]) -> None:
    assert uniform_indices(n, 10, None).tolist() == expected


@given(st.integers(1, 2000), st.integers(1, 20), st.integers(0, 2**32))
def test_even_steps_are_a_line_without_its_end_floored(n: int, n_frames: int, seed: int) -> None:
    line = np.linspace(0, n, n_frames, endpoint=False)
    exact = [n * i // n_frames for i in range(n_frames)]
    assert uniform_indices(n, n_frames, None).tolist() == exact
    assert np.abs(np.floor(line + 1e-9) - exact).max() == 0
    drawn = uniform_indices(n, n_frames, np.random.default_rng(seed)).tolist()
    assert drawn == sorted(drawn) and drawn[0] >= 0 and drawn[-1] < n
    assert n < n_frames or len(set(drawn)) == n_frames


@pytest.mark.parametrize("n", [2, 3, 10, 25, 111, 400])
def test_even_steps_of_a_half_are_the_data_sets_own_half_samplings(n: int) -> None:
    first, second = halves(Tracklet(tuple(Path(f"{i}.jpg") for i in range(n)), 1, 0, "visible", "t"))
    for half, (begin, end) in ((first, (0, n // 2)), (second, (n // 2, n))):
        frames = [int(half.frames[i].stem) for i in uniform_indices(len(half), 10, None)]
        assert frames == np.linspace(begin, end, 10, endpoint=False, dtype=int).tolist()


def test_each_frame_is_drawn_as_often_as_another() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([uniform_indices(24, 6, rng) for _ in range(4000)])
    shares = np.bincount(drawn.ravel(), minlength=24) / 4000
    assert np.abs(shares - 0.25).max() < 0.04


def test_no_frames_is_refused() -> None:
    with pytest.raises(DataError) as error:
        segment_indices(0, 6, None)
    with pytest.raises(DataError) as again:
        uniform_indices(0, 6, None)
    assert (
        str(again.value) == str(error.value) == "frames to draw from and frames to draw must be at least 1; got 0 and 6"
    )


def test_an_epoch_on_vcms_counts_has_268_steps() -> None:
    sampler = PairedIdentitySampler(fake_tracklets(500, infrared=4291, visible=5460), n_pids=8, n_tracks=2, seed=0)
    assert sampler.steps_per_epoch == 268
    assert len(sampler.pids) == 500


def test_rows_of_both_modalities_are_the_same_person() -> None:
    tracklets = fake_tracklets(20, infrared=90, visible=130)
    sampler = PairedIdentitySampler(tracklets, n_pids=8, n_tracks=2, seed=3)
    for step in range(sampler.steps_per_epoch):
        draw = sampler.draw(0, step)
        for modality, rows in (("visible", draw.visible), ("infrared", draw.infrared)):
            assert [tracklets[i].modality for i in rows] == [modality] * 16
            assert [tracklets[i].pid for i in rows] == draw.pids.tolist()
        assert (sampler.pids[draw.labels] == draw.pids).all()
        assert len(set(draw.pids.tolist())) == 8
        assert (draw.pids[::2] == draw.pids[1::2]).all()


def test_a_draw_is_the_same_whatever_came_before() -> None:
    tracklets = fake_tracklets(20, infrared=90, visible=130)
    sampler = PairedIdentitySampler(tracklets, n_pids=4, n_tracks=2, seed=3)
    forward = [sampler.draw(epoch, step) for epoch in range(2) for step in range(5)]
    again = PairedIdentitySampler(tracklets, n_pids=4, n_tracks=2, seed=3)
    backward = [again.draw(epoch, step) for epoch in (1, 0) for step in (4, 3, 2, 1, 0)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert (one.visible == other.visible).all()
        assert (one.infrared == other.infrared).all()
    assert len({tuple(draw.visible) for draw in forward}) == 10
    other_seed = PairedIdentitySampler(tracklets, n_pids=4, n_tracks=2, seed=4).draw(0, 0)
    assert other_seed.visible.tolist() != forward[0].visible.tolist()


places = st.tuples(*[st.integers(0, 2**32)] * 2, *[st.integers(0, 2**20)] * 2)


@given(places, places, st.sampled_from(Stream), st.sampled_from(Stream))
def test_each_place_has_random_numbers_of_its_own(
    one: tuple[int, int, int, int], two: tuple[int, int, int, int], stream_one: Stream, stream_two: Stream
) -> None:
    def numbers(place: tuple[int, int, int, int], stream: Stream) -> list[float]:
        seed, epoch, step, row = place
        return [float(x) for x in generator(seed, stream, epoch, step, row).random(4)]

    same = one == two and stream_one == stream_two
    assert (numbers(one, stream_one) == numbers(two, stream_two)) is same
    for at in range(4):  # and neighbours differ, whichever of the four moves
        moved = (*one[:at], one[at] + 1, *one[at + 1 :])
        assert numbers(one, stream_one) != numbers(moved, stream_one)


def test_these_very_people_are_drawn() -> None:
    # A resumed run must draw what the killed one would have: a changed sequence breaks old runs.
    draw = PairedIdentitySampler(fake_tracklets(20, 90, 130), n_pids=4, n_tracks=2, seed=3).draw(1, 2)
    assert draw.pids.tolist() == [9, 9, 7, 7, 18, 18, 15, 15]
    assert draw.visible.tolist() == [178, 178, 156, 136, 167, 127, 104, 124]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_one_draw(world: int) -> None:
    tracklets = fake_tracklets(20, infrared=90, visible=130)
    whole = PairedIdentitySampler(tracklets, n_pids=4, n_tracks=2, seed=3).draw(1, 2)
    parts = [PairedIdentitySampler(tracklets, 4, 2, 3, rank, world).draw(1, 2) for rank in range(world)]
    for name in ("visible", "infrared", "labels", "pids", "rows"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(whole, name).tolist()


def test_tracks_are_drawn_with_replacement_and_all_of_them_come_up() -> None:
    tracklets = fake_tracklets(2, infrared=6, visible=8)
    sampler = PairedIdentitySampler(tracklets, n_pids=2, n_tracks=3, seed=0)
    draws = [sampler.draw(epoch, 0) for epoch in range(200)]
    assert set(np.concatenate([draw.visible for draw in draws]).tolist()) == set(range(6, 14))
    assert any(len(set(draw.visible.tolist())) < 6 for draw in draws)


def test_people_seen_in_one_modality_are_never_drawn_and_counted() -> None:
    tracklets = [t for t in fake_tracklets(5, infrared=20, visible=20) if (t.pid, t.modality) != (3, "infrared")]
    sampler = PairedIdentitySampler(tracklets, n_pids=4, n_tracks=2, seed=0)
    assert (sampler.pids.tolist(), sampler.n_unpaired) == ([1, 2, 4, 5], 1)
    assert 3 not in {pid for epoch in range(20) for pid in sampler.draw(epoch, 0).pids.tolist()}


REFUSALS = [
    ({"n_pids": 6}, "people per batch must not be more than the people seen in both modalities, 5; got 6; "
     "lower train.pids_per_batch or take more data"),
    ({"n_pids": 5, "n_tracks": 5}, "a batch must not be larger than the tracks of either modality (20 infrared, "
     "24 visible); got 5 people x 5 tracks; lower train.pids_per_batch or train.tracklets_per_pid"),
    ({"n_pids": 0}, "people and tracks per batch must be at least 1; got 0 people and 2 tracks"),
    ({"n_pids": 3, "world": 2}, "people per batch must be a multiple of the 2 processes, each with a rank below that; "
     "got 3 people and rank 0"),
    ({"n_pids": 4, "world": 2, "rank": 2}, "people per batch must be a multiple of the 2 processes, each with a rank "
     "below that; got 4 people and rank 2"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), REFUSALS)
def test_a_batch_that_cannot_be_drawn_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        PairedIdentitySampler(fake_tracklets(5, 20, 24), **{"n_tracks": 2, "seed": 0, **settings})
    assert str(error.value) == message


def test_a_seed_out_of_range_is_refused() -> None:
    sampler = PairedIdentitySampler(fake_tracklets(5, 20, 24), n_pids=2, n_tracks=2, seed=-1)
    with pytest.raises(SettingsError) as error:
        sampler.draw(0, 0)
    assert str(error.value) == "seed must be from 0 to 2**64 - 1; got -1"
