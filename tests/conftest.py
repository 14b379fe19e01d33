"""Shape checks are on in tests: every annotated tensor of these rooms is checked at each call."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

EVALUATION = ("metrics", "ordering", "similarity", "matches", "ranking", "intervals", "pairs")
CHECKED = [
    "duskmatch.models",
    "duskmatch.losses",
    "duskmatch.models.algorithm1",
    "duskmatch.experiments.counterfactual.shift",
]
CHECKED += [f"duskmatch.evaluation.{name}" for name in EVALUATION] + ["duskmatch.pictures.thumbnails"]
CHECKED += ["duskmatch.embedding.layers", "duskmatch.experiments.counterfactual.shift"]
# Not `kernels`, which numba compiles, nor `index`, which refuses other shapes itself.
GALLERY = ("candidates", "chunks", "coding", "exact", "facts", "search")
CHECKED += [f"duskmatch.gallery.search.{name}" for name in GALLERY]
install_import_hook(CHECKED, "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test counts as a reading of test people in the user's own state folder."""
    monkeypatch.setenv("DUSKMATCH_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material beside the project (a real clip, split files); tests that need it skip where it is missing."""
    place = Path(os.environ.get("DUSKMATCH_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data").is_dir():
        pytest.skip("the shared material beside the project is not here")
    return place


@pytest.fixture(autouse=True)
def eager_by_default(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """auto is torch here, whatever is installed: making a graph takes seconds, and each engine has its own tests."""
    from duskmatch.embedding import engines

    monkeypatch.setattr(engines, "FASTEST", {"cpu": ("torch",), "cuda": ("torch",)})
    monkeypatch.setenv("DUSKMATCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
