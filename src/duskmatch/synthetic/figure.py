"""The solid parts of a person for a skeleton: tapered, rounded and partly flattened limbs.

A part is the hull of two balls, squeezed along its front axis by `flat`; `hem` cuts its far end off straight, like the
end of cloth. All numbers are metres in body coordinates; see `gait`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from duskmatch.synthetic.gait import LEFT_AND_RIGHT, Array, Skeleton
from duskmatch.synthetic.people import Person

SLOTS = ("skin", "hair", "upper", "lower", "shoes", "bag_material", "hat_material", "inner")
MARKS = ("none", "face", "chest", "sole")


@dataclass(frozen=True, slots=True)
class Part:
    """One solid: a ball of radius `ra` at `a`, one of `rb` at `b`; beyond `cut` (0 to 1) its material is `end_slot`."""

    a: Array
    b: Array
    ra: float | Array
    rb: float | Array
    front: Array
    slot: int
    end_slot: int
    cut: float = 2.0
    flat: float | Array = 1.0
    hem: bool = False
    shade: tuple[float, float] = (1.0, 1.0)
    along_m: float = 0.0
    mark: int = 0

    @property
    def girth_m(self) -> float:
        """The radius that converts angles to lengths of cloth, one per part, so that the number of stripes is fixed."""
        return 0.5 * float(np.mean(self.ra) + np.mean(self.rb))


@dataclass
class Figure:
    """The parts of a person, as they are added."""

    person: Person
    skeleton: Skeleton
    parts: list[Part] = field(default_factory=list)

    def add(
        self, a: Array, b: Array, ra: float | Array, rb: float | Array, slot: str, *, front: Array | None = None,
        end: str | None = None, mark: str = "none", **rest: object,
    ) -> None:  # fmt: skip
        facing = self.skeleton.pelvis_front if front is None else front
        first = SLOTS.index(slot)
        last = first if end is None else SLOTS.index(end)
        self.parts.append(Part(a, b, ra, rb, facing, first, last, mark=MARKS.index(mark), **rest))  # type: ignore[arg-type]


def build(person: Person, skeleton: Skeleton) -> list[Part]:
    """All parts of a person, for every frame of a walk."""
    figure = Figure(person, skeleton)
    for side, sign in LEFT_AND_RIGHT:
        _leg(figure, side)
        _arm(figure, side, sign)
    _trunk(figure)
    _skirt(figure)
    _head(figure)
    _hat(figure)
    _bag(figure)
    return figure.parts


def _leg(figure: Figure, side: str) -> None:
    person, joints = figure.person, figure.skeleton.joints
    look, h = person.look, person.body.stature_m
    thick = person.body.girth * person.body.limb * h
    bare = look.bottom == "skirt"
    wide = 0.0 if bare else look.loose * (0.008 if look.bottom == "trousers" else 0.012) * h
    hip, knee, ankle = joints[f"hip_{side}"], joints[f"knee_{side}"], joints[f"ankle_{side}"]
    thigh_end = {"trousers": 2.0, "shorts": look.hem, "skirt": -1.0}[look.bottom]
    covered = look.bottom == "trousers"
    figure.add(hip, knee, 0.052 * thick, 0.034 * thick + wide, "lower", end="skin", cut=thigh_end, shade=(0.8, 1.0))
    if look.bottom == "shorts":  # the leg of the shorts is wider than the thigh
        hem = hip + (knee - hip) * min(look.hem, 0.98)
        figure.add(
            hip + 0.3 * (hem - hip),
            hem,
            0.050 * thick,
            0.047 * thick + 1.3 * wide,
            "lower",
            hem=True,
            shade=(0.75, 1.0),
        )
    along = float(np.linalg.norm(knee[0] - hip[0]))
    figure.add(
        knee, ankle, 0.034 * thick + wide, (0.022 + 0.012 * look.loose) * thick if covered else 0.021 * thick,
        "lower" if covered else "skin", hem=covered, along_m=along, shade=(0.97, 0.94),
    )  # fmt: skip
    if not covered:  # a calf, behind the shin
        back = -0.010 * h * figure.skeleton.pelvis_front
        figure.add(knee + 0.22 * (ankle - knee) + back, knee + 0.5 * (ankle - knee) + back, 0.029 * thick,
                   0.025 * thick, "skin", shade=(0.96, 0.96))  # fmt: skip
    heel, toe = joints[f"heel_{side}"], joints[f"toe_{side}"]
    sole = toe - heel
    lift = np.array([0.0, 0.016 * h, 0.0])
    up = np.cross(sole, _across(figure, side))
    up = up / np.linalg.norm(up, axis=1, keepdims=True) * np.sign(up[:, 1:2])
    figure.add(heel + lift * 0.9 + 0.11 * sole, toe + lift * 0.7 - 0.1 * sole, 0.020 * h, 0.0155 * h, "shoes",
               front=up, flat=0.85, mark="sole", shade=(0.9, 1.0))  # fmt: skip
    figure.add(ankle - lift * 0.2, heel + lift + 0.45 * sole, 0.023 * h, 0.017 * h, "shoes")


def _arm(figure: Figure, side: str, sign: float) -> None:
    person, joints = figure.person, figure.skeleton.joints
    look, h = person.look, person.body.stature_m
    thick = person.body.girth * person.body.limb * h
    heavy = {"shirt": 0.0, "sweater": 0.0035, "jacket": 0.008, "coat": 0.009}[look.top] * h + 0.004 * look.loose * h
    shoulder, elbow, wrist = joints[f"shoulder_{side}"], joints[f"elbow_{side}"], joints[f"wrist_{side}"]
    hand = joints[f"hand_{side}"]
    long = look.sleeve > 0.6
    front = figure.skeleton.chest_front
    if not long:
        hem = shoulder + (elbow - shoulder) * min(0.95, 2 * look.sleeve)
        figure.add(
            shoulder, hem, 0.034 * thick, 0.031 * thick + 0.5 * heavy + 0.003 * h, "upper", front=front, hem=True
        )
    figure.add(
        shoulder, elbow, 0.0295 * thick + heavy, 0.0245 * thick + heavy, "upper", end="skin",
        cut=2.0 if long else min(0.93, 2 * look.sleeve - 0.02), front=front, shade=(0.95, 1.0),
    )  # fmt: skip
    figure.add(
        elbow, wrist, 0.0255 * thick + heavy, (0.016 * thick + 0.8 * heavy), "upper" if long else "skin",
        front=front, hem=long, along_m=0.17 * h,
    )  # fmt: skip
    palm = wrist + (hand - wrist) * 0.35
    figure.add(wrist, palm, 0.0145 * thick, 0.020 * h, "skin", front=_across(figure, side), flat=0.6)
    figure.add(palm, wrist + (hand - wrist) * 0.95, 0.019 * h, 0.010 * h, "skin", front=_across(figure, side), flat=0.6)


def _trunk(figure: Figure) -> None:
    body, look, joints = figure.person.body, figure.person.look, figure.skeleton.joints
    h, front = body.stature_m, figure.skeleton.chest_front
    pelvis, chest, neck = joints["pelvis"], joints["chest"], joints["neck"]
    spine, left = chest - pelvis, _side(front)
    heavy = {"shirt": 0.0, "sweater": 0.004, "jacket": 0.008, "coat": 0.009}[look.top] * h + 0.004 * look.loose * h
    hips = _hips(figure)
    seat = _across(figure, "left") * (body.hip * 0.62 * h)
    figure.add(pelvis + seat - 0.04 * spine, pelvis - seat - 0.04 * spine, hips, hips, "lower", flat=1.06)
    figure.add(pelvis + 0.24 * spine, pelvis - 0.02 * spine, 1.3 * hips, 0.86 * _hip_half(figure), "lower", flat=0.66)
    waist = max((0.060 + 0.014 * body.belly) * body.girth * h + heavy, 0.86 * _hip_half(figure) + 0.6 * heavy)
    swell = front * (0.004 + 0.018 * body.belly) * h
    tucked = look.bottom == "skirt" and look.top in ("shirt", "sweater")
    bottom = pelvis + (0.10 if tucked else -0.03 if look.top == "shirt" else -0.11) * spine
    hem = waist if tucked else max(1.06 * waist, _hip_half(figure) + 0.3 * heavy + 0.004 * h)
    figure.add(chest - 0.17 * spine, bottom + swell, 0.90 * body.shoulder * h + 0.5 * heavy, hem, "upper",
               front=front, flat=0.64 + 0.12 * body.belly, hem=True, mark="chest", shade=(1.0, 0.93))  # fmt: skip
    for side, sign in LEFT_AND_RIGHT:  # the slope from neck to shoulder
        shoulder = joints[f"shoulder_{side}"] - sign * 0.006 * h * left
        figure.add(neck - 0.01 * spine, shoulder, 0.027 * h + 0.3 * heavy, 0.0275 * h + 0.9 * heavy, "upper",
                   front=front, flat=1.1, shade=(0.97, 1.0))  # fmt: skip
    figure.add(neck - 0.06 * spine, joints["head"], 0.033 * h * body.limb, 0.030 * h * body.limb, "skin", front=front,
               shade=(0.8, 0.75))  # fmt: skip
    if look.scarf:
        figure.add(neck + 0.03 * spine, neck + 0.03 * spine + 0.02 * front, 0.046 * h, 0.042 * h, "hat_material",
                   front=np.tile([0.0, 1.0, 0.0], (len(neck), 1)), flat=0.75)  # fmt: skip
        figure.add(neck + 0.02 * front, chest - 0.30 * spine + (0.075 * h + heavy) * front + 0.02 * left, 0.022 * h,
                   0.020 * h, "hat_material", front=front, flat=0.5)  # fmt: skip
    elif look.collar:
        figure.add(neck - 0.02 * spine, neck + 0.055 * spine, 0.042 * h, 0.037 * h, "upper", front=front, hem=True)


def _hips(figure: Figure) -> float:
    body = figure.person.body
    return (0.047 + 0.12 * (body.hip - 0.053)) * body.stature_m * (0.55 + 0.45 * body.girth)


def _hip_half(figure: Figure) -> float:
    """Half the width across both thighs."""
    body = figure.person.body
    return (body.hip + 0.046 * body.girth * body.limb) * body.stature_m


def _skirt(figure: Figure) -> None:
    """Skirt or coat below the waist: a bell as wide as the hips, and deep enough for both legs in each frame."""
    body, look, joints = figure.person.body, figure.person.look, figure.skeleton.joints
    h, pelvis, front = body.stature_m, joints["pelvis"], figure.skeleton.pelvis_front
    hips = _hip_half(figure) + 0.010 * h
    for slot, length, extra in (
        ("lower", look.hem if look.bottom == "skirt" else 0.0, 0.0),
        ("upper", look.coat, 0.018),
    ):
        if length <= 0:
            continue
        points = [_along_leg(joints, side, at) for side, _ in LEFT_AND_RIGHT for at in {min(length, 1.0), length}]
        ahead = np.stack([((point - pelvis) * front).sum(1) for point in points])
        middle, half = 0.5 * (ahead.max(0) + ahead.min(0)), 0.5 * (ahead.max(0) - ahead.min(0))
        low = 0.5 * (_along_leg(joints, "left", length) + _along_leg(joints, "right", length))
        low = low + front * (middle - ((low - pelvis) * front).sum(1))[:, None]
        flare = (0.004 + 0.030 * look.loose) * h * min(length, 1.4) + extra * h
        wide = hips * (1.0 if length < 1.2 else 0.92) + flare
        flat = np.maximum((half + 0.048 * h + 0.6 * flare) / wide, 0.72)
        top = (hips + 0.7 * extra * h) * np.clip(0.8 / flat, 0.70, 0.95)  # a deep hem must not widen the waist
        figure.add(pelvis + np.array([0, 0.045 * h, 0]), low, top, wide, slot, flat=flat, hem=True,
                   along_m=0.29 * h if slot == "upper" else 0.0, shade=(1.0, 0.92))  # fmt: skip


def _head(figure: Figure) -> None:
    body, look, joints = figure.person.body, figure.person.look, figure.skeleton.joints
    front, r = figure.skeleton.head_front, body.head * body.stature_m
    head = joints["head"]
    up = (joints["crown"] - head) / np.linalg.norm(joints["crown"] - head, axis=1, keepdims=True)
    figure.add(head + 0.25 * r * up, head - 0.52 * r * up + 0.16 * r * front, 0.84 * r, 0.56 * r, "skin", front=front,
               flat=1.16, mark="face")  # fmt: skip
    figure.add(head - 0.02 * r * up + 0.86 * r * front, head - 0.22 * r * up + 1.02 * r * front, 0.10 * r, 0.15 * r,
               "skin", front=front)  # fmt: skip
    for sign in (1.0, -1.0):
        ear = head - 0.08 * r * up + sign * 0.80 * r * _side(front) - 0.05 * r * front
        figure.add(
            ear + 0.12 * r * up, ear - 0.12 * r * up, 0.17 * r, 0.13 * r, "skin", front=front, shade=(0.85, 0.85)
        )
    if look.hair_style == "bald":
        return
    back = head - 0.20 * r * front
    figure.add(back + 0.34 * r * up, back - 0.12 * r * up - 0.10 * r * front, 0.93 * r, 0.80 * r, "hair", front=front,
               flat=1.10)  # fmt: skip
    if look.hair_style in ("bob", "long"):
        fall = {"bob": 0.75, "long": 2.1}[look.hair_style] * r
        for sign in (1.0, -1.0):
            lock = back + sign * 0.42 * r * _side(front) - 0.10 * r * front
            figure.add(lock + 0.1 * r * up, lock - np.array([0, fall, 0]) - 0.25 * r * front, 0.62 * r, 0.50 * r,
                       "hair", front=front, shade=(1.0, 0.8))  # fmt: skip
    if look.hair_style == "tail":
        knot = back + 0.25 * r * up - 0.95 * r * front
        figure.add(knot, knot - np.array([0, 1.5 * r, 0]) - 0.35 * r * front, 0.30 * r, 0.16 * r, "hair", front=front)
    if look.hair_style == "bun":
        knot = back + 0.75 * r * up - 0.75 * r * front
        figure.add(knot, knot + 0.1 * r * up, 0.42 * r, 0.40 * r, "hair", front=front)


def _hat(figure: Figure) -> None:
    body, look, joints = figure.person.body, figure.person.look, figure.skeleton.joints
    front, r = figure.skeleton.head_front, body.head * body.stature_m
    head = joints["head"]
    up = (joints["crown"] - head) / np.linalg.norm(joints["crown"] - head, axis=1, keepdims=True)
    top = head + 0.42 * r * up - 0.03 * r * front
    if look.hat == "none":
        return
    high = {"cap": 0.18, "beanie": 0.34, "brim": 0.42}[look.hat] * r
    figure.add(
        top + high * up, top - 0.06 * r * up, 0.90 * r, 1.0 * r, "hat_material", front=front, flat=1.12, hem=True
    )
    if look.hat == "cap":
        peak = top + 0.12 * r * up
        figure.add(peak + 0.75 * r * front, peak + 1.45 * r * front - 0.12 * r * up, 0.62 * r, 0.55 * r, "hat_material",
                   front=up, flat=0.13, shade=(0.9, 0.9))  # fmt: skip
    if look.hat == "brim":
        figure.add(top, top + 0.02 * r * front, 1.75 * r, 1.75 * r, "hat_material", front=up, flat=0.07)


def _bag(figure: Figure) -> None:
    body, look, skeleton = figure.person.body, figure.person.look, figure.skeleton
    joints, h, front = skeleton.joints, body.stature_m, skeleton.chest_front
    spine = joints["chest"] - joints["pelvis"]
    deep = (0.6 * 0.8 * body.shoulder + 0.045) * h
    if look.bag == "backpack":
        middle = joints["pelvis"] + 0.62 * spine - front * deep
        for sign in (1.0, -1.0):
            side = sign * 0.040 * h * _side(front)
            figure.add(middle + side + 0.30 * spine, middle + side - 0.38 * spine, 0.048 * h, 0.056 * h, "bag_material",
                       front=front, flat=0.95)  # fmt: skip
        figure.add(middle - 0.22 * spine - front * 0.03 * h, middle - 0.30 * spine - front * 0.03 * h, 0.060 * h,
                   0.060 * h, "bag_material", front=front, flat=0.6, shade=(0.85, 0.85))  # fmt: skip
        for side_name, sign in LEFT_AND_RIGHT:
            over = joints[f"shoulder_{side_name}"] - sign * 0.030 * h * _side(front) + np.array([0, 0.030 * h, 0])
            breast = joints["chest"] - 0.14 * spine + sign * 0.056 * h * _side(front) + 0.074 * h * front
            under = joints["chest"] - 0.46 * spine + sign * 0.078 * h * _side(front) + 0.062 * h * front
            figure.add(over, breast, 0.013 * h, 0.014 * h, "bag_material", front=front)
            figure.add(breast, under, 0.014 * h, 0.012 * h, "bag_material", front=front)
    if look.bag == "shoulder":
        hang = joints["pelvis"] + 0.08 * spine - (body.hip + 0.058 * body.girth) * h * _side(front) - 0.03 * h * front
        out = _side(front)
        figure.add(hang + 0.055 * h * front, hang - 0.055 * h * front, 0.062 * h, 0.062 * h, "bag_material",
                   front=out, flat=0.45, shade=(0.95, 0.95))  # fmt: skip
        collar = joints["shoulder_left"] - 0.03 * h * _side(front) + np.array([0, 0.03 * h, 0])
        for way in (1.0, -1.0):
            bend = 0.5 * (collar + hang) + way * 0.080 * h * front
            figure.add(collar, bend, 0.011 * h, 0.011 * h, "bag_material", front=front)
            figure.add(bend, hang + 0.05 * h * spine / 0.49, 0.011 * h, 0.011 * h, "bag_material", front=front)
    if look.bag == "hand":
        hand = joints["hand_right"]
        low = hand - np.array([0, 0.10 * h, 0])
        figure.add(low + 0.035 * h * front, low - 0.035 * h * front, 0.058 * h, 0.058 * h, "bag_material",
                   front=_side(front), flat=0.40)  # fmt: skip
        figure.add(hand, low, 0.010 * h, 0.016 * h, "bag_material")


def _along_leg(joints: dict[str, Array], side: str, length: float) -> Array:
    """The point `length` down the leg: hip 0, knee 1, ankle 2."""
    hip, knee, ankle = joints[f"hip_{side}"], joints[f"knee_{side}"], joints[f"ankle_{side}"]
    return hip + (knee - hip) * length if length <= 1 else knee + (ankle - knee) * (length - 1)


def _side(front: Array) -> Array:
    """The horizontal direction to the walker's left."""
    left = np.stack([front[:, 2], 0 * front[:, 0], -front[:, 0]], 1)
    return np.asarray(left / np.linalg.norm(left, axis=1, keepdims=True))


def _across(figure: Figure, side: str) -> Array:
    return _side(figure.skeleton.pelvis_front)
