"""Random numbers keyed by their purpose, independent of other draws.

Every draw comes from NumPy's Philox on the CPU, keyed by the seed, the purpose and the place (pool, person, camera,
track), so that pictures do not depend on the order of work, on the number of processes or on the device.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """The generator for one purpose at one place."""
    entropy = (seed, zlib.crc32(purpose.encode()), *place)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def near(rng: np.random.Generator, mean: float, spread: float) -> float:
    """A normal draw, clipped at two and a half spreads from the mean."""
    return mean + spread * float(np.clip(rng.standard_normal(), -2.5, 2.5))


def drift(rng: np.random.Generator, n: int, memory: float = 0.85) -> np.ndarray:
    """(n,) autocorrelated noise of unit spread, like that of a tracker's box."""
    steps = rng.standard_normal(n)
    values = np.empty(n)
    values[0] = steps[0]
    for i in range(1, n):
        values[i] = memory * values[i - 1] + np.sqrt(1 - memory**2) * steps[i]
    return values
