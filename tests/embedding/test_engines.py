"""Every engine gives the vectors of eager fp32, each clip for itself, and says in which precision it ran."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.data import Dataset
from duskmatch.embedding import Embedder, engines
from duskmatch.embedding.engines import choose_engine, in_batches
from duskmatch.embedding.folding import at_test
from duskmatch.embedding.run import load_model
from duskmatch.errors import FrameError, SettingsError
from duskmatch.evaluation import load_embeddings
from duskmatch.machine import fast_bf16

OPTIONAL = ("openvino", "onnxruntime")
ALL = ("torch", *OPTIONAL)
FASTEST = engines.FASTEST  # as users have it: the tests' conftest puts torch there


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUSKMATCH_CACHE", str(cache))


@pytest.fixture(scope="module")
def expected(whole_run: Path, people: Dataset) -> np.ndarray:
    """The vectors of the model as it was trained: unfolded, eager, fp32."""
    model, settings, _ = load_model(whole_run)
    return Embedder(model, settings, device="cpu").embed(people.test).vectors


def need(engine: str) -> None:
    if lacking := engines.missing_packages(engine):  # not importorskip: it would import them with their telemetry
        pytest.skip(f"{', '.join(lacking)} not installed")


@pytest.mark.parametrize("engine", ALL)
def test_every_engine_gives_the_vectors_of_eager_fp32_in_order(engine, whole_run, people, expected):
    need(engine)
    embedder = load_embedder(whole_run, device="cpu", engine=engine)
    found = embedder.embed(people.test)
    assert np.abs(found.vectors - expected).max() < 2e-5
    assert [str(s) for s in found.sources] == [t.tracklet_id for t in people.test]
    assert found.meta["precision"] == "fp32" and found.meta["engine"] == engine
    facts = embedder.facts()
    assert facts["precision"] == "fp32" and facts["engine"] == engine
    assert engine in facts["versions"] and facts["flops"] > 1e6
    assert facts["parameters"]["training"] > facts["parameters"]["test"]


@pytest.mark.parametrize("engine", ALL)
def test_no_vector_depends_on_what_shares_its_batch(engine, whole_run, people):
    need(engine)
    embedder = load_embedder(whole_run, device="cpu", engine=engine)
    together = embedder.embed(people.test).vectors
    mixed = embedder.embed(people.test[::-1]).vectors[::-1]
    alone = np.concatenate([embedder.embed([t]).vectors for t in people.test[:3]])
    if engine in OPTIONAL:  # one clip at a time: the same to the last bit
        assert np.array_equal(together, mixed) and np.array_equal(together[:3], alone)
    assert np.allclose(together, mixed, atol=1e-5) and np.allclose(together[:3], alone, atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bf16_is_close_and_is_said(engine, whole_run, people, expected):
    need(engine)
    embedder = load_embedder(whole_run, device="cpu", engine=engine, precision="bf16")
    found = embedder.embed(people.test)
    really = "bf16" if engine == "torch" or fast_bf16(torch.device("cpu")) else "fp32"
    assert found.meta["precision"] == embedder.facts()["precision"] == really
    if really == "bf16":
        assert np.abs(found.vectors - expected).max() > 1e-5  # it is not fp32 under another name
    assert (found.vectors * expected).sum(axis=1).min() > 0.995


COMPILED = """
import sys
import numpy as np
from duskmatch import load_embedder, open_dataset
test = open_dataset(sys.argv[2]).test
embedder = load_embedder(sys.argv[1], device="cpu", engine="torch-compiled")
np.save(sys.argv[3], embedder.embed([test[int(i)] for i in sys.argv[4:]]).vectors)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # a cold compiler on a busy machine
def test_compiled_torch_gives_the_same_vectors(whole_run, people, expected, tmp_path):
    by_day = [i for i, tracklet in enumerate(people.test) if tracklet.modality == "visible"][:5]
    # a process of its own: the compiler crashes in one in which OpenVINO has run
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COMPILED, str(whole_run), str(people.root), str(tmp_path / "found.npy")]
    done = subprocess.run([*command, *map(str, by_day)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.abs(np.load(tmp_path / "found.npy") - expected[by_day]).max() < 2e-5


def test_folding_keeps_the_vectors_and_drops_what_only_trains(whole_run, people):
    model, settings, _ = load_model(whole_run)
    clips = torch.rand(2, 2, 3, 96, 48)
    with torch.no_grad():
        before = model.embed(clips, "infrared")
        n_before = sum(p.numel() for p in model.parameters())
        at_test(model)
        assert torch.allclose(model.embed(clips, "infrared"), before, atol=1e-5)
    assert sum(p.numel() for p in model.parameters()) < 0.7 * n_before
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules())
    assert settings.model.embedding == "both"


def test_bad_frames_stop_or_are_counted_with_frames_read_ahead(whole_run, people, tmp_path):
    need("openvino")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    tracklets = list(people.test)
    tracklets[4] = replace(tracklets[4], frames=(broken,))
    with pytest.raises(FrameError, match=r"broken\.jpg"):
        load_embedder(whole_run, device="cpu", engine="openvino").embed(tracklets)
    embedder = load_embedder(whole_run, device="cpu", engine="openvino", on_bad_frame="skip")
    found, account = embedder.embed_with_account(tracklets)
    assert [str(s) for s in found.sources] == [t.tracklet_id for i, t in enumerate(tracklets) if i != 4]
    assert list(account.bad_frames.frames) == [str(broken)]


def test_a_second_start_reads_the_graph_that_the_first_made(whole_run, people, tmp_path, monkeypatch):
    need("openvino")
    monkeypatch.setenv("DUSKMATCH_CACHE", str(tmp_path))
    first = load_embedder(whole_run, device="cpu", engine="openvino").embed(people.test[:1]).vectors
    monkeypatch.setattr("duskmatch.embedding.loading.to_openvino", lambda *_: pytest.fail("made again"))
    second = load_embedder(whole_run, device="cpu", engine="openvino").embed(people.test[:1]).vectors
    assert np.array_equal(first, second)
    (network,) = (tmp_path / "graphs").iterdir()
    modality = people.test[0].modality
    assert {p.name for p in network.iterdir()} == {f"{modality}.xml", f"{modality}.bin"}
    assert network.stat().st_mode & 0o077 == 0


def test_another_network_gets_another_graph(whole_run, people):
    need("openvino")
    trained = load_embedder(whole_run, device="cpu", engine="openvino").embed(people.test[:1]).vectors
    before = load_embedder(whole_run, device="cpu", engine="openvino", untrained=True).embed(people.test[:1]).vectors
    assert not np.allclose(trained, before, atol=1e-3)


def test_only_the_latest_networks_are_kept(tmp_path, monkeypatch):
    from duskmatch.embedding.cache import KEPT, cached

    monkeypatch.setenv("DUSKMATCH_CACHE", str(tmp_path))
    for n in range(KEPT + 2):
        cached(f"network{n}", "graph", lambda path: path.write_text("graph"))
        os.utime(tmp_path / "graphs" / f"network{n}", (n + 1, n + 1))
    assert len(list((tmp_path / "graphs").iterdir())) <= KEPT + 1
    assert not (tmp_path / "graphs" / "network0").exists()


def test_a_cache_that_cannot_be_written_is_said_and_not_needed(tmp_path, monkeypatch, caplog):
    from duskmatch.embedding.cache import cached

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DUSKMATCH_CACHE", str(tmp_path / "file"))
    assert cached("key", "graph", lambda path: path.write_text("graph")).read_text() == "graph"
    assert "the graph cannot be kept for the next start" in caplog.text


def test_auto_takes_the_fastest_that_is_installed_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(engines, "FASTEST", FASTEST)
    monkeypatch.setattr(engines, "installed", lambda package: package != "openvino")
    with caplog.at_level(logging.INFO, "duskmatch"):
        assert choose_engine("auto", "fp32", "cpu") == "onnxruntime"
    assert caplog.messages == ["engine: onnxruntime, fp32 (auto: the fastest of onnxruntime, torch)"]
    assert choose_engine("auto", "bf16", "cpu") == "torch"  # onnxruntime has none
    monkeypatch.setattr(engines, "installed", lambda package: True)
    assert choose_engine("auto", "bf16", "cpu") == "openvino"


@pytest.mark.parametrize(
    ("engine", "precision", "device", "message"),
    [
        (
            *("toaster", "fp32", "cpu"),
            "--engine must be auto or one of torch, torch-compiled, openvino, onnxruntime; got toaster",
        ),
        ("torch", "fp8", "cpu", "--precision must be one of fp32, bf16, int8; got fp8"),
        (
            *("onnxruntime", "bf16", "cpu"),
            "--engine onnxruntime has no bf16; use --precision fp32 or one of torch, torch-compiled, openvino",
        ),
        (
            *("torch", "int8", "cpu"),
            "--precision int8 needs a network calibrated on real tracklets; run `duskmatch export RUN --format "
            "openvino --precision int8 --data DATASET --out DIR` and give DIR in place of RUN",
        ),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(engine, precision, device, message):
    with pytest.raises(SettingsError) as error:
        choose_engine(engine, precision, device)
    assert str(error.value) == message


def test_an_engine_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setattr(engines, "installed", lambda package: False)
    with pytest.raises(SettingsError, match=r"^--engine openvino needs openvino; pip install 'duskmatch\[export\]'$"):
        choose_engine("openvino", "fp32", "cpu")


def test_a_gpu_is_not_for_openvino():
    with pytest.raises(SettingsError, match="--engine openvino runs on the CPU; got --device cuda; use --engine torch"):
        engines.check_device("openvino", "cuda")


def test_groups_have_one_shape_and_the_last_is_filled_up():
    frames = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1, 1)
    groups = in_batches(frames, 2)
    assert [g.ravel().tolist() for g in groups] == [[0, 1], [2, 3], [4, 4]]


def test_engines_report_nothing_to_anybody(tmp_path):
    """openvino sends an event at each import where its telemetry package is found; ours must find none."""
    need("openvino")
    code = (
        "import socket, sys; from duskmatch.embedding.engines import quiet_import\n"
        "socket.socket.connect = lambda *a: print('CONNECTED')\n"
        "socket.getaddrinfo = lambda *a, **k: print('LOOKED UP')\n"
        "ov = quiet_import('openvino'); quiet_import('nncf'); import openvino.tools.ovc as o\n"
        "print(type(o.telemetry).__module__, sys.modules['openvino_telemetry'])"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=home)
    assert list(tmp_path.iterdir()) == []  # where it left an identifier
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]


def test_the_command_line_says_engine_and_precision(whole_run, people, tmp_path, capsys):
    need("openvino")
    out = tmp_path / "e.safetensors"
    command = ["embed", str(whole_run), f"{people.root}:query", "--out", str(out), "--json"]
    assert main([*command, "--engine", "openvino", "--precision", "fp32"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["engine"], said["precision"]) == ("openvino", "fp32")
    assert load_embeddings(out).meta["engine"] == "openvino"
    assert main([*command, "--engine", "toaster", "--overwrite"]) == 2
    assert capsys.readouterr().err.startswith("duskmatch: --engine must be auto or one of")


def test_a_score_says_the_precision_that_was_used(whole_run, people, tmp_path, capsys):
    command = ["evaluate", str(whole_run), "--data", str(people.root), "--split", "validation", "--no-report", "--json"]
    assert main([*command, "--out", str(tmp_path / "s.json"), "--engine", "torch", "--precision", "bf16"]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "bf16"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's signal stacks")
def test_a_signal_after_openvino_finds_its_handler(whole_run, people):
    need("openvino")
    load_embedder(whole_run, device="cpu", engine="openvino").embed(people.test[:2])
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]
