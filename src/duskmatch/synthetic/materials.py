"""Materials of clothes, which determine their look by day and under the infrared lamp.

A fabric has an infrared reflectance, a gloss and a weave that shows in both modalities. The colour is drawn
independently of the fabric, so it says nothing about infrared. A pattern (stripes, checks, dots) has the same mask and
the same sign of contrast in both modalities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from duskmatch.synthetic.streams import between, near


@dataclass(frozen=True, slots=True)
class Fabric:
    """One kind of cloth. Waves are (cycles across, cycles along) per metre; see `textures.waves`."""

    name: str
    infrared: float
    gloss: float
    wave: tuple[float, float]
    cross: tuple[float, float]
    contrast: float
    tops: bool = True
    bottoms: bool = True


FABRICS = (
    Fabric("cotton jersey", 0.74, 0.03, (0, 0), (0, 0), 0.00),
    Fabric("denim", 0.50, 0.04, (16, 16), (3, 5), 0.16),
    Fabric("cable knit", 0.60, 0.02, (14, 0), (0, 20), 0.34, bottoms=False),
    Fabric("ribbed knit", 0.68, 0.04, (20, 0), (0, 0), 0.28),
    Fabric("fleece", 0.86, 0.00, (9, 7), (-6, 11), 0.16, bottoms=False),
    Fabric("corduroy", 0.40, 0.12, (26, 0), (0, 3), 0.30),
    Fabric("quilted nylon", 0.64, 0.38, (0, 9.5), (3.2, 0), 0.42, bottoms=False),
    Fabric("leather", 0.20, 0.60, (3, 4), (-4, 3), 0.10),
    Fabric("satin", 0.90, 0.42, (2, 1), (0, 0), 0.08),
    Fabric("softshell", 0.30, 0.20, (0, 0), (0, 0), 0.00),
    Fabric("linen", 0.95, 0.00, (24, 2), (3, 22), 0.14),
    Fabric("tweed", 0.36, 0.00, (15, 15), (15, -15), 0.26),
)
PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "band", "diagonal")


@dataclass(frozen=True, slots=True)
class Material:
    """One piece of cloth, skin, hair or leather; colours are linear light, reflectances 0 to 1."""

    fabric: str
    infrared: float
    gloss: float
    wave: tuple[float, float] = (0.0, 0.0)
    cross: tuple[float, float] = (0.0, 0.0)
    contrast: float = 0.0
    colour: tuple[float, float, float] = (0.3, 0.3, 0.3)
    pattern: str = "plain"
    pattern_m: float = 0.1
    pattern_contrast: float = 0.0
    second_colour: tuple[float, float, float] = (0.3, 0.3, 0.3)

    @property
    def second_infrared(self) -> float:
        """Infrared reflectance of the pattern's second shade, with the same sign of contrast as by day."""
        return float(np.clip(self.infrared * np.exp(0.85 * self.pattern_contrast), 0.04, 0.98))


def cloth(rng: np.random.Generator, *, top: bool) -> Material:
    """A garment's material: fabric and pattern first, the dye independently of both."""
    choices = [fabric for fabric in FABRICS if (fabric.tops if top else fabric.bottoms)]
    fabric = choices[int(rng.integers(len(choices)))]
    material = Material(
        fabric=fabric.name,
        infrared=float(np.clip(near(rng, fabric.infrared, 0.03), 0.06, 0.97)),
        gloss=fabric.gloss * between(rng, 0.8, 1.2),
        wave=fabric.wave,
        cross=fabric.cross,
        contrast=fabric.contrast * between(rng, 0.8, 1.2),
    )
    return dyed(rng, patterned(rng, material, share=0.6 if top else 0.25))


def patterned(rng: np.random.Generator, material: Material, *, share: float) -> Material:
    """The material with a pattern on a share of garments; contrast is the log ratio of the two shades."""
    kind = PATTERNS[int(rng.integers(1, len(PATTERNS)))]
    period, size, sign, chosen = between(rng, 0.07, 0.17), between(rng, 0.7, 1.5), rng.random() < 0.5, rng.random()
    if chosen > share:
        return material
    # A dark cloth gets a light pattern and a light one a dark pattern: otherwise infrared would clip it.
    lighter = material.infrared < 0.35 or (material.infrared < 0.7 and sign)
    return replace(material, pattern=kind, pattern_m=period, pattern_contrast=size if lighter else -size)


def dyed(rng: np.random.Generator, material: Material) -> Material:
    """The material in a colour that is drawn independently of it."""
    base = _dye(rng)
    other = 0.5 * _dye(rng) + 0.5 * base
    # The second shade has the material's contrast, whatever its hue.
    if material.pattern_contrast > 0:
        base = base * min(1.0, 0.30 / base.max())
    elif material.pattern_contrast < 0:
        base = base * max(1.0, 0.35 / base.max())
    ratio = float(np.exp(material.pattern_contrast)) * luminance(base) / luminance(other)
    second = np.clip(other * ratio, 0.008, 0.92)
    return replace(material, colour=_triple(base), second_colour=_triple(second))


def skin(rng: np.random.Generator) -> Material:
    """Skin: tones differ by day, but hardly in near infrared."""
    tone = between(rng, 0, 1) ** 0.8
    light, dark = np.array([0.62, 0.40, 0.30]), np.array([0.11, 0.055, 0.035])
    colour = light * (1 - tone) + dark * tone
    return Material("skin", near(rng, 0.66, 0.03), 0.08, colour=_triple(colour))


def hair(rng: np.random.Generator) -> Material:
    """Hair in a natural colour; its infrared reflectance is drawn independently."""
    shades = np.array([[0.012, 0.010, 0.010], [0.045, 0.025, 0.015], [0.13, 0.07, 0.03], [0.36, 0.25, 0.12],
                       [0.30, 0.30, 0.30], [0.20, 0.06, 0.025]])  # fmt: skip
    colour = shades[rng.choice(len(shades), p=[0.32, 0.28, 0.16, 0.10, 0.08, 0.06])] * between(rng, 0.8, 1.25)
    return Material("hair", between(rng, 0.10, 0.30), 0.22, (21, 1), (34, -2), 0.16, _triple(colour))


def luminance(colour: np.ndarray) -> float:
    return float(colour @ np.array([0.2126, 0.7152, 0.0722])) + 1e-4


def _dye(rng: np.random.Generator) -> np.ndarray:
    """A colour of clothes: many are dark or grey, some strong, few bright."""
    hue, saturation, value = rng.random(), rng.beta(1.3, 2.0), 0.025 + 0.75 * rng.beta(0.9, 1.6)
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - 0.85 * saturation * (1 - wheel)))


def _triple(colour: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(channel) for channel in colour)
    return red, green, blue
