"""Vectors as whole numbers of one byte, and how far a product of two such vectors can be from the true one.

A row x is held as s (c + r) with a scale s, codes c (whole numbers up to 127) and a residual r, of which only the
length is kept; a query q in the same way as t (b + p). All of it is exact: r and p are whatever the rounding left over.
Then

    q.x = s t (b.c + p.c + (b + p).r),  so by Cauchy-Schwarz  |q.x / (s t) - b.c| <= |p| |c| + |q / t| |r|.

The search compares rows for one query, so t is left out: with n the computed b.c and

    w = A |c| + B |r|,  A = |p| + (rho + 2^-45) (|q / t| + |p|),  B = |q / t|,

the computed dot D (`exact.dots`) lies between s (n - w) and s (n + w), both times t. The terms of A and B cover:

- n: a sum of int32 is exact, as |b.c| <= 127 levels d < 2^31 (`query_levels`). An fp32 sum of d products is within
  gamma_d |b| |c| of b.c in any order, gamma_d = d u / (1 - d u), u = 2^-24 (`rho`), and |b| <= |q / t| + |p|.
  Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., Eq. 3.5.
- D: products of two fp32 numbers are exact in fp64, and a sum by halves of d <= 2^17 of them is within
  18 * 2^-53 |q| |x| of the true one, with |x| <= s (|c| + |r|): below 2^-48 of |q / t| (|c| + |r|).
- s (n + w), s (n - w), their products with t, and D / t in fp64: each operation is within 2^-53, all together below
  2^-49 s (|n| + w).
- |c|, |r|, |p| and |q / t|: the fp64 sum of d squares is within 2^-35, a residual's entries within 2^-37 (codes up to
  2^15), so a length of them within 2^-28 (d <= 2^17), and |c| and |r| are rounded to fp32, within 2^-24. Each length is
  made larger by SLACK twice over: once as it is, once as a share, which also covers the 2^-48 |q / t| |r| of D.

Scales are fp64: they neither overflow nor vanish, whatever fp32 holds (the least above 0 is 2^-149 / 32767).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64, Int8, Int16

ROW_LEVELS = 127
MOST_WIDTH = 1 << 17  # the proof above ends here
SLACK = 2.0**-20
BLOCK_ENTRIES = 1 << 15  # coded at a time: the allocator gives larger fp64 copies back, and each is new memory
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CodedRows:
    """Rows of a gallery: x = scale (codes + r) with |codes| <= norm and |r| <= residual."""

    codes: Int8[np.ndarray, "n d"]
    scale: Float64[np.ndarray, " n"]
    norm: Float32[np.ndarray, " n"]
    residual: Float32[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class CodedQueries:
    """Queries: q is about scale * codes, with scale 1 for zeros; of_norm and of_residual are A and B above."""

    codes: Int16[np.ndarray, "q d"]
    scale: Float64[np.ndarray, " q"]
    of_norm: Float64[np.ndarray, " q"]
    of_residual: Float64[np.ndarray, " q"]


def query_levels(width: int) -> int:
    """The most levels of a query whose products with rows cannot overflow int32; at least 127 up to MOST_WIDTH."""
    return min((1 << 15) - 1, ((1 << 31) - 1) // (ROW_LEVELS * width))


def code_rows(vectors: Float32[np.ndarray, "n d"]) -> CodedRows:
    """Finite rows, coded; a zero row has scale 0, so both its bounds are 0."""
    codes = np.empty(vectors.shape, np.int8)
    scale = np.empty(len(vectors))
    norm, residual = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    n_rows = max(1, BLOCK_ENTRIES // vectors.shape[1])
    for start in range(0, len(vectors), n_rows):
        block = slice(start, start + n_rows)
        codes[block], scale[block], norm[block], residual[block] = _coded(vectors[block], ROW_LEVELS)
    return CodedRows(codes, scale, norm, residual)


def code_queries(queries: Float32[np.ndarray, "q d"], levels: int, rounding: float) -> CodedQueries:
    """Finite queries, coded for a kernel that computes b.c within `rounding` |b| |c|."""
    codes, scale, _, residual = _coded(queries, levels)
    scale = _divisor(scale)
    length = _length(queries / scale[:, None])
    of_norm = residual + (rounding + 2.0**-45) * (length + residual)
    return CodedQueries(codes.astype(np.int16), scale, of_norm * (1 + SLACK), length)


def _coded(vectors: Float32[np.ndarray, "n d"], levels: int) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """(codes (n d), scale (n,), length of codes (n,), length of the residual (n,)), the lengths with their slack."""
    scale = np.abs(vectors).max(axis=1).astype(np.float64) / levels
    quotient = vectors / _divisor(scale)[:, None]
    codes = np.rint(quotient)
    quotient -= codes
    return codes, scale, _length(codes), _length(quotient)


def _divisor(scale: Doubles) -> Doubles:
    return np.where(scale > 0, scale, 1.0)


def _length(vectors: Doubles) -> Doubles:
    """An upper bound of each row's length."""
    found: Doubles = (np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) + SLACK) * (1 + SLACK)
    return found
