"""The plan of a data set (which tracks of which people), and the parameters of each walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from duskmatch.records import Modality
from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.canvas import FOOT_M, WIDTH_M
from duskmatch.synthetic.gait import Array, speed_m_s
from duskmatch.synthetic.people import POOLS, Gait, Person, gait_today
from duskmatch.synthetic.presets import Preset
from duskmatch.synthetic.streams import between, drift, near, stream

FRAMES_PER_S = 12.0
OCCLUDERS = ("none", "post", "car", "bush", "passer-by")


@dataclass(frozen=True, slots=True)
class Track:
    """One tracklet in the plan; `take` counts a person's tracks in the same camera and modality from 1."""

    pool: str
    person: int
    pid: int
    camid: int
    modality: Modality
    take: int
    n_frames: int

    @property
    def place(self) -> tuple[int, int, int, int, int]:
        """The key of all randomness of this track."""
        return POOLS.index(self.pool), self.person, self.camid, 1 if self.modality == "infrared" else 2, self.take


@dataclass(frozen=True, slots=True)
class Walk:
    """The parameters of a walk; arrays are (t,)."""

    view_deg: float
    place: int
    phase: Array
    gait: Gait
    speed_m_s: float
    x_m: Array  # the walker's position in the scene
    y_m: Array
    fill: Array  # stature as a share of the crop's height
    shift_x: Array  # the walker's position in the crop, as a share of its height
    shift_y: Array
    truncated: bool
    occluder: str
    occluder_offset_m: float
    occluder_size: float
    stops: float
    warmth: float
    lamp_stops: float

    def only(self, at: Sequence[int]) -> Walk:
        """The walk reduced to these frames."""
        chosen = np.asarray(at)
        arrays = ("phase", "x_m", "y_m", "fill", "shift_x", "shift_y")
        return replace(self, **{name: getattr(self, name)[chosen] for name in arrays})


def plan(preset: Preset, seed: int) -> list[Track]:
    """All tracks of a data set, by pool and person."""
    return [track for pool in POOLS for track in plan_pool(preset, seed, pool)]


def first_pid(preset: Preset, pool: str) -> int:
    """Training people are numbered first, then test people, then validation people."""
    train, _, test = preset.people
    return {"train": 1, "test": train + 1, "val": train + test + 1}[pool]


def plan_pool(preset: Preset, seed: int, pool: str) -> Iterator[Track]:
    """The tracks of one pool, person by person."""
    place = POOLS.index(pool)
    lengths = _vcm_lengths(seed, pool) if preset.counts == "vcm" and pool != "val" else None
    n_people = preset.people[place]
    for person in range(n_people):
        for modality in ("infrared", "visible"):
            rng = stream(seed, "plan", place, person, 1 if modality == "infrared" else 2)
            if lengths is None:
                own = [_length(rng, preset.frames_of(pool)) for _ in range(preset.tracks)]
                n_cameras = preset.tracks
            else:
                own = lengths[modality][person::n_people]
                n_cameras = int(rng.integers(3, 7))
            chosen = rng.permutation(preset.cameras)[: min(n_cameras, preset.cameras)] + 1
            cameras = sorted(int(chosen[i % len(chosen)]) for i in range(len(own)))
            takes: dict[int, int] = {}
            for camid, n_frames in zip(cameras, own, strict=True):
                takes[camid] = takes.get(camid, 0) + 1
                yield Track(pool, person, first_pid(preset, pool) + person, camid, modality, takes[camid], n_frames)


def _length(rng: np.random.Generator, lengths: tuple[int, int]) -> int:
    shortest, usual = lengths
    return usual if rng.random() < 0.85 else int(rng.integers(shortest, usual + 1))


# (tracks, frames) of at least 12 frames, then of fewer. Source: docs/datasets.md, "When a copy counts as HITSZ-VCM";
# the totals with short tracks are in M3-ReID's data/manager.py. How training's short tracks are split between the
# modalities is not known: in proportion to the long ones.
VCM = {
    "train": {"infrared": ((4291, 98_214), (577, 3_405)), "visible": ((5460, 126_543), (733, 4_334))},
    "test": {"infrared": ((4584, 105_979), (575, 3_415)), "visible": ((5099, 118_137), (544, 3_232))},
}


def _vcm_lengths(seed: int, pool: str) -> dict[str, list[int]]:
    """Track lengths of one pool that add up to HITSZ-VCM's counts, before and after the 12-frame filter."""
    lengths = {}
    for modality, ((n_long, long_frames), (n_short, short_frames)) in VCM[pool].items():
        rng = stream(seed, "lengths", POOLS.index(pool), 1 if modality == "infrared" else 2)
        long = _shortened(rng, np.full(n_long, 24), 12, n_long * 24 - long_frames)
        short = _shortened(rng, np.full(n_short, 11), 1, n_short * 11 - short_frames)
        lengths[modality] = [int(n) for n in rng.permutation(np.concatenate([long, short]))]
    return lengths


def _shortened(rng: np.random.Generator, lengths: np.ndarray, shortest: int, surplus: int) -> np.ndarray:
    """The lengths after removing `surplus` frames from tracks in random order, none below `shortest`."""
    lengths = lengths.copy()
    while surplus:
        for i in rng.permutation(len(lengths)):
            cut = min(surplus, int(rng.integers(0, lengths[i] - shortest + 1)))
            lengths[i] -= cut
            surplus -= cut
            if not surplus:
                break
    return lengths


def make_walk(seed: int, track: Track, person: Person, preset: Preset) -> Walk:
    """The parameters of a track's walk besides person and camera."""
    camera = make_camera(seed, track.camid)
    rng = stream(seed, "walk", *track.place)
    n = track.n_frames
    away = 180.0 if rng.random() < 0.5 else 0.0
    view = (camera.path_deg + away + near(rng, 0, preset.turn_deg)) % 360
    pace = float(np.clip(near(rng, 1.0, 0.08), 0.8, 1.2))
    gait = gait_today(rng, person.gait, pace, preset.gait_drift)
    phase: Array = rng.random() + np.arange(n, dtype=np.float64) * (gait.cadence_hz / FRAMES_PER_S)
    speed = speed_m_s(person.body, gait)
    moved = (np.arange(n) - (n - 1) / 2) / FRAMES_PER_S * speed
    x = moved * np.sin(np.deg2rad(view))
    room = 1.2 + float(np.abs(x).max())
    start = rng.uniform(room, WIDTH_M - room)
    y = moved * np.cos(np.deg2rad(view)) * (np.sin(np.deg2rad(camera.pitch_deg)) + 0.04) + near(rng, 0, 0.05)
    boxes = stream(seed, "box", *track.place)
    fill, shift_x, shift_y, truncated = _box(boxes, n, preset)
    nuisance = stream(seed, "nuisance", *track.place)
    covered = nuisance.random() < preset.occluded
    kind = OCCLUDERS[int(nuisance.integers(1, len(OCCLUDERS)))]
    return Walk(
        view_deg=float(view), place=track.camid, phase=phase, gait=gait, speed_m_s=speed, x_m=start + x, y_m=FOOT_M + y,
        fill=fill, shift_x=shift_x, shift_y=shift_y, truncated=truncated, occluder=kind if covered else "none",
        occluder_offset_m=between(nuisance, -0.45, 0.45), occluder_size=between(nuisance, 0.8, 1.2),
        stops=near(nuisance, 0, preset.exposure), warmth=near(nuisance, 0, 0.03),
        lamp_stops=near(nuisance, 0, preset.exposure),
    )  # fmt: skip


def _box(rng: np.random.Generator, n: int, preset: Preset) -> tuple[Array, Array, Array, bool]:
    """A tracker's box, whose size and position drift; some boxes cut off the feet or the head."""
    truncated = bool(rng.random() < preset.truncated)
    zoom = between(rng, 1.12, 1.35) if truncated else 1.0
    fill = (near(rng, 0.90, 0.6 * preset.jitter) + 0.4 * preset.jitter * drift(rng, n)) * zoom
    offset = between(rng, 0.0, 0.9) * (zoom - 1) * (1 if rng.random() < 0.6 else -1) if truncated else 0.0
    shift_x = 0.5 * preset.jitter * (near(rng, 0, 0.7) + 0.7 * drift(rng, n))
    shift_y = preset.jitter * (near(rng, 0, 0.8) + 0.6 * drift(rng, n)) + offset
    return np.clip(fill, 0.75, 1.4), shift_x, shift_y, truncated
