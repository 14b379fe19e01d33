"""Training batches: what a step is fed with, as a pure function of (seed, epoch, step) and the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from duskmatch.data.augmentation import Augment, apply_augmentation, draw_augmentation
from duskmatch.data.clips import in_order, read_frames
from duskmatch.data.decoding import BadFrames, FrameCache, OnBadFrame, Picture, Size, read_frame
from duskmatch.data.sampling import PairedDraw, PairedIdentitySampler, Sampling, Stream, generator
from duskmatch.errors import DataError, FrameError
from duskmatch.records import Modality, Tracklet

STREAMS: dict[Modality, tuple[Stream, Stream]] = {
    "visible": (Stream.VISIBLE_FRAMES, Stream.VISIBLE_AUGMENTATION),
    "infrared": (Stream.INFRARED_FRAMES, Stream.INFRARED_AUGMENTATION),
}


@dataclass
class Batch:
    """Clips of the same people by day and by night: row i of both is one person.

    Pixels are RGB; labels are places in the sampler's `pids`. `bad_frames` is what was met and left out on the way.
    """

    visible: UInt8[Tensor, "b t 3 h w"]
    infrared: UInt8[Tensor, "b t 3 h w"]
    labels: Int64[Tensor, b]
    pids: Int64[Tensor, b]
    bad_frames: BadFrames = field(default_factory=BadFrames)

    def __len__(self) -> int:
        return len(self.labels)


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """The batches of one epoch by step; asking for one twice, or in any order, gives the same pixels."""

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        sampler: PairedIdentitySampler,
        *,
        size: Size,
        n_frames: int,
        augment: Augment,
        epoch: int,
        on_bad_frame: OnBadFrame = "stop",
        cache: FrameCache | None = None,
        jpeg_scaling: bool = False,
        sampling: Sampling = "segments",
    ) -> None:
        self.tracklets, self.sampler, self.size, self.n_frames = tracklets, sampler, size, n_frames
        self.augment, self.epoch, self.on_bad_frame, self.sampling = augment, epoch, on_bad_frame, sampling
        self.read = partial(read_frame if cache is None else cache.read, jpeg_scaling=jpeg_scaling)

    def __len__(self) -> int:
        return self.sampler.steps_per_epoch

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < len(self):
            raise IndexError(step)
        draw, bad = self.sampler.draw(self.epoch, step), BadFrames()
        return Batch(
            self._clips("visible", draw, bad),
            self._clips("infrared", draw, bad),
            torch.from_numpy(draw.labels),
            torch.from_numpy(draw.pids),
            bad,
        )

    def _clips(self, modality: Modality, draw: PairedDraw, bad: BadFrames) -> UInt8[Tensor, "b t 3 h w"]:
        drawn = draw.visible if modality == "visible" else draw.infrared
        places = zip(drawn, draw.rows, strict=True)
        return torch.from_numpy(np.stack([self._clip(int(i), modality, draw, int(row), bad) for i, row in places]))

    def _clip(self, index: int, modality: Modality, draw: PairedDraw, row: int, bad: BadFrames) -> Picture:
        """(t 3 h w), augmented. Frames and augmentation come from the row's own random numbers."""
        frame_stream, augmentation_stream = STREAMS[modality]
        place = (draw.epoch, draw.step, row)
        seed = self.sampler.seed
        frames = self._frames(index, lambda: generator(seed, frame_stream, *place), bad)
        augmentation = draw_augmentation(self.augment, generator(seed, augmentation_stream, *place))
        return apply_augmentation(frames, self.augment, augmentation)

    def _frames(self, index: int, rng: Callable[[], np.random.Generator], bad: BadFrames) -> Picture:
        """The drawn tracklet's frames; where "skip" leaves none of them, the person's next track's in that modality."""
        for candidate in self.sampler.alternatives(index):
            try:
                tracklet, how = self.tracklets[candidate], (self.on_bad_frame, bad, self.read, self.sampling)
                return read_frames(tracklet, self.size, self.n_frames, rng, *how)
            except FrameError:
                if self.on_bad_frame == "stop":
                    raise
        lost = self.tracklets[index]
        raise DataError(
            f"person {lost.pid} must have {lost.modality} pictures that can be read; none is left "
            f"({bad.summary()}); copy the pictures again or leave the person out"
        )


def training_batches(
    tracklets: Sequence[Tracklet],
    sampler: PairedIdentitySampler,
    *,
    size: Size,
    n_frames: int,
    augment: Augment,
    epoch: int,
    first_step: int = 0,
    n_workers: int = 0,
    on_bad_frame: OnBadFrame = "stop",
    bad_frames: BadFrames | None = None,
    cache: FrameCache | None = None,
    jpeg_scaling: bool = False,
    sampling: Sampling = "segments",
) -> Iterator[Batch]:
    """The batches of one epoch from `first_step` on, in order, made ahead by `n_workers` threads.

    What is skipped is added to `bad_frames`; `cache` keeps decoded pictures from one epoch to the next;
    `jpeg_scaling` is that of `read_frame`, `sampling` a name in SAMPLINGS.
    """
    batches = TrainingBatches(
        tracklets,
        sampler,
        size=size,
        n_frames=n_frames,
        augment=augment,
        epoch=epoch,
        on_bad_frame=on_bad_frame,
        cache=cache,
        jpeg_scaling=jpeg_scaling,
        sampling=sampling,
    )
    for batch in in_order(batches.__getitem__, range(first_step, len(batches)), n_workers):
        if bad_frames is not None:
            bad_frames.add(batch.bad_frames)
        yield batch
