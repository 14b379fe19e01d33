"""Joint angles from a gait and a phase, and joints in space from joint angles.

Body coordinates: x to the walker's left, y up, z forward; metres; the ground is y = 0.
At phase 0 the left heel strikes the ground. Arrays are (t,) angles in radians and (t, 3) points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.synthetic.people import Body, Gait

Array = npt.NDArray[np.float64]
LEFT_AND_RIGHT = (("left", 1.0), ("right", -1.0))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints by name, and the forward direction of pelvis, chest and head."""

    joints: dict[str, Array]
    pelvis_front: Array
    chest_front: Array
    head_front: Array


def joint_angles(gait: Gait, phase: Array) -> dict[str, Array]:
    """Angles by joint, in radians, for phases in cycles."""
    angles: dict[str, Array] = {}
    for side, sign in LEFT_AND_RIGHT:
        own = phase + (0.0 if sign > 0 else 0.5) + sign * gait.phase_asymmetry
        swing = np.cos(2 * np.pi * own) - 0.12 * np.cos(4 * np.pi * own)
        reach = gait.hip_swing * (1 + sign * gait.hip_asymmetry)
        angles[f"hip_{side}"] = gait.hip_offset + reach * swing
        lift = gait.knee_swing * (1 + sign * gait.knee_asymmetry)
        angles[f"knee_{side}"] = 6 + gait.knee_stance * _bump(own, 0.14, 0.085) + lift * _bump(own, 0.72, 0.115)
        angles[f"foot_{side}"] = 17 * _bump(own, 0.99, 0.06) - 48 * _bump(own, 0.645, 0.085)
        back = np.cos(2 * np.pi * (own + gait.arm_lag))
        arm = gait.arm_swing * max(0.1, 1 + sign * gait.arm_asymmetry)
        angles[f"arm_{side}"] = gait.arm_offset - arm * back
        angles[f"elbow_{side}"] = gait.elbow + gait.elbow_swing * 0.5 * (1 - back)
    turn = np.cos(2 * np.pi * phase)
    angles["pelvis"] = -gait.pelvis_turn * turn
    angles["shoulders"] = gait.shoulder_turn * np.cos(2 * np.pi * (phase + gait.arm_lag))
    angles["lean"] = gait.lean + 1.2 * np.cos(4 * np.pi * phase + 0.6)
    angles["sway"] = gait.sway * np.sin(2 * np.pi * phase + 0.4)
    return {name: np.deg2rad(np.asarray(value, dtype=np.float64)) for name, value in angles.items()}


def speed_m_s(body: Body, gait: Gait) -> float:
    """Walking speed that keeps the standing foot in place: two steps a cycle."""
    leg = body.leg * body.stature_m
    return float(4 * leg * np.sin(np.deg2rad(gait.hip_swing)) * 0.92 * gait.cadence_hz)


def pose(body: Body, gait: Gait, phase: Array) -> Skeleton:
    """The skeleton for each phase, standing on the ground with its lower foot."""
    angles = joint_angles(gait, phase)
    h = body.stature_m
    joints: dict[str, Array] = {}
    pelvis = np.zeros((len(phase), 3))
    pelvis[:, 0] = 0.6 * h * np.sin(angles["sway"]) * 0.35
    across = _turned(angles["pelvis"])
    for side, sign in LEFT_AND_RIGHT:
        _leg(joints, body, gait, angles, side, sign, pelvis, across)
    rise = -np.minimum.reduce(
        [joints[f"{point}_{side}"][:, 1] for side, _ in LEFT_AND_RIGHT for point in ("heel", "toe")]
    )
    rise = rise + gait.bounce_m * np.cos(4 * np.pi * phase)
    lean, sway = angles["lean"], angles["sway"]
    spine = np.stack([np.sin(sway), np.cos(lean), np.sin(lean)], 1)
    chest_across = _turned(angles["shoulders"])
    joints["pelvis"] = pelvis
    joints["chest"] = pelvis + spine * (0.285 * h)
    for side, sign in LEFT_AND_RIGHT:
        _arm(joints, body, gait, angles, side, sign, chest_across)
    head_lean = lean * 0.4 + np.deg2rad(gait.head_pitch)
    up = np.stack([np.sin(sway) * 0.3, np.cos(head_lean), np.sin(head_lean)], 1)
    joints["neck"] = joints["chest"] + up * (0.012 * h)
    joints["head"] = joints["neck"] + up * ((body.neck + body.head * 1.02) * h)
    joints["crown"] = joints["head"] + up * (body.head * h)
    for name in joints:
        joints[name] = joints[name] + np.stack([0 * rise, rise, 0 * rise], 1)
    pitch = np.deg2rad(gait.head_pitch)
    return Skeleton(
        joints,
        pelvis_front=_front(across),
        chest_front=_front(chest_across),
        head_front=np.tile([0.0, -np.sin(pitch), np.cos(pitch)], (len(phase), 1)),
    )


def _leg(
    joints: dict[str, Array], body: Body, gait: Gait, angles: dict[str, Array], side: str, sign: float,
    pelvis: Array, across: Array,
) -> None:  # fmt: skip
    h = body.stature_m
    foot = 0.042 * h
    thigh, shank = (body.leg * h - foot) * body.thigh_share, (body.leg * h - foot) * (1 - body.thigh_share)
    inward = np.arctan2(gait.step_width_m / 2 - body.hip * h, thigh + shank) * sign
    hip = pelvis + across * (sign * body.hip * h)
    bend = angles[f"hip_{side}"]
    knee = hip + thigh * _limb(bend, inward)
    ankle = knee + shank * _limb(bend - angles[f"knee_{side}"], inward)
    tilt, out = angles[f"foot_{side}"], np.deg2rad(gait.toe_out) * sign
    ahead = np.stack([np.sin(out) * np.cos(tilt), np.sin(tilt), np.cos(out) * np.cos(tilt)], 1)
    down = np.stack([-np.sin(out) * np.sin(tilt) * 0, -np.cos(tilt), np.sin(tilt)], 1)
    joints[f"hip_{side}"], joints[f"knee_{side}"], joints[f"ankle_{side}"] = hip, knee, ankle
    joints[f"heel_{side}"] = ankle + down * foot - ahead * (0.026 * h)
    joints[f"toe_{side}"] = ankle + down * foot + ahead * (0.105 * h)


def _arm(
    joints: dict[str, Array], body: Body, gait: Gait, angles: dict[str, Array], side: str, sign: float, across: Array
) -> None:
    h = body.stature_m
    shoulder = joints["chest"] + across * (sign * body.shoulder * h) - np.array([0, 0.012 * h, 0])
    out = np.deg2rad(gait.arm_out) * sign
    swing = angles[f"arm_{side}"] + 0.5 * angles["lean"]
    elbow = shoulder + 0.52 * body.arm * h * _limb(swing, out)
    wrist = elbow + 0.48 * body.arm * h * _limb(swing + angles[f"elbow_{side}"], 0.2 * out)
    joints[f"shoulder_{side}"], joints[f"elbow_{side}"], joints[f"wrist_{side}"] = shoulder, elbow, wrist
    reach = wrist - elbow
    joints[f"hand_{side}"] = wrist + 0.075 * h * reach / np.linalg.norm(reach, axis=1, keepdims=True)


def _limb(forward: Array, outward: Array | float) -> Array:
    """The direction of a hanging limb, swung forward and spread outward."""
    outward = np.asarray(outward) + 0 * forward
    return np.stack([np.sin(outward), -np.cos(forward) * np.cos(outward), np.sin(forward) * np.cos(outward)], 1)


def _turned(angle: Array) -> Array:
    """The leftward direction after turning about the vertical."""
    return np.stack([np.cos(angle), 0 * angle, -np.sin(angle)], 1)


def _front(across: Array) -> Array:
    return np.stack([-across[:, 2], 0 * across[:, 0], across[:, 0]], 1)


def _bump(phase: Array, centre: float, width: float) -> Array:
    """A Gaussian of height 1, periodic in the cycle."""
    away = (phase - centre + 0.5) % 1.0 - 0.5
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))
