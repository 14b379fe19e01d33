"""Choice of frames and tracklets: segments or even steps, and batches of people seen in both modalities.

Every draw is a pure function of (seed, stream, epoch, step, row): it does not depend on earlier draws, so a
killed run resumes exactly, and several processes make the same draw without communicating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from duskmatch.errors import DataError, SettingsError
from duskmatch.records import MODALITIES, Ints, Modality, Tracklet


class Stream(IntEnum):
    """The purposes of random numbers, each with a sequence of its own."""

    PEOPLE = 1
    VISIBLE_FRAMES = 2
    INFRARED_FRAMES = 3
    VISIBLE_AUGMENTATION = 4
    INFRARED_AUGMENTATION = 5


def generator(seed: int, stream: Stream, epoch: int, step: int, row: int = 0) -> np.random.Generator:
    """Philox, keyed by (seed, stream) and set to a counter of (row, step, epoch): no state to save."""
    if not 0 <= seed < 2**64:
        raise SettingsError(f"seed must be from 0 to 2**64 - 1; got {seed}")
    # The lowest counter word is the one that drawing advances; 2**64 blocks are enough for one row.
    return np.random.Generator(np.random.Philox(key=[seed, int(stream)], counter=[0, row, step, epoch]))


def segment_indices(n: int, n_frames: int, rng: np.random.Generator | None) -> Ints:
    """T of n frame numbers, one from each of T equal segments: drawn with `rng`, the first of each without.

    The list of n is first filled up with its last frame to a multiple of T. 24 frames give 0 4 8 12 16 20;
    13 give 0 3 6 9 12 12; with fewer than T the last frame is repeated.

    Source: MITML's `video_train` and `video_test`; docs/datasets.md, "What training draws".
    """
    if n < 1 or n_frames < 1:
        raise DataError(f"frames to draw from and frames to draw must be at least 1; got {n} and {n_frames}")
    length = -(-n // n_frames)  # ceil
    offsets = np.zeros(n_frames, dtype=np.int64) if rng is None else rng.integers(length, size=n_frames)
    indices: Ints = np.minimum(np.arange(n_frames, dtype=np.int64) * length + offsets, n - 1)
    return indices


def uniform_indices(n: int, n_frames: int, rng: np.random.Generator | None) -> Ints:
    """T of n frame numbers: in order, drawn among all with `rng`, at even steps from the first without.

    24 frames give 0 2 4 7 9 12 14 16 19 21 for T = 10. With `rng`, frames differ if n is at least T.

    Source: `random` (training) and `uniform` (test) in BUPTCampus' public code.
    """
    if n < 1 or n_frames < 1:
        raise DataError(f"frames to draw from and frames to draw must be at least 1; got {n} and {n_frames}")
    if rng is not None:
        return np.sort(rng.choice(n, size=n_frames, replace=n < n_frames)).astype(np.int64)
    steps: Ints = np.arange(n_frames, dtype=np.int64) * n // n_frames
    return steps


DrawFrames = Callable[[int, int, np.random.Generator | None], Ints]
Sampling = Literal["segments", "uniform"]
SAMPLINGS: dict[Sampling, DrawFrames] = {"segments": segment_indices, "uniform": uniform_indices}


@dataclass(frozen=True, slots=True)
class PairedDraw:
    """One batch: row i of `visible` and `infrared` (numbers of tracklets) is the same person.

    `rows` are the row numbers in the whole batch, of which this process may hold a share.
    """

    epoch: int
    step: int
    visible: Ints
    infrared: Ints
    labels: Ints
    pids: Ints
    rows: Ints


class PairedIdentitySampler:
    """Batches of P people with K visible and K infrared tracks each, drawn with replacement.

    People are drawn without replacement within a batch, from those seen in both modalities; `pids` lists them and
    a person's label is the place in that list. Others are counted in `n_unpaired` and never drawn. An epoch has
    floor(min(infrared tracks, visible tracks) / (P * K)) steps.

    With world > 1, `n_pids` is still the whole batch's; process `rank` takes its part of the people, in order.

    Source: MITML's `IdentitySampler`. Differs: each step is drawn by itself, not from a list made once an epoch.
    """

    def __init__(
        self, tracklets: Sequence[Tracklet], n_pids: int, n_tracks: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        tracks: dict[Modality, dict[int, list[int]]] = {modality: {} for modality in MODALITIES}
        for index, tracklet in enumerate(tracklets):
            tracks[tracklet.modality].setdefault(tracklet.pid, []).append(index)
        paired = sorted(tracks["visible"].keys() & tracks["infrared"].keys())
        self.n_unpaired = len(tracks["visible"].keys() | tracks["infrared"].keys()) - len(paired)
        self.pids = np.array(paired, dtype=np.int64)
        self.n_pids, self.n_tracks, self.seed, self.rank, self.world = n_pids, n_tracks, seed, rank, world
        self._tracks = {m: [np.array(tracks[m][pid], dtype=np.int64) for pid in paired] for m in MODALITIES}
        self._owner: dict[int, tuple[Modality, int]] = {
            int(i): (m, person) for m in MODALITIES for person, own in enumerate(self._tracks[m]) for i in own
        }
        counts = {m: sum(len(rows) for rows in tracks[m].values()) for m in MODALITIES}
        self.steps_per_epoch = min(counts.values()) // max(n_pids * n_tracks, 1)
        self._check(counts)

    def draw(self, epoch: int, step: int) -> PairedDraw:
        """The batch of this step, or this process's part of it."""
        rng = generator(self.seed, Stream.PEOPLE, epoch, step)
        people = rng.choice(len(self.pids), size=self.n_pids, replace=False)
        chosen = {m: [self._draw_tracks(rng, m, int(person)) for person in people] for m in MODALITIES}
        share = self.n_pids // self.world
        mine = slice(self.rank * share * self.n_tracks, (self.rank + 1) * share * self.n_tracks)
        labels = np.repeat(people, self.n_tracks)[mine]
        return PairedDraw(
            epoch,
            step,
            visible=np.concatenate(chosen["visible"])[mine],
            infrared=np.concatenate(chosen["infrared"])[mine],
            labels=labels,
            pids=self.pids[labels],
            rows=np.arange(self.n_pids * self.n_tracks)[mine],
        )

    def alternatives(self, index: int) -> list[int]:
        """The tracklet, then the same person's others in its modality, to replace one that cannot be read."""
        modality, person = self._owner[index]
        own = [int(i) for i in self._tracks[modality][person]]
        at = own.index(index)
        return own[at:] + own[:at]

    def _draw_tracks(self, rng: np.random.Generator, modality: Modality, person: int) -> Ints:
        own = self._tracks[modality][person]
        return own[rng.integers(len(own), size=self.n_tracks)]

    def _check(self, counts: dict[Modality, int]) -> None:
        if self.n_pids < 1 or self.n_tracks < 1:
            raise SettingsError(
                f"people and tracks per batch must be at least 1; got {self.n_pids} people and {self.n_tracks} tracks"
            )
        if not 0 <= self.rank < self.world or self.n_pids % self.world:
            raise SettingsError(
                f"people per batch must be a multiple of the {self.world} processes, each with a rank below that; "
                f"got {self.n_pids} people and rank {self.rank}"
            )
        if self.n_pids > len(self.pids):
            raise SettingsError(
                f"people per batch must not be more than the people seen in both modalities, {len(self.pids)}; "
                f"got {self.n_pids}; lower train.pids_per_batch or take more data"
            )
        if self.steps_per_epoch < 1:
            raise SettingsError(
                f"a batch must not be larger than the tracks of either modality ({counts['infrared']} infrared, "
                f"{counts['visible']} visible); got {self.n_pids} people x {self.n_tracks} tracks; "
                "lower train.pids_per_batch or train.tracklets_per_pid"
            )
