"""Checkpoints that are missing, damaged, hostile, or made for something else."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from duskmatch import load_embedder
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.embedding import Embedder
from duskmatch.errors import CheckpointError, DataError, FrameError, SettingsError
from duskmatch.models.building import build_model
from duskmatch.training import train
from duskmatch.weights import HEADER_KEY, read_weights
from tests.data.tree import Tree
from tests.training.conftest import FAST


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    people = {"train": range(1, 5), "test": range(5, 8)}
    root = tmp_path_factory.mktemp("data") / "tree"
    return open_dataset(Tree(root, people=people, lengths=(12,), size=(96, 48), duskwalk=True).write())


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    train(load_settings("tiny", overrides=FAST), dataset, run)
    return run


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy to damage."""
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("VERSION", "settings.yaml", "model.safetensors"):
        (copy / name).write_bytes((trained / name).read_bytes())
    return copy


def rewrite(run: Path, change) -> None:
    weights = read_weights(run / "model.safetensors")
    tensors, header = dict(weights.tensors), dict(weights.header)
    change(tensors, header)
    save_file(tensors, run / "model.safetensors", metadata={HEADER_KEY: json.dumps(header)})


def test_embeddings_are_unit_vectors_in_the_order_asked_for(run, dataset):
    embedder = load_embedder(run)
    both = embedder.embed(dataset.test)
    assert [str(s) for s in both.sources] == [t.tracklet_id for t in dataset.test]
    assert np.allclose(np.linalg.norm(both.vectors, axis=1), 1, atol=1e-5)
    assert both.modalities == tuple(t.modality for t in dataset.test)
    alone = embedder.embed(dataset.test[3:4])
    assert np.allclose(alone.vectors[0], both.vectors[3], atol=1e-5)
    backwards = embedder.embed(dataset.test[::-1])
    assert np.allclose(backwards.vectors[::-1], both.vectors, atol=1e-5)


def test_the_untrained_network_is_another_one_and_always_the_same(run, dataset):
    trained, a, b = (load_embedder(run, untrained=u).embed(dataset.test[:2]).vectors for u in (False, True, True))
    assert np.array_equal(a, b) and not np.allclose(a, trained, atol=1e-3)


def test_facts_say_what_stands_beside_a_score(run, dataset):
    embedder = load_embedder(run)
    _, account = embedder.embed_with_account(dataset.test)
    facts = embedder.facts(account)
    assert embedder.facts() == {**facts, "ms_per_tracklet": None}
    assert facts["checkpoint"] == "iteration 6 of 6" and facts["selection"] == "last" and facts["n_frames"] == 2
    assert 0 < facts["parameters"]["test"] < facts["parameters"]["training"]
    assert facts["flops"] > 1e6 and facts["ms_per_tracklet"] > 0
    assert facts["trained_on"]["synthetic"] is True


def test_flops_of_the_recurrent_part_are_counted():
    from duskmatch.embedding.cost import count_flops

    settings = load_settings("tiny")
    with_lstm = count_flops(build_model(settings, 4), 2, 96, 48)
    without = count_flops(
        build_model(load_settings("tiny", overrides=["model.sequence=none", "model.defense=false"]), 4), 2, 96, 48
    )
    motion = 2 * 2 * 6 * 2 * 4 * 64 * 64  # 2 frames x 6 parts, two matrices of 4d x d, multiply and add
    spatial = 2 * 6 * 2 * 4 * 64 * 64
    highlight = 2 * 2 * 6 * (128 * 8 + 8 * 64)
    assert with_lstm - without == motion + spatial + highlight


def test_loading_a_run_does_not_import_torchs_compiler(run):
    """It costs a second of every start; random starts on the meta device would bring it in."""
    code = (
        f"import sys; from duskmatch import load_embedder; load_embedder({str(run)!r}, device='cpu')\n"
        "print(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no RUN folder; name the folder given to `duskmatch train --out`"):
        load_embedder(tmp_path / "nowhere")


def test_another_layout_is_refused(run):
    (run / "VERSION").write_text("7\n")
    with pytest.raises(
        CheckpointError, match="this duskmatch reads RUN layout 1; got 7; train again or use the duskmatch"
    ):
        load_embedder(run)


@pytest.mark.parametrize("length", [0, 5, 100, 5000])
def test_a_truncated_file_is_refused_by_name(run, length):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or not a safetensors file"):
        load_embedder(run)


def test_a_pickle_in_disguise_is_never_opened(run, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was run",))

    (run / "model.safetensors").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="is damaged or not a safetensors file"):
        load_embedder(run)
    assert not (tmp_path / "was run").exists()


def test_weights_with_nan_are_refused_by_name(run):
    rewrite(run, lambda tensors, header: tensors["stem_visible.conv1.weight"].fill_(torch.nan))
    with pytest.raises(CheckpointError, match=r"stem_visible\.conv1\.weight holds NaN or infinity; take an earlier"):
        load_embedder(run)


def test_a_header_that_asks_for_a_huge_network_is_refused_by_its_shapes(run):
    rewrite(run, lambda tensors, header: header.update(n_pids=10**10))
    with pytest.raises(
        CheckpointError, match=r"must be \(10000000000, .*\); got \(4, .*\); it was made for other settings"
    ):
        load_embedder(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: t.pop("stem_visible.bn1.weight"), r"lacks stem_visible\.bn1\.weight; it was made for"),
        (lambda t, h: t.update(extra=torch.zeros(1)), "holds extra, which this network lacks"),
        (lambda t, h: h.pop("settings"), "its header lacks 'settings'; not made by duskmatch"),
        (lambda t, h: h["settings"]["model"].update(backbone="evil"), "its header does not hold settings"),
        (lambda t, h: h.update(n_pids="many"), "its header does not hold settings"),
        (lambda t, h: h.update(data="people"), "its header is damaged: data: Input should be a valid dictionary"),
        (lambda t, h: h["data"].update(name=5), "its header is damaged: data.name: Input should be a valid string"),
        (lambda t, h: h.update(selection=["last"]), "its header is damaged: selection: Input should be a valid string"),
        (lambda t, h: h.update(note=float("nan")), "its header is not JSON: NaN is no number"),
        (lambda t, h: h["data"].update(note=[float("-inf")]), "its header is not JSON: -Infinity is no number"),
    ],
)  # fmt: skip
def test_a_header_or_tensor_that_does_not_fit_is_refused(run, change, message):
    rewrite(run, change)
    with pytest.raises(CheckpointError, match=message):
        load_embedder(run)


def test_a_header_that_is_no_json_is_refused(run):
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors", metadata={HEADER_KEY: "{"})
    with pytest.raises(CheckpointError, match="its header is not JSON"):
        load_embedder(run)


def test_bad_frames_stop_or_are_counted(run, tmp_path):
    people = {"train": (1,), "test": (5, 6)}
    dataset = open_dataset(Tree(tmp_path / "t", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write())
    dataset.test[0].frames[0].write_bytes(b"no picture")
    for path in dataset.test[1].frames:
        path.unlink()
    with pytest.raises(FrameError, match=dataset.test[0].frames[0].name):
        load_embedder(run).embed(dataset.test)
    found, account = load_embedder(run, on_bad_frame="skip").embed_with_account(dataset.test)
    assert len(found) == account.n_tracklets == len(dataset.test) - 1
    assert len(account.bad_frames.frames) == 13 and len(account.bad_frames.tracklets) == 1


def test_no_tracklets_are_refused(run):
    with pytest.raises(DataError, match="embed needs at least one tracklet; got none"):
        load_embedder(run).embed([])


def test_an_impossible_device_is_refused():
    settings = load_settings("tiny")
    with pytest.raises(SettingsError, match="--device must be auto, cpu, cuda or cuda:N; got toaster"):
        Embedder(build_model(settings, 4), settings, device="toaster")
