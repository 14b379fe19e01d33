"""Similarities as whole numbers, so that they can be counted: two millionths apart, as fine as fp32 products are."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from duskmatch.records import Ints

EDGE = 1 << 19  # levels from a similarity of 0 to 1
LEAST, LARGEST = 1, 2 * EDGE + 1  # the levels of -1 and 1; level 0 is that of entries that are left out
N_LEVELS = LARGEST + 1

L = TypeVar("L", bound="int | np.integer | Ints")


def levels(negated: npt.NDArray[np.floating]) -> Ints:
    """The level of each negated similarity, any shape; 0 where it is infinite. Overwrites its argument."""
    np.multiply(negated, -EDGE, out=negated)
    np.clip(negated, -EDGE - 1, EDGE, out=negated)
    np.rint(negated, out=negated)
    found: Ints = negated.astype(np.int64)
    found += EDGE + LEAST
    return found


def similarity_of(level: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The similarity that a level stands for."""
    return (np.asarray(level, np.float64) - EDGE - LEAST) / EDGE
