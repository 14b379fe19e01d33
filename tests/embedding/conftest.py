"""A tiny data set, a run trained on it for a moment, and a cache of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from duskmatch.config import load_settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.training import train
from tests.data.tree import Tree
from tests.embedding.traced import Traced
from tests.training.conftest import FAST


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    who = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 11)}
    root = tmp_path_factory.mktemp("engines") / "tree"
    return open_dataset(Tree(root, people=who, lengths=(12,), size=(96, 48), duskwalk=True).write())


@pytest.fixture(scope="session")
def whole_run(people: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts on, both embeddings side by side, grey and per-clip normalisation: every branch of the test path."""
    run = tmp_path_factory.mktemp("engines") / "run"
    wanted = ["model.embedding=both", "data.grey=true", "data.per_clip=true", "evaluate.batch_clips=5"]
    train(load_settings("tiny", overrides=[*FAST, *wanted]), people, run)
    return run


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: graphs of the same network are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="package", autouse=True)
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tracing takes seconds for each modality, and engines and formats begin with the same graphs."""
    with pytest.MonkeyPatch.context() as patch:
        Traced(tmp_path_factory.mktemp("graphs")).put_in(patch)
        yield
