"""The walking people: body proportions, gait, garments, hair, bag and hat, each drawn from its own stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from duskmatch.synthetic.materials import Material, cloth, hair, skin
from duskmatch.synthetic.streams import between, near, stream

Twins = Literal["gait_twins", "look_twins", "part_twins"]
TWINS: tuple[Twins, ...] = get_args(Twins)
GROUP = 4  # people in a group of twins
POOLS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Body:
    """Proportions: lengths as shares of stature (metres), girth as a factor."""

    stature_m: float
    leg: float
    thigh_share: float
    shoulder: float
    hip: float
    arm: float
    head: float
    neck: float
    girth: float
    belly: float
    limb: float


@dataclass(frozen=True, slots=True)
class Gait:
    """A way of walking. Angles in degrees, phases in cycles; asymmetries are left minus right."""

    hip_swing: float
    hip_offset: float
    knee_swing: float
    knee_stance: float
    arm_swing: float
    arm_offset: float
    arm_lag: float
    arm_out: float
    elbow: float
    elbow_swing: float
    lean: float
    sway: float
    pelvis_turn: float
    shoulder_turn: float
    head_pitch: float
    step_width_m: float
    toe_out: float
    bounce_m: float
    hip_asymmetry: float
    arm_asymmetry: float
    knee_asymmetry: float
    phase_asymmetry: float
    cadence_hz: float


@dataclass(frozen=True, slots=True)
class Look:
    """Clothes, hair, bag and hat, and their materials."""

    top: str
    bottom: str
    sleeve: float  # covered share of the arm, shoulder 0 to wrist 1
    hem: float  # end of skirt or shorts: hip 0, knee 1, ankle 2
    coat: float  # length of coat below the hip as a share of the thigh; 0 for a jacket or shirt
    loose: float
    collar: bool
    opening: bool
    hair_style: str
    hat: str
    bag: str
    scarf: bool
    skin: Material
    hair: Material
    upper: Material
    lower: Material
    shoes: Material
    bag_material: Material
    hat_material: Material


@dataclass(frozen=True, slots=True)
class Person:
    body: Body
    gait: Gait
    look: Look


def make_person(seed: int, pool: str, index: int, twins: str | None = None) -> Person:
    """Person `index` of a pool; with `twins`, groups of four share what this kind of twins shares."""
    place = POOLS.index(pool)
    group = twin_group(index)
    shared = {
        None: (index, index, index),
        "gait_twins": (group, index, group),
        "look_twins": (index, group, index),
        "part_twins": (index, index, group),
    }[twins]
    body = make_body(stream(seed, "body", place, shared[0]))
    gait = make_gait(stream(seed, "gait", place, shared[1]))
    look = make_look(stream(seed, "look", place, shared[2]))
    if twins == "part_twins":
        gait = make_gait(stream(seed, "gait", place, group))
        look = rearranged(look, index - group)
    return Person(body, gait, look)


def twin_group(index: int) -> int:
    """The first of the four people who are the twin group of person `index`."""
    return index - index % GROUP


def make_body(rng: np.random.Generator) -> Body:
    return Body(
        stature_m=near(rng, 1.71, 0.08),
        leg=near(rng, 0.525, 0.014),
        thigh_share=near(rng, 0.5, 0.012),
        shoulder=near(rng, 0.101, 0.008),
        hip=near(rng, 0.053, 0.006),
        arm=near(rng, 0.325, 0.012),
        head=near(rng, 0.0535, 0.0022),
        neck=near(rng, 0.050, 0.008),
        girth=near(rng, 1.0, 0.10),
        belly=between(rng, 0.0, 1.0) ** 2,
        limb=near(rng, 1.0, 0.09),
    )


# Trait: mean, spread between people, spread between walks of one person, minimum. From walk to walk, posture varies
# most, then swings, then the timing between limbs: what a single frame shows is the least reliable.
GAIT: dict[str, tuple[float, float, float, float]] = {
    "hip_swing": (23, 3.0, 1.8, 14),
    "hip_offset": (5, 1.8, 1.6, -5),
    "knee_swing": (55, 6.0, 4.5, 30),
    "knee_stance": (13, 3.5, 2.8, 2),
    "arm_swing": (22, 8.0, 5.5, 2),
    "arm_offset": (-4, 4.0, 4.0, -20),
    "arm_lag": (0.0, 0.07, 0.020, -0.2),
    "arm_out": (8, 2.5, 2.5, 0),
    "elbow": (24, 8.0, 8.0, 4),
    "elbow_swing": (14, 6.0, 4.5, 0),
    "lean": (4, 2.6, 2.4, -6),
    "sway": (2.2, 1.2, 0.8, 0),
    "pelvis_turn": (6, 2.2, 1.6, 0),
    "shoulder_turn": (8, 3.0, 2.2, 0),
    "head_pitch": (6, 5.0, 6.0, -10),
    "step_width_m": (0.09, 0.03, 0.02, 0.02),
    "toe_out": (8, 4.0, 3.0, -5),
    "bounce_m": (0.012, 0.008, 0.005, -0.01),
    "hip_asymmetry": (0, 0.09, 0.035, -0.3),
    "arm_asymmetry": (0, 0.35, 0.16, -0.9),
    "knee_asymmetry": (0, 0.09, 0.04, -0.3),
    "phase_asymmetry": (0, 0.022, 0.008, -0.08),
    "cadence_hz": (0.92, 0.085, 0.022, 0.68),
}


def make_gait(rng: np.random.Generator) -> Gait:
    """A person's own way of walking."""
    return Gait(**{name: max(least, near(rng, mean, between)) for name, (mean, between, _, least) in GAIT.items()})


def gait_today(rng: np.random.Generator, gait: Gait, pace: float, drift: float) -> Gait:
    """The gait on one walk: each trait varies a little; faster walks have longer steps and more arm swing."""
    today = {
        name: max(least, getattr(gait, name) + near(rng, 0, within * drift))
        for name, (_, _, within, least) in GAIT.items()
    }
    today["hip_swing"] *= pace**0.7
    today["arm_swing"] *= pace
    today["cadence_hz"] *= pace**0.3
    return Gait(**today)


def make_look(rng: np.random.Generator) -> Look:
    top = _pick(rng, {"shirt": 0.34, "sweater": 0.24, "jacket": 0.26, "coat": 0.16})
    bottom = _pick(rng, {"trousers": 0.62, "shorts": 0.14, "skirt": 0.24})
    warm = top in ("jacket", "coat")
    short_sleeved = top == "shirt" and rng.random() < 0.65
    return Look(
        top=top,
        bottom=bottom,
        sleeve=between(rng, 0.25, 0.45) if short_sleeved else between(rng, 0.93, 1.0),
        hem={"trousers": 2.0, "shorts": between(rng, 0.55, 1.05), "skirt": between(rng, 0.75, 1.75)}[bottom],
        coat=between(rng, 0.45, 1.25) if top == "coat" else 0.0,
        loose=between(rng, 0.0, 1.0),
        collar=bool(rng.random() < 0.5),
        opening=warm and bool(rng.random() < 0.8),
        hair_style=_pick(rng, {"short": 0.36, "bald": 0.07, "bob": 0.16, "long": 0.20, "tail": 0.12, "bun": 0.09}),
        hat=_pick(rng, {"none": 0.68, "cap": 0.13, "beanie": 0.11, "brim": 0.08}),
        bag=_pick(rng, {"none": 0.42, "backpack": 0.24, "shoulder": 0.18, "hand": 0.16}),
        scarf=bool(rng.random() < (0.28 if warm else 0.06)),
        skin=skin(rng),
        hair=hair(rng),
        upper=cloth(rng, top=True),
        lower=cloth(rng, top=False),
        shoes=replace(_plainer(cloth(rng, top=False)), pattern="plain", pattern_contrast=0.0),
        bag_material=_plainer(cloth(rng, top=False)),
        hat_material=_plainer(cloth(rng, top=True)),
    )


def rearranged(look: Look, turn: int) -> Look:
    """The look with the materials of upper, lower, bag and hat rotated by `turn` places."""
    slots = ("upper", "lower", "bag_material", "hat_material")
    cycle = [getattr(look, slot) for slot in slots]
    cycle = cycle[turn % 4 :] + cycle[: turn % 4]
    with_all = replace(look, hat="beanie" if look.hat == "none" else look.hat)
    with_all = replace(with_all, bag="backpack" if look.bag == "none" else look.bag)
    return replace(with_all, **dict(zip(slots, cycle, strict=True)))


def _plainer(material: Material) -> Material:
    """The material with half the contrast of its weave, for small objects."""
    return replace(material, contrast=0.5 * material.contrast)


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
