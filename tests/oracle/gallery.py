"""Search as a loop: every dot by halves, every entry sorted."""

from __future__ import annotations

from collections.abc import Sequence, Set
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


def dot(query: Vector, row: Vector) -> float:
    """The sum of the products in fp64, the second half added to the first until one number is left."""
    terms = [float(a) * float(b) for a, b in zip(query, row, strict=True)]
    while len(terms) > 1:
        half = (len(terms) + 1) // 2
        terms = [term + (terms[half + i] if half + i < len(terms) else 0.0) for i, term in enumerate(terms[:half])]
    return terms[0]


def true_dot(query: Vector, row: Vector) -> Fraction:
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(query, row, strict=True)), Fraction())


def first(
    query: Vector, vectors: Vector, ids: Sequence[str], top: int, left_out: Set[int]
) -> list[tuple[int, float, str]]:
    """(place, similarity, id) of the first `top` places that are not left out."""
    found = [(i, dot(query, vectors[i]), ids[i]) for i in range(len(vectors)) if i not in left_out]
    return sorted(found, key=lambda entry: (-entry[1], entry[2]))[:top]
