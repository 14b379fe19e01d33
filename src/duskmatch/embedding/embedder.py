"""Tracklets in, vectors out: frames are read ahead by threads while the engine runs the network."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from duskmatch.config import Settings
from duskmatch.data import BadFrames, ClipReader, OnBadFrame
from duskmatch.embedding.cost import count_flops, count_parameters
from duskmatch.embedding.engines import Engine, Vectors
from duskmatch.embedding.torch_engine import TorchEngine
from duskmatch.errors import DataError
from duskmatch.machine import pick_device, versions
from duskmatch.models import Network
from duskmatch.records import MODALITIES, Clip, Embeddings, Ints, Modality, Tracklet

Progress = Callable[[int, int], None]
SAMPLING_WORDS = {"segments": "first frame of each of equal segments", "uniform": "frames at even steps from the first"}
READERS = 4  # most threads that decode ahead; fewer on fewer cores


@dataclass
class Account:
    """The account of one call of the embedder, or of several: frames left out, tracklets embedded, time taken."""

    bad_frames: BadFrames = field(default_factory=BadFrames)
    n_tracklets: int = 0
    seconds: float = 0.0

    def add(self, other: Account) -> None:
        self.bad_frames.add(other.bad_frames)
        self.n_tracklets += other.n_tracklets
        self.seconds += other.seconds

    @property
    def ms_per_tracklet(self) -> float | None:
        return 1000 * self.seconds / self.n_tracklets if self.n_tracklets and self.seconds else None


class Rows(NamedTuple):
    """Vectors, the rows of their tracklets in the given list, and the account."""

    rows: Ints
    vectors: Vectors
    account: Account


class Embedder:
    """Turns tracklets into unit vectors, none of which depends on the other clips of its batch.

    Without an `engine` the model runs as it is, in fp32, and is left in evaluation mode. An exported network has no
    `model`; its facts are in `recorded`. No call changes the embedder, so threads may share one.
    """

    def __init__(
        self,
        model: Network | None,
        settings: Settings,
        *,
        device: str = "auto",
        on_bad_frame: OnBadFrame = "stop",
        engine: Engine | None = None,
        header: dict[str, Any] | None = None,
        recorded: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.settings, self.on_bad_frame = model, settings, on_bad_frame
        if model is not None:
            model.eval()
        if engine is None:
            assert model is not None
            place = pick_device(device)
            engine = TorchEngine(model.to(place), settings.data, place)
        self.engine: Engine = engine
        self.header, self.recorded = header or {}, recorded or {}
        self._turn = threading.Lock()

    @property
    def reader(self) -> ClipReader:
        return ClipReader.of(self.settings.data, on_bad_frame=self.on_bad_frame)

    @property
    def size(self) -> tuple[int, int]:
        return self.settings.data.height, self.settings.data.width

    def embed(self, tracklets: Sequence[Tracklet], on_progress: Progress | None = None) -> Embeddings:
        """One unit vector for each tracklet, in their order; with `on_bad_frame` skip, unreadable ones are left out.

        T frames of each are read, by settings.data.sampling: the first of each of T equal segments, or even steps.
        Raises DataError for an empty list, FrameError for a frame that cannot be read.
        """
        return self.embed_with_account(tracklets, on_progress)[0]

    def embed_with_account(
        self, tracklets: Sequence[Tracklet], on_progress: Progress | None = None
    ) -> tuple[Embeddings, Account]:
        """As `embed`, with what was left out and how long it took."""
        if not tracklets:
            raise DataError("embed needs at least one tracklet; got none")
        rows, vectors, account = self.embed_rows(tracklets, on_progress)
        return self.labelled(rows, vectors, tracklets), account

    def embed_rows(self, tracklets: Sequence[Tracklet], on_progress: Progress | None = None) -> Rows:
        """The vectors in the order of their tracklets; with "skip" there may be none."""
        begin, account = time.perf_counter(), Account()
        rows: list[int] = []
        vectors: list[Vectors] = [np.zeros((0, 0), np.float32)]
        for modality in MODALITIES:
            chosen = [i for i, tracklet in enumerate(tracklets) if tracklet.modality == modality]
            clips = self._clips(tracklets, chosen, account.bad_frames)
            while batch := list(islice(clips, self.settings.evaluate.batch_clips)):
                rows += [i for i, _ in batch]
                with self._turn:  # engines make their graphs at the first batch, and use all threads for each
                    vectors.append(self.engine(np.stack([clip.frames for _, clip in batch]), modality))
                if on_progress:
                    on_progress(len(rows), len(tracklets))
        order = np.argsort(rows, kind="stable")
        account.seconds, account.n_tracklets = time.perf_counter() - begin, len(rows)
        found = np.concatenate(vectors[1:] or vectors)
        return Rows(np.array(rows, np.int64)[order], found[order], account)

    def facts(self, account: Account | None = None) -> dict[str, Any]:
        """The facts that accompany every score: precision, checkpoint, sampling, cost, settings, versions.

        `account`, of the vectors that were scored, gives the time for a tracklet.
        """
        t = self.settings.data.frames_per_clip
        return {
            "precision": self.engine.precision,
            "engine": self.engine.name,
            "checkpoint": self.header.get("checkpoint"),
            "selection": self.header.get("selection", "last"),
            "seed": self.settings.seed,
            "n_frames": t,
            "sampling": SAMPLING_WORDS[self.settings.data.sampling],
            **self.cost(),
            "ms_per_tracklet": None if account is None else account.ms_per_tracklet,
            "settings": self.settings.model_dump(mode="json"),
            "versions": {**versions(), **self.engine.versions},
            "trained_on": self.header.get("data"),
        }

    def cost(self) -> dict[str, Any]:
        """The name of the embedding, its parameters and operations, and the extras at test beside one forward pass."""
        if self.model is None:
            return {"test_time_extras": [], **self.recorded}
        t, (h, w) = self.settings.data.frames_per_clip, self.size
        with self._turn:  # counting hooks the model
            flops = count_flops(self.model, t, h, w)
        return {
            "test_time_extras": list(self.model.test_time_extras),
            "embedding": self.model.embedding_name,
            "parameters": count_parameters(self.model),
            "flops": flops,
            **self.recorded,
        }

    def _clips(
        self, tracklets: Sequence[Tracklet], chosen: list[int], bad_frames: BadFrames
    ) -> Iterator[tuple[int, Clip]]:
        """(row, clip), with the next batch read ahead; unreadable frames are added to `bad_frames`."""
        n_threads = self.settings.data.workers or min(READERS, os.cpu_count() or 1)
        n_ahead = self.settings.evaluate.batch_clips
        clips = self.reader.clips([tracklets[i] for i in chosen], n_threads, n_ahead)
        for i, (clip, bad) in zip(chosen, clips, strict=True):
            bad_frames.add(bad)
            if clip is not None:
                yield i, clip

    def labelled(self, rows: Ints, vectors: Vectors, tracklets: Sequence[Tracklet]) -> Embeddings:
        """The vectors of these rows of the list as Embeddings, with people, cameras and facts."""
        if not len(rows):
            raise DataError(f"none of {len(tracklets)} tracklets has a readable frame; run `duskmatch check` on them")
        chosen = [tracklets[row] for row in rows]
        words: tuple[Modality, ...] = tuple(t.modality for t in chosen)
        made = {"precision": self.engine.precision, "engine": self.engine.name}
        return Embeddings(
            vectors,
            np.array([t.pid for t in chosen]),
            np.array([t.camid for t in chosen]),
            words[0] if len(set(words)) == 1 else words,
            [source_of(t) for t in chosen],
            {**self.header, **made, "frames_per_clip": self.settings.data.frames_per_clip},
            begin_s=_if_recorded([t.begin_s for t in chosen]),
            end_s=_if_recorded([t.end_s for t in chosen]),
        )


def _if_recorded(times: list[float | None]) -> list[float | None]:
    return times if any(time is not None for time in times) else []


def source_of(tracklet: Tracklet) -> str:
    """The name of a tracklet in `Embeddings.sources`."""
    return tracklet.tracklet_id or str(tracklet.frames[0])
