"""Clips and batches: pixels as pure functions of (seed, epoch, step), and bad frames that are counted, never silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duskmatch.data import (
    Augment,
    BadFrames,
    ClipReader,
    FrameCache,
    PairedIdentitySampler,
    TrainingBatches,
    decode_frame,
    open_dataset,
    segment_indices,
    uniform_indices,
)
from duskmatch.data.augmentation import apply_augmentation, crop, draw_augmentation, mirror
from duskmatch.data.decoding import Size
from duskmatch.data.sampling import Stream, generator
from duskmatch.errors import DataError, FrameError, SettingsError
from duskmatch.pixels import normalise
from duskmatch.records import Clip, Tracklet
from tests.data.tree import Tree

SIZE = (24, 12)
PLAIN, PADDED = Augment(pad=0, flip=0.0), Augment(pad=2)


def batches(
    tree: Tree, *, augment: Augment = PADDED, epoch: int = 1, rank: int = 0, world: int = 1, **reading: Any
) -> TrainingBatches:
    train = open_dataset(tree.root).train
    sampler = PairedIdentitySampler(train, 2, 2, 5, rank, world)
    reader = ClipReader(**{"size": SIZE, "n_frames": 6, **reading})
    return TrainingBatches(train, sampler, reader, augment=augment, epoch=epoch)


def read_clip(tracklet: Tracklet, size: Size, n_frames: int, **reading: Any) -> Clip:
    clip = ClipReader(size, n_frames, **reading).read(tracklet).clip
    assert clip is not None
    return clip


def test_a_test_clip_is_the_first_frame_of_each_segment(tree: Tree) -> None:
    tracklet = open_dataset(tree.root).test[1]
    clip = read_clip(tracklet, SIZE, 6)
    assert (clip.frames.shape, clip.frames.dtype) == ((6, 3, 24, 12), np.uint8)
    expected = [decode_frame(tracklet.frames[i]).transpose(2, 0, 1) for i in (0, 3, 6, 9, 12, 12)]
    assert (clip.frames == np.stack(expected)).all()


def test_training_and_test_see_the_same_pixels_of_a_file(tree: Tree) -> None:
    batch = batches(tree, augment=PLAIN, n_frames=13, size=(16, 10))[0]
    train = open_dataset(tree.root).train
    draw = PairedIdentitySampler(train, 2, 2, seed=5).draw(1, 0)
    long = next(i for i, index in enumerate(draw.visible) if len(train[index]) == 13)  # one frame a segment: no choice
    clip = read_clip(train[draw.visible[long]], (16, 10), 13)
    assert (batch.visible[long].numpy() == clip.frames).all()


def test_batch_has_the_promised_shapes(tree: Tree) -> None:
    batch = batches(tree)[0]
    for clips in (batch.visible, batch.infrared):
        assert (clips.shape, clips.dtype) == ((4, 6, 3, 24, 12), torch.uint8)
    assert batch.labels.dtype == torch.int64
    assert batch.pids.tolist() == [open_dataset(tree.root).train[0].pid + label for label in batch.labels.tolist()]


def test_a_batch_is_literally_what_its_random_numbers_say(tree: Tree) -> None:
    augment = Augment(pad=3, jitter=0.4, erase=0.5, exchange=0.3, grey=0.3)
    made = batches(tree, augment=augment)
    streams = {
        "visible": (Stream.VISIBLE_FRAMES, Stream.VISIBLE_AUGMENTATION),
        "infrared": (Stream.INFRARED_FRAMES, Stream.INFRARED_AUGMENTATION),
    }
    batch, draw = made[2], made.sampler.draw(1, 2)
    for modality, (frames, augmentation) in streams.items():
        for row, index in enumerate(getattr(draw, modality)):
            tracklet = made.tracklets[index]
            chosen = segment_indices(len(tracklet), 6, generator(5, frames, 1, 2, row))
            clip = np.stack([decode_frame(tracklet.frames[i]).transpose(2, 0, 1) for i in chosen])
            numbers = draw_augmentation(augment, generator(5, augmentation, 1, 2, row))
            expected = apply_augmentation(clip, augment, numbers)
            assert (getattr(batch, modality)[row].numpy() == expected).all()


def test_frames_are_drawn_as_asked_in_training_and_at_test(tree: Tree) -> None:
    train = open_dataset(tree.root).train
    frames = [decode_frame(path).transpose(2, 0, 1) for path in train[0].frames]
    clip = read_clip(train[0], SIZE, 10, sampling="uniform").frames
    assert (clip == np.stack([frames[i] for i in uniform_indices(len(frames), 10, None)])).all()
    made = batches(tree, augment=PLAIN, sampling="uniform")
    batch, row = made[0], made.sampler.draw(1, 0).visible[0]
    drawn = uniform_indices(len(train[row]), 6, generator(5, Stream.VISIBLE_FRAMES, 1, 0, 0))
    expected = np.stack([decode_frame(train[row].frames[i]).transpose(2, 0, 1) for i in drawn])
    assert (batch.visible[0].numpy() == expected).all()


def test_a_batch_is_the_same_in_any_order_with_any_number_of_workers_and_a_cache(tree: Tree) -> None:
    made = batches(tree)
    expected = [made[step] for step in range(len(made))]
    backward = [made[step] for step in reversed(range(len(made)))][::-1]
    threads = list(made.from_step(n_threads=2))
    keeping = batches(tree, cache=FrameCache(limit_bytes=20_000))
    cached = [list(keeping.from_step()) for _ in range(2)]
    for other in (backward, threads, *cached):
        assert len(other) == len(expected) == 3
        for one, two in zip(expected, other, strict=True):
            assert torch.equal(one.visible, two.visible)
            assert torch.equal(one.infrared, two.infrared)
            assert torch.equal(one.labels, two.labels)


def test_batches_go_on_from_any_step(tree: Tree) -> None:
    made = batches(tree)
    rest = list(made.from_step(1))
    assert len(rest) == 2
    assert torch.equal(rest[0].visible, made[1].visible)


def test_processes_share_one_batch(tree: Tree) -> None:
    whole = batches(tree)[2]
    parts = [batches(tree, rank=rank, world=2)[2] for rank in range(2)]
    assert torch.equal(torch.cat([part.visible for part in parts]), whole.visible)
    assert torch.equal(torch.cat([part.infrared for part in parts]), whole.infrared)


def test_a_data_loader_with_processes_gives_the_same(tree: Tree) -> None:
    made = batches(tree)
    loader = torch.utils.data.DataLoader(made, batch_size=None, num_workers=1, collate_fn=lambda batch: batch)
    for step, batch in enumerate(loader):
        assert torch.equal(batch.visible, made[step].visible)


def test_the_two_modalities_and_the_epochs_are_drawn_apart(tree: Tree) -> None:
    one, other = batches(tree), batches(tree, epoch=2)
    assert not torch.equal(one[0].visible, other[0].visible)
    same = Tracklet(one.tracklets[0].frames, 1, 1, "visible")
    twins = [same, replace(same, modality="infrared")] * 8
    sampler = PairedIdentitySampler(twins, 1, 4, seed=0)
    batch = TrainingBatches(twins, sampler, ClipReader(SIZE, 6), augment=Augment(pad=2), epoch=0)[0]
    assert not torch.equal(batch.visible, batch.infrared)


def test_augmentation_is_one_draw_for_a_clip() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (3, 24, 12), dtype=np.uint8)
    clip = np.stack([frame] * 6)
    augment = Augment(pad=4, flip=0.5, jitter=0.3, erase=0.5, exchange=0.3, grey=0.3)
    outs = []
    for seed in range(50):
        out = apply_augmentation(clip, augment, draw_augmentation(augment, np.random.default_rng(seed)))
        assert out.shape == clip.shape and out.dtype == np.uint8
        assert (out == out[0]).all()
        outs.append(out[0].tobytes())
    assert len(set(outs)) == 50


def test_crop_is_a_window_on_the_padded_clip() -> None:
    clip = np.random.default_rng(0).integers(1, 256, (2, 3, 9, 5), dtype=np.uint8)
    padded = np.pad(clip, ((0, 0), (0, 0), (3, 3), (3, 3)))
    for top in range(7):
        for left in range(7):
            assert (crop(clip, 3, top, left) == padded[..., top : top + 9, left : left + 5]).all()
    assert not crop(clip, 20, 0, 0).any()


def test_flip_mirrors_half_of_the_clips_and_pad_moves_evenly() -> None:
    clip = np.zeros((1, 3, 21, 21), np.uint8)
    clip[..., 10, 10] = 255
    augment = Augment(pad=10, flip=0.5)
    places = []
    for seed in range(600):
        out = apply_augmentation(clip, augment, draw_augmentation(augment, np.random.default_rng(seed)))
        places.append(np.argwhere(out[0, 0])[0])
    counts = np.bincount(np.array(places)[:, 0], minlength=21)
    assert counts.min() > 5 and counts.max() < 70
    side = np.zeros((1, 3, 4, 4), np.uint8)
    side[..., :2] = 255
    plain = Augment(pad=0, flip=0.5)
    flipped = [
        apply_augmentation(side, plain, draw_augmentation(plain, np.random.default_rng(s)))[0, 0, 0, 0] == 0
        for s in range(400)
    ]
    assert 150 < sum(flipped) < 250


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 3, 4, 1), (1, 1, 1, 2)])
def test_mirror_turns_every_row_round_and_leaves_its_clip_alone(shape: tuple[int, ...]) -> None:
    clip = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = clip.copy()
    assert (mirror(clip) == clip[..., ::-1]).all()
    assert (mirror(clip.transpose(0, 1, 3, 2)) == clip.transpose(0, 1, 3, 2)[..., ::-1]).all()
    assert (clip == before).all()


def test_an_option_does_not_move_the_other_draws() -> None:
    plain, erasing = Augment(), Augment(erase=1.0)
    one = draw_augmentation(plain, np.random.default_rng(7))
    two = draw_augmentation(erasing, np.random.default_rng(7))
    assert (one.top, one.left, one.flip) == (two.top, two.left, two.flip)
    clip = np.full((2, 3, 40, 20), 255, np.uint8)
    still = replace(erasing, pad=0, flip=0.0)
    out = apply_augmentation(clip, still, draw_augmentation(still, np.random.default_rng(7)))
    blank = (out[0].transpose(1, 2, 0) == (124, 116, 104)).all(axis=-1)
    assert 0.01 < blank.mean() < 0.45
    assert (out[0].transpose(1, 2, 0)[~blank] == 255).all()


def test_exchange_and_grey_leave_no_colour() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 4), dtype=np.uint8)
    for augment in (Augment(pad=0, flip=0.0, exchange=1.0), Augment(pad=0, flip=0.0, grey=1.0)):
        out = apply_augmentation(clip, augment, draw_augmentation(augment, np.random.default_rng(0)))
        assert (out == out[:, :1]).all()
    exchanged = Augment(pad=0, flip=0.0, exchange=1.0)
    outs = [
        apply_augmentation(clip, exchanged, draw_augmentation(exchanged, np.random.default_rng(s))) for s in range(30)
    ]
    assert {c for out in outs for c in range(3) if (out[:, 0] == clip[:, c]).all()} == {0, 1, 2}


def test_augmentation_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        Augment(pad=-1)
    assert str(error.value) == "augment.pad must be at least 0 pixels; got -1"
    with pytest.raises(SettingsError) as error:
        Augment(flip=1.5)
    assert str(error.value) == "augment.flip must be from 0 to 1; got 1.5"


def test_normalise_takes_off_imagenets_mean_and_divides_by_its_deviation() -> None:
    clips = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 3, 1, 1)
    expected = torch.tensor([(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert torch.allclose(normalise(clips).flatten(), expected, atol=1e-6)
    assert normalise(torch.zeros(2, 3, 8, 4, dtype=torch.uint8)).shape == (2, 3, 8, 4)


def test_a_bad_frame_stops_with_its_name(tree: Tree) -> None:
    tracklet = open_dataset(tree.root).test[0]
    tracklet.frames[2].unlink()
    with pytest.raises(FrameError) as error:
        read_clip(tracklet, SIZE, 6)
    name = tracklet.frames[2]
    assert str(error.value) == (
        f"{name}: the picture cannot be read (No such file or directory); copy it again or pass --on-bad-frame skip"
    )


def test_skip_drops_the_frame_counts_it_and_cuts_the_segments_again(tree: Tree) -> None:
    tracklet = open_dataset(tree.root).test[0]
    tracklet.frames[2].write_bytes(b"")
    clip, bad = ClipReader(SIZE, 6, on_bad_frame="skip").read(tracklet)
    assert clip is not None and list(bad.frames) == [str(tracklet.frames[2])]
    rest = replace(tracklet, frames=tracklet.frames[:2] + tracklet.frames[3:])
    assert (clip.frames == read_clip(rest, SIZE, 6).frames).all()
    assert bad.summary() == f"left out: pictures 1, tracklets 0; the first: {tracklet.frames[2]}"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_tracklet_with_no_frame_left_is_left_out_and_named(tree: Tree, n_threads: int) -> None:
    test = open_dataset(tree.root).test
    for frame in test[3].frames:
        frame.write_text("no picture")
    clips = list(ClipReader(SIZE, 6, on_bad_frame="skip").clips(test, n_threads))
    assert [clip and clip.tracklet for clip, _ in clips] == [None if i == 3 else t for i, t in enumerate(test)]
    assert not any(bad for i, (_, bad) in enumerate(clips) if i != 3)
    bad = clips[3].bad_frames
    assert bad.tracklets == {test[3].tracklet_id: f"none of its {len(test[3])} frames can be read"}
    assert len(bad.frames) == len(test[3])
    with pytest.raises(FrameError, match="no picture"):
        list(ClipReader(SIZE, 6).clips(test, n_threads))


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        ClipReader(SIZE, 6, on_bad_frame="ignore")  # type: ignore[arg-type]
    assert str(error.value) == "on-bad-frame must be stop or skip; got 'ignore'"


def test_training_skips_bad_frames_purely_and_says_which(tree: Tree) -> None:
    made = batches(tree, on_bad_frame="skip")
    spoil: list[Path] = [t.frames[i] for t in made.tracklets for i in range(0, len(t), 3)]
    for path in spoil:
        path.write_bytes(path.read_bytes()[:200])
    one, two = made[2], made[2]
    assert torch.equal(one.visible, two.visible)
    assert one.bad_frames.frames
    assert set(one.bad_frames.frames) <= {str(path) for path in spoil}
    for n_threads in (0, 2):
        again = list(made.from_step(n_threads=n_threads))[2]
        assert torch.equal(again.visible, one.visible) and again.bad_frames == one.bad_frames
    with pytest.raises(FrameError):
        list(batches(tree).from_step(n_threads=2))


def test_training_takes_another_track_where_one_is_lost_and_stops_where_none_is_left(tree: Tree) -> None:
    made = batches(tree, on_bad_frame="skip")
    own = [t for t in made.tracklets if t.pid == 2 and t.modality == "infrared"]
    for tracklet in own[1:]:
        for frame in tracklet.frames:
            frame.unlink()
    bad = BadFrames()
    for step in range(len(made)):
        bad.add(made[step].bad_frames)
    assert set(bad.tracklets) <= {t.tracklet_id for t in own[1:]} and bad.tracklets
    for frame in own[0].frames:
        frame.unlink()
    with pytest.raises(DataError, match="person 2 must have infrared pictures that can be read; none is left"):
        for step in range(len(made)):
            made[step]
