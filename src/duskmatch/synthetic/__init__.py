"""Duskwalk: generated walking people, seen by day and in infrared, written in HITSZ-VCM's layout."""

from duskmatch.synthetic.generate import generate
from duskmatch.synthetic.people import TWINS
from duskmatch.synthetic.presets import DATA_VERSION, PRESETS, Preset
from duskmatch.synthetic.variations import FACTORS

__all__ = ["DATA_VERSION", "FACTORS", "PRESETS", "TWINS", "Preset", "generate"]
