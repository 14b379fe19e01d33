"""Embedding of one list of tracklets by several processes, each a share, in blocks that survive a killed process.

A block is a file that appears whole or not at all. Each process computes its own blocks, all wait for each other, and
the first one joins them. A second run computes only missing blocks: a block is reused only if network, engine,
tracklets and the sizes and times of their pictures are the same.

The processes are started by torchrun, or by anything that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.distributed
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duskmatch.data import BadFrames
from duskmatch.embedding.cache import network_key
from duskmatch.embedding.embedder import Account, Embedder, Progress, Rows, source_of
from duskmatch.errors import DataError, OutputError, SettingsError
from duskmatch.files import make_folder, write_whole
from duskmatch.records import Embeddings, Tracklet

BLOCK = 64  # tracklets in a file; a killed process loses at most these
START, END = timedelta(minutes=10), timedelta(days=30)  # limits of waiting for each other at start and end


class Group:
    """This process, number `rank` of `world`, and its connection to the others."""

    def __init__(self) -> None:
        try:
            torch.distributed.init_process_group("gloo", timeout=START)
            self._all = torch.distributed.new_group(timeout=END)
        except (RuntimeError, ValueError) as error:
            variables = "WORLD_SIZE above 1 needs RANK, MASTER_ADDR and MASTER_PORT too, and all processes at once"
            raise SettingsError(f"{variables}; start them with torchrun ({error})") from error
        self.rank, self.world = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def wait(self, out: Path) -> None:
        """Waits for all processes; OutputError if one has ended."""
        try:
            torch.distributed.barrier(self._all)
        except RuntimeError as error:
            text = "not written: another process ended before its share was embedded"
            raise OutputError(f"{out}: {text}; run the same command again to complete it") from error


@contextmanager
def process_group() -> Iterator[Group | None]:
    """The processes that share the work; None if there is only this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    try:
        yield Group()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Shards:
    """The blocks of one list of tracklets by one network, as files in the folder OUT.parts."""

    def __init__(self, embedder: Embedder, tracklets: Sequence[Tracklet], out: Path) -> None:
        self.embedder, self.tracklets = embedder, list(tracklets)
        self.folder = out.with_name(out.name + ".parts")
        self.key = work_key(embedder, self.tracklets)
        self.starts = range(0, len(self.tracklets), BLOCK)

    def compute(self, rank: int = 0, world: int = 1, on_progress: Progress | None = None) -> None:
        """Computes and writes this process's missing blocks."""
        make_folder(self.folder)
        own = self.starts[rank::world]
        for n_done, start in enumerate(own, start=1):
            if self.read(start) is None:
                self._write(start)
            if on_progress:
                on_progress(n_done, len(own))

    def joined(self) -> tuple[Embeddings, Account]:
        """All blocks joined, in the order of the tracklets; those without a readable frame are left out."""
        blocks = [self._written(start) for start in self.starts]
        account = Account()
        for block in blocks:
            account.add(block.account)
        rows = np.concatenate([start + block.rows for start, block in zip(self.starts, blocks, strict=True)])
        vectors = np.concatenate([block.vectors for block in blocks if len(block.rows)] or [blocks[0].vectors])
        return self.embedder.labelled(rows, vectors, self.tracklets), account

    def remove(self) -> None:
        """Removes the blocks, once OUT is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, start: int) -> Path:
        return self.folder / f"{start:09d}.safetensors"

    def read(self, start: int) -> Rows | None:
        """A block; None if it is missing, damaged or of other work."""
        try:
            with safe_open(str(self.file(start)), framework="np") as file:
                header = file.metadata() or {}
                if header.get("key") != self.key:
                    return None
                rows, bad = file.get_tensor("rows"), BadFrames(**json.loads(header["bad"]))
                vectors = file.get_tensor("vectors")
                whole = vectors.ndim == 2 and len(vectors) == len(rows) and bool(np.isfinite(vectors).all())
                within = bool(((rows >= 0) & (rows < min(BLOCK, len(self.tracklets) - start))).all())
                return Rows(rows, vectors, Account(bad, len(rows))) if whole and within else None
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def _written(self, start: int) -> Rows:
        block = self.read(start)
        if block is None:
            raise DataError(f"{self.file(start)} is missing or damaged; run the same command again")
        return block

    def _write(self, start: int) -> None:
        block = self.embedder.embed_rows(self.tracklets[start : start + BLOCK])
        header = {"key": self.key, "bad": json.dumps(asdict(block.account.bad_frames))}
        tensors: dict[str, npt.NDArray[Any]] = {"rows": block.rows, "vectors": block.vectors}
        write_whole(self.file(start), lambda place: save_file(tensors, place, metadata=header), make_folder=False)


def work_key(embedder: Embedder, tracklets: Sequence[Tracklet]) -> str:
    """A hash of all that changes a vector: network, engine, precision, reading of frames, pictures."""
    engine = embedder.engine
    facts: list[Any] = [embedder.header, embedder.recorded, engine.name, engine.precision, engine.versions]
    facts.append(asdict(embedder.reader))
    if embedder.model is not None:
        facts.append(network_key(embedder.model, embedder.settings, engine.versions))
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for tracklet in tracklets:
        digest.update(json.dumps([source_of(tracklet), *map(_as_on_disk, tracklet.frames)]).encode())
    return digest.hexdigest()


def _as_on_disk(frame: Path) -> tuple[str, int, int]:
    """A picture's path, size and time of change; -1 if it is missing."""
    try:
        found = frame.stat()
    except OSError:
        return str(frame), -1, -1
    return str(frame), found.st_size, found.st_mtime_ns
