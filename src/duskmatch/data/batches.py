"""Training batches, as a pure function of (seed, epoch, step) and the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from duskmatch.data.augmentation import Augment, apply_augmentation, draw_augmentation
from duskmatch.data.clips import ClipReader, MakeGenerator, in_order
from duskmatch.data.decoding import BadFrames, Picture
from duskmatch.data.sampling import PairedDraw, PairedIdentitySampler, Stream, generator
from duskmatch.errors import DataError
from duskmatch.records import Modality, Tracklet

STREAMS: dict[Modality, tuple[Stream, Stream]] = {
    "visible": (Stream.VISIBLE_FRAMES, Stream.VISIBLE_AUGMENTATION),
    "infrared": (Stream.INFRARED_FRAMES, Stream.INFRARED_AUGMENTATION),
}


@dataclass
class Batch:
    """Clips of the same people by day and by night: row i of both is one person.

    Pixels are RGB; labels are places in the sampler's `pids`. `bad_frames` were left out on the way.
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
        reader: ClipReader,
        *,
        augment: Augment,
        epoch: int,
    ) -> None:
        self.tracklets, self.sampler, self.reader = tracklets, sampler, reader
        self.augment, self.epoch = augment, epoch

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

    def from_step(self, first: int = 0, n_threads: int = 0) -> Iterator[Batch]:
        """The batches from step `first` on, in order, made ahead by threads."""
        return in_order(self.__getitem__, range(first, len(self)), n_threads)

    def _clips(self, modality: Modality, draw: PairedDraw, bad: BadFrames) -> UInt8[Tensor, "b t 3 h w"]:
        drawn = draw.visible if modality == "visible" else draw.infrared
        places = zip(drawn, draw.rows, strict=True)
        return torch.from_numpy(np.stack([self._clip(int(i), modality, draw, int(row), bad) for i, row in places]))

    def _clip(self, index: int, modality: Modality, draw: PairedDraw, row: int, bad: BadFrames) -> Picture:
        """One augmented clip (t 3 h w); frames and augmentation are drawn by the row's own random numbers."""
        frame_stream, augmentation_stream = STREAMS[modality]
        place = (draw.epoch, draw.step, row)
        seed = self.sampler.seed
        frames = self._frames(index, lambda: generator(seed, frame_stream, *place), bad)
        augmentation = draw_augmentation(self.augment, generator(seed, augmentation_stream, *place))
        return apply_augmentation(frames, self.augment, augmentation)

    def _frames(self, index: int, make_generator: MakeGenerator, bad: BadFrames) -> Picture:
        """The tracklet's frames; if "skip" leaves none, those of the person's next track in that modality."""
        for candidate in self.sampler.alternatives(index):
            clip, unreadable = self.reader.read(self.tracklets[candidate], make_generator)
            bad.add(unreadable)
            if clip is not None:
                return clip.frames
        lost = self.tracklets[index]
        raise DataError(
            f"person {lost.pid} must have {lost.modality} pictures that can be read; none is left "
            f"({bad.summary()}); copy the pictures again or leave the person out"
        )
