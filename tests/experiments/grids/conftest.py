"""A tiny data set and settings with which a cell takes seconds."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from duskmatch.experiments.grids import queue
from tests import forked
from tests.data.tree import Tree

FAST = {
    "train.stage1_epochs": "1",
    "train.stage2_epochs": "1",
    "train.steps_per_epoch": "2",
    "data.frames_per_clip": "2",
    "train.pids_per_batch": "2",
    "train.tracklets_per_pid": "1",
}
FLAGS = [word for key, value in FAST.items() for word in (f"--{key}", value)]


@pytest.fixture(scope="package", autouse=True)
def forked_cells() -> Iterator[None]:
    """The cells' processes have torch at once; the test of a queue that is killed spawns its own, as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "multiprocessing", SimpleNamespace(get_context=lambda way: forked.CONTEXT))
        yield


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 12)}
    root = tmp_path_factory.mktemp("data") / "tree"
    return Tree(root, people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
