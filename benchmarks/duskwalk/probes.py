"""Short cuts that must not work: whatever is not the person should leave rank-1 at chance.

`python -m benchmarks.duskwalk.probes` prints oracles and probes as a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.duskwalk.matching import Floats, Match, match, pooled, standardised
from benchmarks.duskwalk.oracles import all_oracles, test_frames

from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.film import shoot
from duskmatch.synthetic.generate import encode
from duskmatch.synthetic.layout import first_frames
from duskmatch.synthetic.presets import PRESETS, Preset
from duskmatch.synthetic.walks import Track, plan_pool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a cheater could know of one track without looking at the person."""

    empty: Floats  # the place re-rendered without the person, small and grey
    colour: Floats  # mean of each channel over the pictures as they are
    n_bytes: float
    n_frames: int
    first_frame: int
    camid: int
    shape: tuple[int, int]


def gather(seed: int, track: Track, preset: Preset, first_frame: int) -> Evidence:
    """The evidence of one track, from its six test frames."""
    at = test_frames(track.n_frames)
    frames = shoot(seed, track, preset, at=at).frames
    empty = shoot(seed, track, preset, at=at, with_person=False).frames
    camera = make_camera(seed, track.camid)
    quality = camera.quality_night if track.modality == "infrared" else camera.quality_day
    colour = frames.reshape(-1, frames.shape[-1]).mean(0)
    return Evidence(
        empty=_small_grey(empty),
        colour=np.broadcast_to(colour, 3) if len(colour) == 1 else colour,
        n_bytes=float(np.mean([len(encode(frame, quality)) for frame in frames])),
        n_frames=track.n_frames,
        first_frame=first_frame,
        camid=track.camid,
        shape=preset.size,
    )


def _small_grey(frames: np.ndarray) -> Floats:
    """(16 x 8) grey picture, averaged over frames, mean 0 and spread 1; and its edges."""
    grey = torch.from_numpy(frames.astype(np.float32).mean(-1))[:, None]
    small = F.adaptive_avg_pool2d(grey, (16, 8)).mean(0)[0].double().numpy()
    small = (small - small.mean()) / (small.std() + 1e-6)
    edges = np.abs(np.diff(small, axis=0)).ravel(), np.abs(np.diff(small, axis=1)).ravel()
    return np.concatenate([small.ravel(), *edges])


PROBES: dict[str, Callable[[Sequence[Track], Sequence[Evidence]], Floats]] = {
    "the place without the person": lambda tracks, seen: standardised(tracks, [one.empty for one in seen]),
    "mean colour": lambda tracks, seen: standardised(tracks, [one.colour for one in seen]),
    "mean brightness": lambda tracks, seen: standardised(tracks, [one.colour.mean() for one in seen]),
    "camera": lambda tracks, seen: np.eye(1 + max(one.camid for one in seen))[[one.camid for one in seen]],
    "track length": lambda tracks, seen: np.array([[float(one.n_frames)] for one in seen]),
    "box size and shape": lambda tracks, seen: np.array([one.shape for one in seen], dtype=np.float64),
    "file size": lambda tracks, seen: standardised(tracks, [one.n_bytes for one in seen]),
    "frame numbers": lambda tracks, seen: np.array(
        [[one.first_frame, one.first_frame + one.n_frames] for one in seen], float
    ),
}


def run_probes(seeds: Sequence[int], preset: Preset) -> dict[str, Match]:
    """Each short cut's rank-1 on the test people of several data sets, pooled."""
    found: dict[str, list[Match]] = {name: [] for name in PROBES}
    for seed in seeds:
        tracks = list(plan_pool(preset, seed, "test"))
        numbers = first_frames(tracks)
        seen = [gather(seed, track, preset, number) for track, number in zip(tracks, numbers, strict=True)]
        for name, describe in PROBES.items():
            found[name].append(match(tracks, describe(tracks, seen)))
    return {name: pooled(matches) for name, matches in found.items()}


def main() -> None:
    """Prints the table of oracles and probes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--preset", choices=list(PRESETS), default="demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    parser.add_argument("--people", type=int, default=None, help="test people per data set (default: the preset's)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    preset = PRESETS[args.preset]
    if args.people:
        preset = replace(preset, people=(*preset.people[:2], args.people))
    oracles = [all_oracles(seed, preset) for seed in args.seeds]
    rows = [(name, pooled([one[name] for one in oracles]), "") for name in oracles[0]]
    rows += [(name, one, f"{one.limit:.3f}") for name, one in run_probes(args.seeds, preset).items()]
    print(f"{'':32}{'rank-1':>8}{'limit':>8}{'chance':>8}{'queries':>9}")
    for name, one, limit in rows:
        print(f"{name:32}{one.rank1:8.3f}{limit:>8}{one.chance:8.3f}{one.n_queries:9d}")


if __name__ == "__main__":
    main()
