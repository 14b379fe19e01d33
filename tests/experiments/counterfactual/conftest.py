"""A Duskwalk set small enough to film again and again, and two RUNs of a few iterations trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.experiments.counterfactual.experiment import Request
from duskmatch.synthetic import PRESETS, generate
from duskmatch.training import train
from tests.training.conftest import FAST

SEED = 5


@pytest.fixture(scope="package")
def few() -> Iterator[str]:
    """A preset `few`, `tiny` made smaller: 2 training, 1 validation and 4 test people in pictures of 48 x 24."""
    preset = replace(PRESETS["tiny"], people=(2, 1, 4), size=(48, 24), n_frames=(12, 12), supersample=1, cameras=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "few", preset)
        yield "few"


@pytest.fixture(scope="package")
def base(few: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by the tests, never written to."""
    out = tmp_path_factory.mktemp("counterfactual") / "base"
    generate(out, preset=few, seed=SEED, n_processes=1)
    return out


@pytest.fixture(scope="package")
def runs(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("counterfactual-runs")
    for name, seed in (("first", 1), ("second", 2)):
        train(load_settings("tiny", overrides=FAST, seed=seed), open_dataset(base), folder / name)
    return folder / "first", folder / "second"


@pytest.fixture
def request_of(base: Path, runs: tuple[Path, Path], tmp_path: Path) -> Any:
    """Makes small requests: two people, one factor, two severities; any argument can be changed."""

    def made(**changes: Any) -> Request:
        plain = {
            "runs": runs,
            "data": base,
            "out": tmp_path / "dir",
            "factors": ("view",),
            "severities": (1, 4),
            "people": 2,
            "n_processes": 1,
            "embedder_options": {"device": "cpu", "engine": "torch"},
        }
        return Request(**{**plain, **changes})

    return made
