"""What an earlier version wrote is still read, and gives what it gave."""

import json

import numpy as np
import pytest

from duskmatch.config import PRESETS, load_settings
from tests.before.old_runs import FOLDER, RUNS, vectors, write_run

KEPT = json.loads((FOLDER / "runs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_gives_the_vectors_that_it_gave(name, tmp_path):
    found = vectors(write_run(KEPT[name], tmp_path / "run"))
    with np.load(FOLDER / "vectors.npz") as before:
        assert found.shape == before[name].shape
        np.testing.assert_allclose(found, before[name], rtol=0, atol=2e-5)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3  # clips are told apart: the comparison says something


SINCE: dict[str, dict[str, object]] = {"model": {"compact_width": None}}


def test_presets_say_what_they_said():
    """A setting that goes is taken out of presets.json with it, where it stood at its default everywhere.

    One that has come since is in SINCE, and changes nothing where nobody sets it.
    """
    before = json.loads((FOLDER / "presets.json").read_text(encoding="utf-8"))
    now = {name: load_settings(name).model_dump(mode="json") for name in PRESETS}
    for preset in now.values():
        for section, settings in SINCE.items():
            assert {key: preset[section].pop(key) for key in settings} == settings
    assert before == now
