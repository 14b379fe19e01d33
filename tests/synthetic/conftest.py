"""A data set small enough to write again and again."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from duskmatch.synthetic.presets import PRESETS, Preset


@pytest.fixture(scope="session")
def few() -> Iterator[Preset]:
    """A preset `few`: 2 training, 1 validation and 4 test people in pictures of 48 x 24."""
    preset = replace(PRESETS["tiny"], people=(2, 1, 4), size=(48, 24), n_frames=(12, 12), supersample=1, cameras=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "few", preset)
        yield preset
