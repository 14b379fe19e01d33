"""Tracklets in, vectors out: the trained network with its reading and normalisation of frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from duskmatch.config import Settings
from duskmatch.data import BadFrames, normalise, read_clips
from duskmatch.embedding.cost import count_flops, count_parameters
from duskmatch.embedding.machine import pick_device, versions
from duskmatch.embedding.run import build_model, load_model
from duskmatch.errors import DataError
from duskmatch.models import SelfAttackDefense
from duskmatch.records import MODALITIES, Clip, Embeddings, Modality, Tracklet

Progress = Callable[[int, int], None]


def load_embedder(
    run: str | Path,
    *,
    device: str = "auto",
    untrained: bool = False,
    on_bad_frame: Literal["stop", "skip"] = "stop",
) -> Embedder:
    """The embedder of a trained RUN; `untrained` gives the same network with the random start of its seed.

    Weights that training began with (model.weights) are not in a RUN and are not loaded for `untrained`.

    Raises CheckpointError where the RUN is missing, damaged or of another layout.
    """
    model, settings, header = load_model(Path(run))
    if untrained:
        model = build_model(settings, model.n_pids).eval()
    embedder = Embedder(model, settings, device=device, on_bad_frame=on_bad_frame)
    embedder.header = header
    return embedder


class Embedder:
    """Turns tracklets into unit vectors, each for itself: no vector depends on what shares its batch."""

    def __init__(
        self,
        model: SelfAttackDefense,
        settings: Settings,
        *,
        device: str = "auto",
        on_bad_frame: Literal["stop", "skip"] = "stop",
    ) -> None:
        self.device = pick_device(device)
        self.model = model.to(self.device)
        self.settings, self.on_bad_frame = settings, on_bad_frame
        self.header: dict[str, Any] = {}
        self.bad_frames = BadFrames()
        self._seconds, self._n_embedded = 0.0, 0

    @property
    def size(self) -> tuple[int, int]:
        return self.settings.data.height, self.settings.data.width

    def embed(self, tracklets: Sequence[Tracklet], on_progress: Progress | None = None) -> Embeddings:
        """One unit vector for each tracklet, in their order; with `on_bad_frame` skip, fewer where none could be read.

        Frames: the first of each of T equal segments (settings.data.frames_per_clip). Raises DataError where nothing
        is given, FrameError where a frame cannot be read.
        """
        if not tracklets:
            raise DataError("embed needs at least one tracklet; got none")
        was_training = self.model.training
        self.model.eval()
        begin = time.perf_counter()
        rows: list[int] = []
        vectors: list[Tensor] = []
        done = 0
        for modality in MODALITIES:
            chosen = [i for i, tracklet in enumerate(tracklets) if tracklet.modality == modality]
            for batch in self._batches(tracklets, chosen):
                rows += [i for i, _ in batch]
                vectors.append(self._vectors([clip for _, clip in batch], modality))
                done += len(batch)
                if on_progress:
                    on_progress(done, len(tracklets))
        self.model.train(was_training)
        self._seconds += time.perf_counter() - begin
        self._n_embedded += len(rows)
        if not rows:
            raise DataError(f"none of {len(tracklets)} tracklets has a readable frame; run `duskmatch check` on them")
        order = np.argsort(rows, kind="stable")
        kept = [tracklets[rows[i]] for i in order]
        return self._labelled(torch.cat(vectors).numpy()[order], kept)

    def facts(self) -> dict[str, Any]:
        """What stands beside every score: precision, checkpoint, sampling, cost, settings, versions."""
        t, (h, w) = self.settings.data.frames_per_clip, self.size
        return {
            "precision": "fp32",
            "checkpoint": self.header.get("checkpoint"),
            "selection": self.header.get("selection", "last"),
            "seed": self.settings.seed,
            "n_frames": t,
            "sampling": "first frame of each of equal segments",
            "test_time_extras": [],
            "embedding": self.model.embedding,
            "parameters": count_parameters(self.model),
            "flops": count_flops(self.model, t, h, w),
            "ms_per_tracklet": 1000 * self._seconds / self._n_embedded if self._n_embedded else None,
            "settings": self.settings.model_dump(mode="json"),
            "versions": versions(),
            "trained_on": self.header.get("data"),
        }

    def _batches(self, tracklets: Sequence[Tracklet], chosen: list[int]) -> Iterator[list[tuple[int, Clip]]]:
        """(row, clip) in groups that fit one forward."""
        batch: list[tuple[int, Clip]] = []
        clips = read_clips(
            [tracklets[i] for i in chosen],
            self.size,
            self.settings.data.frames_per_clip,
            on_bad_frame=self.on_bad_frame,
            bad_frames=self.bad_frames,
        )
        for i, clip in clips:
            batch.append((chosen[i], clip))
            if len(batch) == self.settings.evaluate.batch_clips:
                yield batch
                batch = []
        if batch:
            yield batch

    @torch.no_grad()
    def _vectors(self, clips: list[Clip], modality: Modality) -> Tensor:
        stack = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(self.device)  # (b t 3 h w) uint8
        pixels = normalise(stack, **self.settings.data.normalisation)
        return self.model.embed(pixels, modality).float().cpu()

    def _labelled(self, vectors: np.ndarray, tracklets: list[Tracklet]) -> Embeddings:
        words: tuple[Modality, ...] = tuple(t.modality for t in tracklets)
        return Embeddings(
            vectors,
            np.array([t.pid for t in tracklets]),
            np.array([t.camid for t in tracklets]),
            words[0] if len(set(words)) == 1 else words,
            [t.tracklet_id or str(t.frames[0]) for t in tracklets],
            {**self.header, "precision": "fp32", "frames_per_clip": self.settings.data.frames_per_clip},
        )
