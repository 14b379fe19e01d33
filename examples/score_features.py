"""Vectors of any network, written where duskmatch can score them: python examples/score_features.py FILE.npz

Then: duskmatch evaluate --features FILE.npz --synthetic
"""

import sys
from pathlib import Path

import numpy as np


def main(path: str) -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=(50, 128))  # stands in for what your network says of fifty people
    seen = [people + 0.8 * rng.normal(size=people.shape) for _ in range(4)]  # two cameras by night, two by day
    np.savez(
        Path(path),
        vectors=np.concatenate(seen).astype(np.float32),
        pids=np.tile(np.arange(50), 4),
        camids=np.repeat([1, 2, 1, 2], 50),
        modalities=np.repeat(["infrared", "infrared", "visible", "visible"], 50),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
