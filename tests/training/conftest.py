from pathlib import Path

import pytest

from duskmatch.config import Settings, load_settings
from duskmatch.data import Dataset, open_dataset
from tests.data.tree import Tree

FAST = ["train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=3", "train.checkpoint_every=2"]
FAST += ["data.frames_per_clip=2", "train.pids_per_batch=2"]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 11)}
    root = tmp_path_factory.mktemp("data") / "tree"
    return Tree(root, people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()


@pytest.fixture(scope="session")
def dataset(tree: Path) -> Dataset:
    return open_dataset(tree)


@pytest.fixture
def settings() -> Settings:
    return load_settings("tiny", overrides=FAST)
