"""Exports in every format: near torch in fp32, said to be what they are, refused where they are not good."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.data import Dataset
from duskmatch.embedding import engines, export
from duskmatch.embedding.exported import read_export
from duskmatch.embedding.graphs import read_openvino
from duskmatch.embedding.onnx_engine import OnnxEngine
from duskmatch.embedding.quantisation import around_the_convolutions
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.evaluation import count_test_reads, load_embeddings

INT8 = [pytest.param(kind, "int8", marks=pytest.mark.slow) for kind in ("openvino", "onnx")]
KINDS = [("openvino", "fp32"), ("onnx", "fp32"), ("torch", "fp32"), ("torch", "bf16"), *INT8]
# Six iterations leave a network whose people lie side by side: what int8 moves there says nothing of a trained one.
WIDE = {"cosine": 0.8, "rank1": 1.0, "mAP": 1.0}


def need(kind: str, precision: str) -> None:
    packages = {"openvino": ("openvino",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}[kind]
    for package in (*packages, "nncf") if precision == "int8" else packages:
        if not engines.installed(package):  # not importorskip: it would import them with their telemetry
            pytest.skip(f"{package} is not installed")


@pytest.fixture(scope="module")
def made(whole_run: Path, people: Dataset, tmp_path_factory: pytest.TempPathFactory):
    """The exported folder of each kind, made once."""
    root = tmp_path_factory.mktemp("exports")

    def folder(kind: str, precision: str, batch: str = "1") -> Path:
        need(kind, precision)
        out = root / f"{kind}-{precision}-{batch}"
        if not out.exists():
            words = ["export", str(whole_run), "--format", kind, "--precision", precision, "--batch", batch]
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(export.TOLERANCE, "int8", WIDE)
                assert main([*words, "--data", str(people.root), "--out", str(out), "-q"]) == 0
        return out

    return folder


@pytest.mark.parametrize(("kind", "precision"), KINDS)
def test_an_export_is_near_torch_in_fp32_and_says_what_it_is(kind, precision, made, whole_run, people):
    folder = made(kind, precision)
    said = json.loads((folder / "export.json").read_text())
    assert said["verified"] is True and said["format"] == kind and said["batch"] == 1
    assert said["input"]["shape"] == [1, 2, 3, 96, 48] and said["input"]["dtype"] == "uint8"
    seen = said["verification"]
    assert seen["n_clips"] >= 8 and seen["clips"] == f"training tracklets of {people.name}"
    assert seen["cosine_least"] >= said["tolerance"]["cosine"] and seen["longest_off"] < 1e-3
    assert set(seen["scores"]) == {"infrared_to_visible", "visible_to_infrared"} and seen["split"] == "validation"
    embedder = load_embedder(folder, device="cpu")
    found = embedder.embed(people.test)
    assert found.meta["precision"] == said["precision"] == embedder.facts()["precision"]
    assert found.vectors.shape[1] == said["output"]["shape"][1]
    reference = load_embedder(whole_run, device="cpu")
    cosine = (found.vectors * reference.embed(people.test).vectors).sum(axis=1)
    assert cosine.min() >= said["tolerance"]["cosine"]
    if precision == "int8":
        assert said["precision"] == "int8" and cosine.max() < 0.999999  # it is not fp32 under another name
    facts, own = embedder.facts(), reference.facts()
    assert (facts["parameters"], facts["flops"], facts["seed"]) == (own["parameters"], own["flops"], own["seed"])
    assert facts["checkpoint"] == own["checkpoint"] and facts["trained_on"] == own["trained_on"]


@pytest.mark.slow
def test_int8_weights_leave_room_for_sums_of_16_bits(made):
    """Half of their range: where a CPU has no VNNI, two products of full range overflow when they are added."""
    import openvino

    folder = made("openvino", "int8")
    graphs = [openvino.Core().read_model(str(folder / f"{modality}.xml")) for modality in ("visible", "infrared")]
    nodes = [node for graph in graphs for node in graph.get_ops() if node.get_type_name() == "Constant"]
    weights = [node.get_data() for node in nodes if str(node.get_element_type()) == "<Type: 'int8_t'>"]
    assert len(weights) > 20 and max(abs(tensor.astype(int)).max() for tensor in weights) <= 64


@pytest.mark.parametrize(("kind", "batch"), [("openvino", "3"), ("onnx", "dynamic")])
def test_graphs_of_any_batch_give_the_same_vectors(kind, batch, made, people):
    folder = made(kind, "fp32", batch)
    assert read_export(folder).batch == (None if batch == "dynamic" else 3)
    one = load_embedder(made(kind, "fp32"), device="cpu").embed(people.test)
    some = load_embedder(folder, device="cpu").embed(people.test)  # batches of 5: groups of 3 and 2, or of 5
    assert np.abs(one.vectors - some.vectors).max() < 2e-5


def test_an_exported_folder_stands_in_for_a_run(made, people, tmp_path, capsys):
    folder = made("torch", "fp32")
    out = tmp_path / "e.safetensors"
    assert main(["embed", str(folder), f"{people.root}:query", "--out", str(out), "--json"]) == 0
    assert load_embeddings(out).meta["checkpoint"] == read_export(folder).source["header"]["checkpoint"]
    capsys.readouterr()
    scores = ["evaluate", str(folder), "--data", str(people.root), "--no-report", "--out", str(tmp_path / "s.json")]
    assert main([*scores, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["precision"] == "fp32" and document["untrained"] is not None
    sides = ["--query", f"{people.root}:query", "--gallery", f"{people.root}:gallery", "--camera-rule", "none"]
    assert main(["rank", str(folder), *sides, "--out", str(tmp_path / "r"), "-q"]) == 0


def test_without_data_generated_clips_are_compared(whole_run, tmp_path, capsys):
    assert main(["export", str(whole_run), "--format", "torch", "--out", str(tmp_path / "x")]) == 0
    assert "8 clips; generated, smooth, without noise" in capsys.readouterr().out
    assert "scores" not in json.loads((tmp_path / "x" / "export.json").read_text())["verification"]


def test_what_is_beyond_its_tolerance_is_marked_and_not_loaded(whole_run, people, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(export.TOLERANCE, "bf16", {"cosine": 0.9999999, "rank1": 0.0, "mAP": 0.0})
    out = tmp_path / "x"
    command = ["export", str(whole_run), "--format", "torch", "--precision", "bf16", "--data", str(people.root)]
    assert main([*command, "--out", str(out), "-q"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "did not pass verification and cannot be loaded: cosine 0.99" in said
    assert json.loads((out / "export.json").read_text())["verified"] is False
    with pytest.raises(CheckpointError, match="says verified: false; export again, or in a wider number format"):
        load_embedder(out)


def test_a_full_disk_is_refused_in_one_line(whole_run, tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert main(["export", str(whole_run), "--format", "torch", "--out", str(tmp_path / "out")]) == 2
    assert "the disk is full" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("moved", [-0.02, 0.02, float("nan")])
def test_scores_that_moved_are_beyond_the_tolerance(made, moved):
    good = read_export(made("torch", "fp32"))
    score = {"rank1": 0.5, "rank1_fp32": 0.5, "mAP": 0.4 + moved, "mAP_fp32": 0.4, "n_queries": 1000}
    good.verification["scores"] = {"visible_to_infrared": score}
    (wrong,) = export.violations(good)
    assert wrong.startswith("mAP visible_to_infrared moved by") and wrong.endswith("at most 0.10 are allowed")
    good.verification["scores"] = {"visible_to_infrared": {**score, "mAP": 0.4, "rank1": 0.501}}
    assert export.violations(good) == []  # one query of a thousand


def test_a_vector_with_nan_is_beyond_every_tolerance(made):
    good = read_export(made("torch", "fp32"))

    def broken(frames, modality):
        return np.full((len(frames), 4), np.nan, np.float32)

    clips = export.generated_clips(good.settings, 1)
    good.verification = export.compare(broken, lambda frames, modality: np.ones((len(frames), 4), np.float32), clips)
    assert good.verification["cosine_least"] == -1 and len(export.violations(good)) == 2
    json.dumps(good.verification, allow_nan=False)


def test_test_people_are_read_only_when_asked_and_counted(whole_run, people, tmp_path):
    command = ["export", str(whole_run), "--format", "torch", "--data", str(people.root), "-q"]
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    assert count_test_reads(people.fingerprint) == 0
    assert main([*command, "--out", str(tmp_path / "b"), "--split", "test"]) == 0
    assert count_test_reads(people.fingerprint) == 1


def test_a_changed_file_is_refused(made, people, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in made("torch", "fp32").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not the file that was verified; export again"):
        load_embedder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing; export again"):
        load_embedder(folder)


def edited(made, folder, **changes):
    """A copy of the folder whose export.json has these entries in the place of its own."""
    for file in made("torch", "fp32").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tree = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**tree, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"batch": 0}, r"batch: Input should be greater than or equal to 1"),
        ({"batch": 7}, r"input.shape must be \[7, .*, as batch and settings.data say; got \[1, "),
        ({"n_pids": -1}, "n_pids: "),
        ({"n_pids": 10**30}, "n_pids: "),
        ({"flops": 10**400}, "flops: "),
        ({"parameters": {"training": -1, "test": 5}}, "parameters.training: "),
        ({"source": {}}, "source must hold the header of the RUN's weights"),
        ({"embedding": "x"}, "export.json must say embedding .*; got x"),
        ({"sha256": {}}, "export.json must hold the SHA-256 of model.safetensors and does not; export again"),
        ({"output": {"name": "x", "shape": [1, 2, 3], "dtype": "float32", "what": ""}}, "output.shape must be "),
    ],
)
def test_an_export_json_that_cannot_be_is_refused(changes, why, made, tmp_path):
    with pytest.raises(CheckpointError, match=why):
        load_embedder(edited(made, tmp_path, **changes))


def test_other_frames_than_the_graphs_are_refused(made, tmp_path):
    settings = json.loads((made("torch", "fp32") / "export.json").read_text())["settings"]
    for frames in (settings["data"]["frames_per_clip"] + 1, 10**9):
        settings["data"]["frames_per_clip"] = frames
        with pytest.raises(CheckpointError, match=r"export\.json is not an export.json of this version"):
            load_embedder(edited(made, tmp_path, settings=settings))


@pytest.mark.parametrize("library", ["openvino", "onnxruntime"])
def test_a_graph_that_its_library_cannot_read_is_refused_by_name(library, tmp_path):
    pytest.importorskip(library)
    file = tmp_path / ("visible.xml" if library == "openvino" else "visible.onnx")
    file.write_bytes(b"<net>")
    with pytest.raises(CheckpointError, match=rf"{file.name} is damaged or no graph: .*; delete it or export again"):
        if library == "openvino":
            read_openvino(lambda: file)
        else:
            OnnxEngine({"visible": lambda: file}, "fp32")(np.zeros((1, 1, 3, 8, 8), np.uint8), "visible")


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schema_version": 2}', "[]"])
def test_a_damaged_export_json_is_refused_in_one_line(text, tmp_path, capsys):
    (tmp_path / "export.json").write_text(text)
    assert main(["embed", str(tmp_path), "nowhere", "--out", str(tmp_path / "e.safetensors")]) == 2
    with pytest.raises(CheckpointError, match=r"export\.json is not an export.json of this version: .*; export again"):
        load_embedder(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "tflite"), "--format must be one of onnx, openvino, torch; got tflite"),
        (("--format", "onnx", "--precision", "bf16"), "--format onnx must be with --precision fp32 or int8; got bf16"),
        (
            ("--format", "torch", "--precision", "int8"),
            "--format torch must be with --precision fp32 or bf16; got int8",
        ),
        (
            ("--format", "openvino", "--precision", "int8"),
            "--precision int8 needs --data DATASET: its training tracklets set the ranges; name one",
        ),
        (("--format", "torch", "--batch", "0"), "--batch must be dynamic or a number from 1 to 4096; got 0"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_read(words, message, tmp_path, capsys):
    assert main(["export", "nowhere", *words, "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == f"duskmatch: {message}\n"
    assert not (tmp_path / "x").exists()


def test_a_missing_package_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engines, "installed", lambda package: False)
    assert main(["export", "nowhere", "--format", "onnx", "--out", str(tmp_path / "x")]) == 2
    said = "--engine onnxruntime needs onnxruntime, onnx, onnxscript; pip install 'duskmatch[export]'"
    assert capsys.readouterr().err == f"duskmatch: {said}\n"


def test_an_export_is_run_by_its_own_engine_in_its_own_precision(made):
    folder = made("torch", "fp32")
    with pytest.raises(SettingsError, match="holds format torch, for --engine torch or torch-compiled; got openvino"):
        load_embedder(folder, engine="openvino")
    with pytest.raises(SettingsError, match="was exported in fp32; got --precision bf16; leave it out"):
        load_embedder(folder, precision="bf16")


def test_what_lies_before_and_behind_the_convolutions_stays_in_fp32():
    """input -> less -> conv1 -> relu -> conv2 -> pool -> norm, a branch from relu to pool: less, pool and norm."""
    nodes = [
        ("input", "Parameter", ["less"]),
        ("less", "Subtract", ["conv1"]),
        ("conv1", "Convolution", ["relu"]),
        ("relu", "Relu", ["conv2", "pool"]),
        ("conv2", "Convolution", ["pool"]),
        ("pool", "ReduceMean", ["norm"]),
        ("norm", "NormalizeL2", ["out"]),
        ("out", "Result", []),
    ]
    assert sorted(around_the_convolutions(nodes)) == ["less", "norm", "pool"]
