"""Tracklets in, vectors out: frames are read ahead by threads while the engine runs the network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from duskmatch.config import Settings
from duskmatch.data import BadFrames, read_clips
from duskmatch.embedding.cost import count_flops, count_parameters
from duskmatch.embedding.engines import Engine, Vectors
from duskmatch.embedding.torch_engine import TorchEngine
from duskmatch.errors import DataError
from duskmatch.machine import pick_device, versions
from duskmatch.models import Network
from duskmatch.records import MODALITIES, Clip, Embeddings, Modality, Tracklet

Progress = Callable[[int, int], None]
SAMPLING_WORDS = {"segments": "first frame of each of equal segments", "uniform": "frames at even steps from the first"}
READERS = 4  # threads that decode ahead, at most; fewer where there are fewer cores


class Embedder:
    """Turns tracklets into unit vectors, each for itself: no vector depends on what shares its batch.

    Without an `engine` the model runs as it is, in fp32: one that is still being trained. An exported network has no
    `model`; what it would be asked for stands in `known`.
    """

    def __init__(
        self,
        model: Network | None,
        settings: Settings,
        *,
        device: str = "auto",
        on_bad_frame: Literal["stop", "skip"] = "stop",
        engine: Engine | None = None,
    ) -> None:
        self.model, self.settings, self.on_bad_frame = model, settings, on_bad_frame
        if engine is None:
            assert model is not None
            place = pick_device(device)
            engine = TorchEngine(model.to(place), settings.data, place)
        self.engine: Engine = engine
        self.header: dict[str, Any] = {}
        self.recorded: dict[str, Any] = {}  # of an export or a RUN, for `facts`
        self.bad_frames = BadFrames()
        self._seconds, self._n_embedded = 0.0, 0

    @property
    def size(self) -> tuple[int, int]:
        return self.settings.data.height, self.settings.data.width

    def embed(self, tracklets: Sequence[Tracklet], on_progress: Progress | None = None) -> Embeddings:
        """One unit vector for each tracklet, in their order; with `on_bad_frame` skip, fewer where none could be read.

        Frames: T of each, as settings.data.sampling says: the first of each of T equal segments, or even steps. Raises
        DataError where nothing is given, FrameError where a frame cannot be read.
        """
        if not tracklets:
            raise DataError("embed needs at least one tracklet; got none")
        begin = time.perf_counter()
        rows: list[int] = []
        vectors: list[Vectors] = []
        with evaluating(self.model):
            for modality in MODALITIES:
                chosen = [i for i, tracklet in enumerate(tracklets) if tracklet.modality == modality]
                for batch in self._batches(tracklets, chosen):
                    rows += [i for i, _ in batch]
                    vectors.append(self.engine(np.stack([clip.frames for _, clip in batch]), modality))
                    if on_progress:
                        on_progress(len(rows), len(tracklets))
        self._seconds += time.perf_counter() - begin
        self._n_embedded += len(rows)
        if not rows:
            raise DataError(f"none of {len(tracklets)} tracklets has a readable frame; run `duskmatch check` on them")
        order = np.argsort(rows, kind="stable")
        return self.labelled(np.concatenate(vectors)[order], [tracklets[rows[i]] for i in order])

    def facts(self) -> dict[str, Any]:
        """What stands beside every score: precision, checkpoint, sampling, cost, settings, versions."""
        t = self.settings.data.frames_per_clip
        return {
            "precision": self.engine.precision,
            "engine": self.engine.name,
            "checkpoint": self.header.get("checkpoint"),
            "selection": self.header.get("selection", "last"),
            "seed": self.settings.seed,
            "n_frames": t,
            "sampling": SAMPLING_WORDS[self.settings.data.sampling],
            "test_time_extras": self.extras(),
            **self.cost(),
            "ms_per_tracklet": 1000 * self._seconds / self._n_embedded if self._n_embedded else None,
            "settings": self.settings.model_dump(mode="json"),
            "versions": {**versions(), **self.engine.versions},
            "trained_on": self.header.get("data"),
        }

    def extras(self) -> list[str]:
        """What is done at test besides one forward of the clip, in words."""
        return list(self.recorded.get("test_time_extras", ()) if self.model is None else self.model.test_time_extras)

    def cost(self) -> dict[str, Any]:
        """Which embedding, how many parameters, how many operations for one clip."""
        if self.model is None:
            return self.recorded
        t, (h, w) = self.settings.data.frames_per_clip, self.size
        found = {"embedding": self.model.embedding, "parameters": count_parameters(self.model)}
        return {**found, "flops": count_flops(self.model, t, h, w), **self.recorded}

    def _batches(self, tracklets: Sequence[Tracklet], chosen: list[int]) -> Iterator[list[tuple[int, Clip]]]:
        """(row, clip) in groups that fit one call of the engine."""
        batch: list[tuple[int, Clip]] = []
        clips = read_clips(
            [tracklets[i] for i in chosen],
            self.size,
            self.settings.data.frames_per_clip,
            n_threads=self.settings.data.workers or min(READERS, os.cpu_count() or 1),
            n_ahead=self.settings.evaluate.batch_clips,  # the next batch is read while this one is computed
            on_bad_frame=self.on_bad_frame,
            bad_frames=self.bad_frames,
            jpeg_scaling=self.settings.data.jpeg_scaling,
            sampling=self.settings.data.sampling,
        )
        for i, clip in clips:
            batch.append((chosen[i], clip))
            if len(batch) == self.settings.evaluate.batch_clips:
                yield batch
                batch = []
        if batch:
            yield batch

    def labelled(self, vectors: Vectors, tracklets: list[Tracklet]) -> Embeddings:
        """The vectors with whose they are and how they were made."""
        words: tuple[Modality, ...] = tuple(t.modality for t in tracklets)
        made = {"precision": self.engine.precision, "engine": self.engine.name}
        return Embeddings(
            vectors,
            np.array([t.pid for t in tracklets]),
            np.array([t.camid for t in tracklets]),
            words[0] if len(set(words)) == 1 else words,
            [source_of(t) for t in tracklets],
            {**self.header, **made, "frames_per_clip": self.settings.data.frames_per_clip},
            begin_s=_if_known([t.begin_s for t in tracklets]),
            end_s=_if_known([t.end_s for t in tracklets]),
        )


def _if_known(times: list[float | None]) -> list[float | None]:
    return times if any(time is not None for time in times) else []


def source_of(tracklet: Tracklet) -> str:
    """The name by which an embedding says which tracklet it is of."""
    return tracklet.tracklet_id or str(tracklet.frames[0])


@contextmanager
def evaluating(model: Network | None) -> Iterator[None]:
    """The model, if there is one, in evaluation mode and afterwards as it was."""
    was_training = model is not None and model.training
    if model is not None:
        model.eval()
    try:
        yield
    finally:
        if model is not None:
            model.train(was_training)
