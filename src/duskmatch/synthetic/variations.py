"""Counterfactuals: the same person on the same walk, with one factor changed by some steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from duskmatch.synthetic.canvas import WIDTH_M
from duskmatch.synthetic.walks import Walk

Factor = Literal["view", "pose", "background", "occluder", "exposure", "modality"]
FACTORS: tuple[Factor, ...] = get_args(Factor)
MOST_SEVERE = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One factor changed by `severity` steps; severity 0 changes nothing."""

    factor: str | None = None
    severity: int = 0

    @property
    def stops(self) -> float:
        """Exposure or lamp gain; every second step darkens."""
        return [0.0, 0.5, -0.8, 1.2, -1.8][self.severity] if self.factor == "exposure" else 0.0

    @property
    def tint(self) -> float:
        return [0.0, 0.05, -0.10, 0.16, -0.22][self.severity] if self.factor == "exposure" else 0.0

    @property
    def other_light(self) -> float:
        """The share of the other modality's light in the picture; 1 at severity 4."""
        return self.severity / MOST_SEVERE if self.factor == "modality" else 0.0

    def walk(self, walk: Walk) -> Walk:
        """The walk with the factor changed."""
        if not self.severity:
            return walk
        return {"view": _view, "pose": _pose, "background": _background, "occluder": _occluder}.get(
            str(self.factor), lambda same, _: same
        )(walk, self.severity)


NO_CHANGE = Change()


def _view(walk: Walk, severity: int) -> Walk:
    """The camera moves around the walker by 20 degrees per step."""
    return replace(walk, view_deg=(walk.view_deg + 20.0 * severity) % 360)


def _pose(walk: Walk, severity: int) -> Walk:
    """The same gait in another posture: bent forward, arms bent and swinging less."""
    gait = walk.gait
    return replace(
        walk,
        gait=replace(
            gait,
            lean=gait.lean + 4.0 * severity,
            head_pitch=gait.head_pitch + 5.0 * severity,
            elbow=gait.elbow + 16.0 * severity,
            arm_swing=gait.arm_swing * (1 - 0.18 * severity),
            arm_out=gait.arm_out + 3.0 * severity,
        ),
    )


def _background(walk: Walk, severity: int) -> Walk:
    """Another stretch of the same street, then other streets."""
    spread = walk.x_m - walk.x_m.mean()
    room = 1.2 + float(np.abs(spread).max())
    middle = room + (walk.x_m.mean() - room + 0.37 * WIDTH_M) % max(0.1, WIDTH_M - 2 * room)
    return replace(walk, x_m=middle + spread, place=walk.place + (0, 0, 1000, 2000, 3000)[severity])


def _occluder(walk: Walk, severity: int) -> Walk:
    """A post, then wider and nearer the middle: a bush, a car, a car that hides the legs."""
    kind, size = (("post", 0.8), ("post", 1.8), ("bush", 1.0), ("car", 1.3))[severity - 1]
    return replace(walk, occluder=kind, occluder_size=size, occluder_offset_m=0.02)
