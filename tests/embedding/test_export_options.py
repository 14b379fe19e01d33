"""Settings that act at test go with the network into every engine and format."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.config import load_settings
from duskmatch.data import Dataset
from duskmatch.embedding import export
from duskmatch.training import train
from tests.embedding.test_export import WIDE, need
from tests.training.conftest import FAST

AT_TEST = ["model.sequence=pooled_std", "model.pooling=gem", "model.temporal_mixing=true", "model.embedding=both"]


@pytest.fixture(scope="module")
def run(people: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose attention over time is open: six iterations alone would leave it almost shut."""
    run = tmp_path_factory.mktemp("options") / "run"
    train(load_settings("tiny", overrides=[*FAST, *AT_TEST, "evaluate.batch_clips=5"]), people, run)
    header, tensors = load_embedder(run).header, load_file(run / "model.safetensors")
    tensors["temporal_mixing.norm.weight"].fill_(0.5)
    save_file(tensors, run / "model.safetensors", metadata={"duskmatch": json.dumps(header)})
    return run


@pytest.mark.parametrize(("kind", "batch"), [("openvino", "1"), ("onnx", "dynamic"), ("torch", "1")])
def test_an_export_of_them_verifies_and_gives_the_vectors_of_torch(kind, batch, run, people, tmp_path):
    need(kind, "fp32")
    out = tmp_path / "export"
    words = ["export", str(run), "--format", kind, "--batch", batch, "--data", str(people.root), "--out", str(out)]
    assert main([*words, "-q"]) == 0
    said = json.loads((out / "export.json").read_text())
    assert said["verified"] is True and said["verification"]["cosine_least"] > 0.9999
    found, own = load_embedder(out, device="cpu"), load_embedder(run, device="cpu")
    assert np.abs(found.embed(people.test).vectors - own.embed(people.test).vectors).max() < 2e-5
    assert (found.facts()["parameters"], found.facts()["flops"]) == (own.facts()["parameters"], own.facts()["flops"])


def test_bf16_is_close(run, people):
    low, full = (load_embedder(run, device="cpu", precision=precision) for precision in ("bf16", "fp32"))
    cosine = (low.embed(people.test).vectors * full.embed(people.test).vectors).sum(axis=1)
    assert 0.995 < cosine.min() < 0.9999999


LITE = ["model.backbone=efficientnet_lite0", "model.weights=imagenet", "model.width=1.0", "train.lr=0.0001"]
LITE += ["model.branch_start=0.3", "model.motion_norm=true", "train.recalibrate_steps=2", "train.centre=true"]


@pytest.fixture(scope="module")
def lite(people: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("lite") / "run"
    train(load_settings("tiny", overrides=[*FAST, *LITE, "evaluate.batch_clips=5"]), people, run)
    return run


@pytest.mark.parametrize(
    ("kind", "precision", "least"),
    [
        ("openvino", "fp32", 0.999999),
        ("openvino", "bf16", 0.98),
        pytest.param("openvino", "int8", 0.6, marks=pytest.mark.slow),
        ("onnx", "fp32", 0.999999),
    ],
)
def test_an_export_of_efficientnet_gives_the_vectors_of_torch(
    kind, precision, least, lite, people, tmp_path, monkeypatch
):
    need(kind, precision)
    if precision != "fp32":
        monkeypatch.setitem(export.TOLERANCE, precision, {**WIDE, "cosine": least})  # of a handful of iterations
    out = tmp_path / "export"
    words = ["export", str(lite), "--format", kind, "--precision", precision, "--data", str(people.root)]
    assert main([*words, "--out", str(out), "-q"]) == 0
    said = json.loads((out / "export.json").read_text())
    assert said["verified"] is True and said["verification"]["cosine_least"] > least
    found, own = (load_embedder(folder, device="cpu").embed(people.test).vectors for folder in (out, lite))
    assert own.std(axis=0).mean() > 0.5 * abs(own).mean()  # these vectors tell people apart
    assert (found * own).sum(axis=1).min() > least
    assert precision != "fp32" or abs(found - own).max() < 2e-5
