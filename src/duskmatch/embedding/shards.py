"""Many processes embed one list of tracklets: each its share, in blocks that survive a killed process.

Nobody talks to anybody: a block is a file that appears whole or not at all. A process computes its own blocks, then
those of others that are still missing, so the work ends even when a fellow has died, and a second run computes only
what the first had not finished. Under torchrun, or with RANK and WORLD_SIZE set by any other starter.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duskmatch.data import BadFrames
from duskmatch.embedding.cache import network_key
from duskmatch.embedding.embedder import Embedder, Progress, source_of
from duskmatch.embedding.engines import Vectors
from duskmatch.errors import DataError, DuskmatchError
from duskmatch.files import write_whole
from duskmatch.records import Embeddings, Ints, Tracklet

BLOCK = 64  # tracklets in a file: lost at most by a killed process


def share_of_process() -> tuple[int, int]:
    """(rank, world) as the starter says in the environment; (0, 1) alone."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


class Block(NamedTuple):
    """Vectors of some tracklets, by their rows in the list, and what could not be read."""

    rows: Ints
    vectors: Vectors
    bad: BadFrames


class Shards:
    """The blocks of one list of tracklets with one network, as files in a folder of their own beside OUT."""

    def __init__(self, embedder: Embedder, tracklets: Sequence[Tracklet], out: Path, rank: int, world: int) -> None:
        self.embedder, self.tracklets, self.rank, self.world = embedder, list(tracklets), rank, world
        self.folder = out.with_name(out.name + ".parts")
        self.key = work_key(embedder, self.tracklets)
        self.starts = range(0, len(self.tracklets), BLOCK)

    def compute(self, on_progress: Progress | None = None) -> None:
        """Writes the blocks that are missing, this process's own first; afterwards all are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = self.starts[self.rank :: self.world]
        others = sorted(set(self.starts) - set(own), reverse=True)  # from the end: their owners come from the front
        for start in [*own, *others]:
            if not self.folder.is_dir():
                return  # the first process has joined all blocks already
            if self.read(start) is None:
                self._write(start)
            if on_progress:
                on_progress(sum(self.file(s).is_file() for s in self.starts), len(self.starts))

    def joined(self) -> Embeddings:
        """All blocks as one, in the order of the tracklets; each tracklet once, or left out for want of a frame."""
        blocks = [self._there(start) for start in self.starts]
        for block in blocks:
            self.embedder.bad_frames.add(block.bad)
        rows = np.concatenate([block.rows for block in blocks])
        if not len(rows):
            raise DataError(f"none of {len(self.tracklets)} tracklets has a readable frame; run `duskmatch check`")
        vectors = np.concatenate([block.vectors for block in blocks if len(block.rows)])
        return self.embedder.labelled(vectors, [self.tracklets[int(row)] for row in rows])

    def remove(self) -> None:
        """After OUT is written. Renamed first: another process that still writes a block finds the folder gone."""
        gone = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.joined")
        try:
            self.folder.rename(gone)
        except OSError:
            gone = self.folder
        shutil.rmtree(gone, ignore_errors=True)

    def file(self, start: int) -> Path:
        return self.folder / f"{start:09d}.safetensors"

    def read(self, start: int) -> Block | None:
        """A block; None where there is none, or one of other work, or a damaged one."""
        try:
            with safe_open(str(self.file(start)), framework="np") as file:
                header = file.metadata() or {}
                if header.get("key") != self.key:
                    return None
                bad = BadFrames(**json.loads(header["bad"]))
                return Block(file.get_tensor("rows"), file.get_tensor("vectors"), bad)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def _there(self, start: int) -> Block:
        block = self.read(start)
        if block is None:
            raise DataError(f"{self.file(start)} is missing or damaged; run the same command again")
        return block

    def _write(self, start: int) -> None:
        block = self._computed(start)
        header = {"key": self.key, "bad": json.dumps(asdict(block.bad))}
        tensors: dict[str, npt.NDArray[Any]] = {"rows": block.rows, "vectors": block.vectors}
        try:
            write_whole(self.file(start), lambda place: save_file(tensors, place, metadata=header), make_folder=False)
        except (DuskmatchError, SafetensorError):
            if self.folder.is_dir():  # else: joined by the first process while this one computed a block once more
                raise

    def _computed(self, start: int) -> Block:
        tracklets = self.tracklets[start : start + BLOCK]
        self.embedder.bad_frames = bad = BadFrames()
        try:
            found = self.embedder.embed(tracklets)
        except DataError:
            if len(bad.tracklets) < len(tracklets):
                raise
            return Block(np.zeros(0, np.int64), np.zeros((0, 0), np.float32), bad)  # no readable tracklet in it
        names = set(found.sources)
        rows = [start + i for i, tracklet in enumerate(tracklets) if source_of(tracklet) in names]
        return Block(np.array(rows, np.int64), found.vectors, bad)


def work_key(embedder: Embedder, tracklets: Sequence[Tracklet]) -> str:
    """Changes with the network, the engine, the precision and the tracklets: with anything that changes a vector."""
    engine = embedder.engine
    facts: list[Any] = [embedder.header, embedder.recorded, engine.name, engine.precision, engine.versions]
    facts += [embedder.settings.data.jpeg_scaling, embedder.settings.data.sampling]
    if embedder.model is not None:
        facts.append(network_key(embedder.model, embedder.settings, engine.versions))
    facts += [[source_of(tracklet), [str(frame) for frame in tracklet.frames]] for tracklet in tracklets]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
