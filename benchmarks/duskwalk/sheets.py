"""Contact sheets: pictures of Duskwalk for people to judge.

`python -m benchmarks.duskwalk.sheets DIR` writes the ones in the documentation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from duskmatch import files
from duskmatch.synthetic.film import shoot
from duskmatch.synthetic.presets import PRESETS, Preset
from duskmatch.synthetic.variations import FACTORS, MOST_SEVERE, Change
from duskmatch.synthetic.walks import Track, plan_pool

Picture = npt.NDArray[np.uint8]
GAP = 4
AT = (2, 8)


def people_sheet(seed: int, preset: Preset, people: Sequence[int]) -> Picture:
    """A row for each person: two walks by day, then two in infrared, two frames each."""
    rows = []
    for person in people:
        tracks = [track for track in plan_pool(preset, seed, "val") if track.person == person]
        day = [track for track in tracks if track.modality == "visible" and track.n_frames > max(AT)][:2]
        night = [track for track in tracks if track.modality == "infrared" and track.n_frames > max(AT)][:2]
        rows.append(_beside([_frame(seed, track, preset, at) for track in day + night for at in AT]))
    return _below(rows)


def walk_sheet(seed: int, preset: Preset, person: int, modality: str, n: int = 8) -> Picture:
    """One walk, every second frame."""
    track = next(t for t in plan_pool(preset, seed, "val") if t.person == person and t.modality == modality)
    return _beside([_frame(seed, track, preset, at) for at in range(0, 2 * n, 2)])


def counterfactual_sheet(seed: int, preset: Preset, person: int) -> Picture:
    """A row for each factor, severity growing to the right: the same frame of the same walk."""
    track = next(t for t in plan_pool(preset, seed, "test") if t.person == person and t.modality == "visible")
    rows = [
        _beside([_frame(seed, track, preset, 8, Change(factor, k)) for k in range(MOST_SEVERE + 1)])
        for factor in FACTORS
    ]
    half = len(rows) // 2
    return _beside([_below(rows[:half]), _below(rows[half:])], 4 * GAP)


def twin_sheet(seed: int, preset: Preset, group: int = 0) -> Picture:
    """A row for each kind of twins: four people at the same moment of comparable walks."""
    rows = []
    for kind in ("gait_twins", "look_twins", "part_twins"):
        first = {t.person: t for t in reversed(list(plan_pool(preset, seed, "test"))) if t.modality == "visible"}
        rows.append(_beside([_frame(seed, first[4 * group + i], preset, 8, twins=kind) for i in range(4)]))
    return _below(rows)


def _frame(
    seed: int, track: Track, preset: Preset, at: int, change: Change | None = None, twins: str | None = None
) -> Picture:
    film = shoot(seed, track, preset, at=[min(at, track.n_frames - 1)], change=change or Change(), twins=twins)
    return np.broadcast_to(film.frames[0], (*film.frames.shape[1:3], 3))


def _beside(pictures: Sequence[Picture], gap: int = GAP) -> Picture:
    return _joined(pictures, 1, gap)


def _below(pictures: Sequence[Picture]) -> Picture:
    return _joined(pictures, 0, GAP)


def _joined(pictures: Sequence[Picture], axis: int, gap: int) -> Picture:
    """Pictures in a line with white gaps between them."""
    shape = list(pictures[0].shape)
    shape[axis] = gap
    white = np.full(shape, 255, np.uint8)
    pieces = [piece for picture in pictures for piece in (white, picture)][1:]
    return np.concatenate(pieces, axis=axis)


def write_picture(path: Path, picture: Picture, quality: int = 88) -> None:
    """A JPEG of an RGB picture."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    files.write_bytes(path, data.tobytes())


def main() -> None:
    """Writes the contact sheets of the documentation."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tall = PRESETS["full"]
    clear = replace(tall, occluded=0.0, truncated=0.0, noise=0.7, blur=0.8)
    write_picture(args.folder / "duskwalk_people.jpg", people_sheet(args.seed, clear, range(6)), 82)
    walks = [walk_sheet(args.seed, clear, 1, modality) for modality in ("visible", "infrared")]
    write_picture(args.folder / "duskwalk_walk.jpg", _below(walks))
    write_picture(
        args.folder / "duskwalk_counterfactuals.jpg", counterfactual_sheet(args.seed, replace(clear, size=(192, 96)), 2)
    )
    write_picture(args.folder / "duskwalk_twins.jpg", twin_sheet(args.seed, replace(clear, size=(192, 96))))
    write_picture(args.folder / "duskwalk_demo.jpg", people_sheet(args.seed, PRESETS["demo"], range(8)), 92)


if __name__ == "__main__":
    main()
