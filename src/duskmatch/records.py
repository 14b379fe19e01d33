"""The records that rooms pass to each other: Tracklet, Clip, Embeddings, Ranking, Scores, Protocol.

Each is validated when it is created.

Words: pid = who, camid = which camera, modality = "visible" or "infrared", dist = smaller is nearer.
Arrays are NumPy on the CPU; (n d) float32 vectors, (n,) int64 labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from duskmatch.errors import DataError

Modality = Literal["visible", "infrared"]
Direction = Literal["infrared_to_visible", "visible_to_infrared"]
PairName = Literal["infrared_to_visible", "visible_to_infrared", "visible_to_visible", "infrared_to_infrared", "omni"]
CameraRule = Literal["none", "same-pid-same-camera", "camera-3-skips-camera-2"]
CmcCounting = Literal["entries", "identities"]

MODALITIES: tuple[Modality, ...] = get_args(Modality)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
PAIR_NAMES: tuple[PairName, ...] = get_args(PairName)
CAMERA_RULES: tuple[CameraRule, ...] = get_args(CameraRule)

# The rules in words: what is taken out of each query's gallery, and how CMC counts what is left.
REMOVED: dict[CameraRule, str] = {
    "none": "nothing",
    "same-pid-same-camera": "entries of the query's person from the query's camera",
    "camera-3-skips-camera-2": "of queries from camera 3 all entries from camera 2 (one place), and the reverse",
}
COUNTED: dict[CmcCounting, str] = {
    "entries": "every entry",
    "identities": "the first entry of each person only",
}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tracklet:
    """All frames of one person from one camera, in order of time.

    `frames` are picture files; `pid` is -1 where nobody knows who it is.
    """

    frames: tuple[Path, ...]
    pid: int
    camid: int
    modality: Modality
    tracklet_id: str = ""
    begin_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise DataError(f"tracklet {self.tracklet_id or self.pid} has no frames; leave it out or add its pictures")
        if self.modality not in MODALITIES:
            raise DataError(
                f"tracklet {self.tracklet_id or self.pid}: modality must be visible or infrared; got {self.modality!r}"
            )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Clip:
    """The T frames drawn from one tracklet: (t 3 h w) uint8, RGB."""

    frames: npt.NDArray[np.uint8]
    tracklet: Tracklet

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise DataError(f"a clip must be (t 3 h w) uint8; got {self.frames.shape} {self.frames.dtype}")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors to search with, and whose they are.

    vectors (n d) float32, finite; pids (n,), camids (n,); modality one word or n of them;
    sources: n names of where each came from (empty when unknown); meta: precision, run, frames per clip, ...;
    begin_s, end_s: n times of the tracklets, None where one is unknown (empty when all are).
    """

    vectors: Floats
    pids: Ints
    camids: Ints
    modality: Modality | Sequence[Modality]
    sources: Sequence[str] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    begin_s: Sequence[float | None] = ()
    end_s: Sequence[float | None] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen: the only place that converts
        put(self, "vectors", np.ascontiguousarray(np.asarray(self.vectors, dtype=np.float32)))
        put(self, "pids", np.asarray(self.pids, dtype=np.int64).reshape(-1))
        put(self, "camids", np.asarray(self.camids, dtype=np.int64).reshape(-1))
        if self.vectors.ndim != 2:
            raise DataError(f"embeddings: vectors must be (n, d); got shape {self.vectors.shape}")
        n = len(self.vectors)
        for name, column in (("pids", self.pids), ("camids", self.camids)):
            if len(column) != n:
                raise DataError(f"embeddings: {name} must have {n} entries, one for each vector; got {len(column)}")
        if not isinstance(self.modality, str):
            put(self, "modality", tuple(str(m) for m in self.modality))
            if len(self.modality) != n:
                raise DataError(f"embeddings: modality must be one word or {n} of them; got {len(self.modality)}")
        for word in {self.modality} if isinstance(self.modality, str) else set(self.modality):
            if word not in MODALITIES:
                raise DataError(f"embeddings: modality must be visible or infrared; got {word!r}")
        for name in ("sources", "begin_s", "end_s"):
            if (given := len(getattr(self, name))) not in (0, n):
                raise DataError(f"embeddings: {name} must be empty or have {n} entries; got {given}")
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))
        if len(bad):
            raise DataError(
                f"embeddings: vectors must be finite; {len(bad)} of {n} hold NaN or infinity, the first in row {bad[0]}"
            )

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modality of each of the n rows."""
        return (self.modality,) * len(self) if isinstance(self.modality, str) else tuple(self.modality)

    def take(self, rows: Sequence[int] | Ints | npt.NDArray[np.bool_]) -> Embeddings:
        """The chosen rows, in the order given."""
        index = np.arange(len(self))[np.asarray(rows)]
        modality = self.modality if isinstance(self.modality, str) else [self.modality[i] for i in index]
        lists = {name: getattr(self, name) for name in ("sources", "begin_s", "end_s")}
        chosen: dict[str, Any] = {name: [own[i] for i in index] if own else () for name, own in lists.items()}
        return replace(
            self,
            vectors=self.vectors[index],
            pids=self.pids[index],
            camids=self.camids[index],
            modality=modality,
            **chosen,
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """For each query its nearest gallery entries, best first.

    indices (q k) rows of the gallery, -1 where fewer than k were left after the camera rule;
    dist (q k) cosine distance 1 - similarity, in [0, 2], or the distance ranked by; infinity where there is none;
    matches (q k) True where the pid is the query's.
    """

    indices: Ints
    dist: Floats
    matches: npt.NDArray[np.bool_]
    camera_rule: CameraRule


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one direction, as fractions of 1, and everything needed to read them.

    cmc[k-1] is the share of scored queries with a match among the first k.
    `n_queries` counts every query given, `n_left_out` those of them without a match after the camera rule; of
    `n_gallery` entries `n_junk` have pid -1 and are ignored;
    per-query arrays hold the scored ones in order, `scored` their row numbers.
    """

    cmc: npt.NDArray[np.float64]
    mean_average_precision: float
    mean_inp: float
    n_queries: int
    n_gallery: int
    n_left_out: int
    n_ties: int
    chance: float
    camera_rule: CameraRule
    scored: Ints
    left_out: Ints
    first_hit: Ints
    average_precision: npt.NDArray[np.float64]
    inp: npt.NDArray[np.float64]
    query_pids: Ints
    n_junk: int = 0

    @property
    def rank1(self) -> float:
        return float(self.cmc[0])


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """One pair of a protocol: query and gallery, in words."""

    name: PairName
    query: str
    gallery: str
    published: bool = True  # False: the data set's own tables do not have it
    public_rule: CameraRule | None = None  # the rule of public code, if it differs from the protocol's


@dataclass(frozen=True, slots=True)
class Protocol:
    """A data set's rules as data: pairs of query and gallery, what is removed, how CMC counts, which trials.

    `pairs` always holds both directions; `trials` are numbers, each with galleries of its own, whose scores are
    averaged; `trained_apart`: each trial has training people of its own, so one is opened, trained and scored at a
    time. `variant` is the word that chooses it when the data set is opened.
    """

    name: str
    variant: str
    pairs: tuple[ScoredPair, ...]
    camera_rule: CameraRule
    cmc: CmcCounting = "entries"
    trials: tuple[int, ...] = (0,)
    trial_definition: str = "none, nothing is drawn"
    trained_apart: bool = False
    frames_per_clip: int = 1  # what published scores use
    sampling: Literal["segments", "uniform"] | None = None  # of these; if given, training has both as defaults

    def __post_init__(self) -> None:
        names = [pair.name for pair in self.pairs]
        if len(set(names)) != len(names) or not set(DIRECTIONS) <= set(names) <= set(PAIR_NAMES):
            raise DataError(f"protocol {self.name}: pairs must hold both directions, each once; got {names}")
        if not self.trials or len(set(self.trials)) != len(self.trials):
            raise DataError(f"protocol {self.name}: trials must be numbers, each once; got {self.trials}")
        if self.camera_rule not in REMOVED or self.cmc not in COUNTED:
            raise DataError(
                f"protocol {self.name}: camera rule and counting must be known; got {self.camera_rule}, {self.cmc}"
            )


# Source: docs/evaluation.md, "The protocol". Every track of one side is a query; the second direction swaps the sides.
HITSZ_VCM = Protocol(
    name="HITSZ-VCM (every tracklet of one modality is looked for among all of the other)",
    variant="standard",
    pairs=(
        ScoredPair("infrared_to_visible", "every infrared test track", "every visible test track"),
        ScoredPair("visible_to_infrared", "every visible test track", "every infrared test track"),
    ),
    camera_rule="same-pid-same-camera",
    frames_per_clip=6,
)
