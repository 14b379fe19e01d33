"""What can be known in principle: rank-1 from true joint angles, true materials and true outlines, before any network.

If angles in order did not beat shuffled ones, and these a single frame, a motion model would have nothing to learn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from benchmarks.duskwalk.matching import Floats, Match, learn_discriminant, match

from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.film import crop, draw
from duskmatch.synthetic.gait import joint_angles, pose
from duskmatch.synthetic.people import make_person
from duskmatch.synthetic.presets import Preset
from duskmatch.synthetic.streams import stream
from duskmatch.synthetic.walks import Track, make_walk, plan_pool

N_FRAMES = 6


def test_frames(n: int) -> list[int]:
    """First frame of each of six equal segments, the last frame padded on. Source: docs/datasets.md, "Segments"."""
    length = -(-n // N_FRAMES)
    return [min(i * length, n - 1) for i in range(N_FRAMES)]


def true_angles(seed: int, track: Track, preset: Preset, twins: str | None = None) -> Floats:
    """(6, joints) angles at the six test frames."""
    person = make_person(seed, track.pool, track.person, twins)
    walk = make_walk(seed, track, person, preset)
    angles = joint_angles(walk.gait, walk.phase[test_frames(track.n_frames)])
    return np.stack(list(angles.values()), axis=1)


def ordered(angles: Floats) -> Floats:
    """What six frames in order tell: their statistics, and the wave that runs through them."""
    return np.concatenate([_statistics(angles), _wave(angles)])


def single(angles: Floats) -> Floats:
    """What the first frame alone tells."""
    first: Floats = angles[0]
    return first


def _statistics(angles: Floats) -> Floats:
    """Mean, spread and how joints go together: the same in any order."""
    away = angles - angles.mean(0)
    spread = away.std(0)
    together = (away.T @ away) / len(away) / (spread[:, None] * spread[None] + 1e-4)
    return np.concatenate([angles.mean(0), spread, together[np.triu_indices(len(spread), 1)]])


def _wave(angles: Floats) -> Floats:
    """Frequency, and each joint's mean, swing and lag behind the left hip, of the sine that fits best."""
    steps = np.arange(len(angles))
    best: tuple[float, Floats, float] | None = None
    for frequency in np.arange(0.22, 0.42, 0.01):
        turn = 2 * np.pi * frequency * steps
        basis = np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn)], 1)
        weights, *_ = np.linalg.lstsq(basis, angles, rcond=None)
        error = float(((basis @ weights - angles) ** 2).sum())
        if best is None or error < best[0]:
            best = error, weights, float(frequency)
    assert best is not None
    _, (mean, cosine, sine), frequency = best
    wave = cosine - 1j * sine
    lagged = wave * np.exp(-1j * np.angle(wave[0]))
    return np.concatenate([[frequency], mean, lagged.real, lagged.imag])


def angle_oracles(seed: int, preset: Preset) -> dict[str, Match]:
    """Rank-1 on test people from angles in order, shuffled, from one frame; metrics learned on training people."""
    sets = {pool: list(plan_pool(preset, seed, pool)) for pool in ("train", "test")}
    angles = {pool: [true_angles(seed, track, preset) for track in tracks] for pool, tracks in sets.items()}
    mixed = {pool: [_shuffled(seed, *pair) for pair in zip(sets[pool], angles[pool], strict=True)] for pool in sets}
    return {
        "angles, six frames in order": _learned(sets, angles, ordered),
        "angles, six frames shuffled": _learned(sets, mixed, ordered),
        "angles, one frame": _learned(sets, angles, single),
    }


def _shuffled(seed: int, track: Track, angles: Floats) -> Floats:
    return stream(seed, "oracle shuffle", *track.place).permutation(angles, axis=0)


def _learned(
    sets: dict[str, list[Track]], items: dict[str, list[Floats]], describe: Callable[[Floats], Floats]
) -> Match:
    train = np.stack([describe(item) for item in items["train"]])
    mean, axes = learn_discriminant(train, [track.pid for track in sets["train"]])
    return match(sets["test"], (np.stack([describe(item) for item in items["test"]]) - mean) @ axes)


def material_oracle(seed: int, preset: Preset, twins: str | None = None) -> Match:
    """Rank-1 from the kinds of fabric and pattern of upper and lower garment, nothing else."""
    tracks = list(plan_pool(preset, seed, "test"))
    kinds: dict[tuple[str, ...], int] = {}
    codes = []
    for track in tracks:
        look = make_person(seed, track.pool, track.person, twins).look
        kind = (look.upper.fabric, look.upper.pattern, look.lower.fabric, look.lower.pattern)
        codes.append(kinds.setdefault(kind, len(kinds)))
    return match(tracks, np.eye(len(kinds))[codes])


def outline_oracle(seed: int, preset: Preset) -> Match:
    """Rank-1 from true outlines at the six test frames: their mean and change, metric learned on training people."""
    sets = {pool: list(plan_pool(preset, seed, pool)) for pool in ("train", "test")}
    masks = {pool: [outlines(seed, track, preset) for track in tracks] for pool, tracks in sets.items()}
    return _learned(sets, masks, lambda mask: np.concatenate([mask.mean(0).ravel(), mask.std(0).ravel()]))


def outlines(seed: int, track: Track, preset: Preset) -> Floats:
    """(6, 24, 12) coverage of the figure at the six test frames."""
    person = make_person(seed, track.pool, track.person)
    walk = make_walk(seed, track, person, preset).only(test_frames(track.n_frames))
    view = crop(walk, person, preset, torch.device("cpu"))
    skeleton = pose(person.body, walk.gait, walk.phase)
    cover = draw(person, skeleton, walk.view_deg, make_camera(seed, track.camid), view, preset, infrared=True).cover
    return torch.nn.functional.adaptive_avg_pool2d(cover, (24, 12))[:, 0].double().numpy()


def all_oracles(seed: int, preset: Preset) -> dict[str, Match]:
    """Every oracle on one data set's plan."""
    return {
        **angle_oracles(seed, preset),
        "kinds of fabric and pattern": material_oracle(seed, preset),
        "outlines, six frames": outline_oracle(seed, preset),
    }
