"""`data.jpeg_scaling` is kept with the RUN: whatever reads pictures for its network reads them as training did."""

from __future__ import annotations

from pathlib import Path

import pytest

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.cli.export import training_clips
from duskmatch.config import load_settings
from duskmatch.data import clips, decoding, open_dataset
from duskmatch.embedding.shards import work_key
from duskmatch.training import train
from tests.data.tree import Tree
from tests.training.conftest import FAST

EVERYWHERE = ["train.recalibrate_steps=1", "train.centre=true", "train.selection=validation", "train.validate_every=1"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures twice as high and wide as the tiny network's frames."""
    who = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 11)}
    root = tmp_path_factory.mktemp("large") / "tree"
    return Tree(root, people=who, lengths=(12,), size=(192, 96), duskwalk=True).write()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What `read_frame` was asked, by whoever reads a picture for a network."""
    seen: list[bool] = []
    real = decoding.read_frame

    def spy(path: Path, size: tuple[int, int], jpeg_scaling: bool = False) -> decoding.Picture:
        seen.append(jpeg_scaling)
        return real(path, size, jpeg_scaling)

    for module in (decoding, clips):
        monkeypatch.setattr(module, "read_frame", spy)
    return seen


def drained(asked: list[bool]) -> set[bool]:
    found = set(asked)
    asked.clear()
    return found


@pytest.mark.parametrize(("scaling", "cache_gib"), [(True, 0), (True, 1), (False, 1)])
def test_all_that_reads_for_the_network_reads_alike(
    large: Path, asked: list[bool], scaling: bool, cache_gib: int, tmp_path: Path
) -> None:
    dataset, run = open_dataset(large), tmp_path / "run"
    wanted = [f"data.jpeg_scaling={str(scaling).lower()}", f"data.cache_gib={cache_gib}"]
    train(load_settings("tiny", overrides=[*FAST, *EVERYWHERE, *wanted]), dataset, run)
    assert drained(asked) == {scaling}
    embedder = load_embedder(run)
    vectors = embedder.embed(dataset.test).vectors
    assert drained(asked) == {scaling}
    training_clips(embedder, dataset)
    assert drained(asked) == {scaling}
    out = tmp_path / "exported"
    assert main(["export", str(run), "--format", "torch", "--out", str(out)]) == 0
    asked.clear()
    assert abs(load_embedder(out).embed(dataset.test).vectors - vectors).max() < 1e-4
    assert drained(asked) == {scaling}
    sides = ["--query", f"{large}:query", "--gallery", f"{large}:gallery"]
    assert main(["rank", str(run), *sides, "--camera-rule", "none", "--out", str(tmp_path / "ranked")]) == 0
    assert drained(asked) == {scaling}


def test_the_setting_moves_vectors_a_little_and_blocks_are_not_mixed(whole_run: Path, large: Path) -> None:
    tracklets = open_dataset(large).test
    exact, scaled = load_embedder(whole_run), load_embedder(whole_run)
    data = scaled.settings.data.model_copy(update={"jpeg_scaling": True})
    scaled.settings = scaled.settings.model_copy(update={"data": data})
    moved = abs(scaled.embed(tracklets).vectors - exact.embed(tracklets).vectors).max()
    assert 0 < moved < 0.2
    assert work_key(exact, tracklets) != work_key(scaled, tracklets)
