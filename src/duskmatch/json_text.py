"""JSON read strictly: NaN and infinity, which Python's own reader accepts, are refused."""

from __future__ import annotations

import json
import math
from typing import Any


def strict_json(text: str | bytes) -> Any:
    """The value of JSON text; ValueError if it is no JSON or holds a number that is not finite."""
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _finite(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError(f"{word[:40]} is no number")
    return value
