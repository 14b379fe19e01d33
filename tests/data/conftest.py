"""What tests of data share: a small tree, and the shared material where there is any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.data.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A written tree of three training and two test people, every track of at least 12 frames."""
    made = Tree(tmp_path / "set")
    made.write()
    return made


@pytest.fixture(scope="session")
def shared_clip() -> Path:
    """The folder of the real clip, beside the repository or where DUSKMATCH_SHARED says."""
    shared = Path(os.environ.get("DUSKMATCH_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "data" / "intel_one_by_one"
    if not (folder / "derived_mot.txt").is_file():
        pytest.skip(f"no shared material at {folder}")
    return folder
