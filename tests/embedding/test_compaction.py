"""The projection of compact vectors against literal sums, and a compacted RUN in a RUN's place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from duskmatch.cli import main
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.embedding import load_embedder
from duskmatch.embedding.compaction import POWER, RIDGE, Scatter, check_width, completed, learn
from duskmatch.errors import CheckpointError, DataError, SettingsError
from duskmatch.gallery.store.model import fingerprint
from duskmatch.models.building import build_model
from duskmatch.records import MODALITIES, Embeddings
from duskmatch.weights import HEADER_KEY, read_weights
from tests.data.tree import Tree
from tests.oracle.compaction import learned, projected


def drawn(n: int, d: int, seed: int = 0) -> Embeddings:
    """Unit vectors with axes of unequal variance and a mean of each modality."""
    rng = np.random.default_rng(seed)
    modalities = [MODALITIES[i % 2] for i in range(n)]
    vectors = rng.normal(size=(n, d)) * 0.6 ** np.arange(d) + 0.3 * np.array([[m == "visible"] for m in modalities])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(unit, np.arange(n) // 4, np.zeros(n), modalities)


def scattered(embeddings: Embeddings, block: int = 7) -> Scatter:
    scatter = Scatter(len(embeddings), embeddings.vectors.shape[1])
    for begin in range(0, len(embeddings), block):
        part = embeddings.take(range(begin, min(begin + block, len(embeddings))))
        scatter.add(part.vectors, part.pids, part.modalities)
    return scatter


@pytest.mark.parametrize(("n", "d"), [(64, 6), (10, 16)])  # more rows than numbers in a row, and fewer
def test_the_projection_is_that_of_literal_sums(n, d):
    embeddings = drawn(n, d)
    expected = learned(embeddings.vectors, embeddings.pids, embeddings.modalities, 4, POWER, RIDGE)
    found = learn(scattered(embeddings), 4)
    assert found.n_learned == 4
    for row, other in zip(found.weight, expected, strict=True):
        assert np.allclose(row, other, atol=1e-3) or np.allclose(row, -other, atol=1e-3)


def test_a_projection_is_that_of_a_literal_loop_and_its_first_rows_are_the_smaller_one():
    embeddings = drawn(40, 9)
    found = learn(scattered(embeddings), 5)
    means = dict(zip(MODALITIES, found.means, strict=True))
    expected = [
        projected(x, means[m], found.weight[:3]) for x, m in zip(embeddings.vectors, embeddings.modalities, strict=True)
    ]
    assert np.allclose(found.narrowed(3)(embeddings).vectors, expected, atol=1e-5)
    assert np.allclose(np.abs(learn(scattered(embeddings), 3).weight), np.abs(found.weight[:3]), atol=1e-4)


def test_axes_beyond_the_training_people_are_at_right_angles():
    embeddings = drawn(6, 20)
    found = learn(scattered(embeddings), 10)
    assert found.width == 10 and found.n_learned == 4  # six rows, less two means
    assert np.linalg.matrix_rank(found.weight, tol=1e-3) == 10
    assert np.allclose(found.weight[:4] @ found.weight[4:].T, 0, atol=1e-3)  # what was learned comes first
    assert torch.allclose(completed(torch.eye(5)[:2], 5) @ torch.eye(5)[:2].T, torch.eye(5)[:, :2], atol=1e-6)


def test_equal_vectors_and_one_modality_alone_are_refused():
    same = Scatter(4, 3)
    same.add(np.ones((4, 3), np.float32), np.arange(4) // 2, ["visible", "visible", "infrared", "infrared"])
    with pytest.raises(DataError, match="the embeddings of training people are all equal; take a RUN that was trained"):
        learn(same, 2)
    one = Scatter(4, 3)
    one.add(np.eye(4, 3, dtype=np.float32), np.arange(4), ["visible"] * 4)
    with pytest.raises(DataError, match="must be seen in both modalities; no infrared tracklet was embedded"):
        learn(one, 2)
    with pytest.raises(SettingsError, match="--width must be from 1 to 2, below the 3 of the RUN; got 3"):
        check_width(3, 3)


@pytest.fixture(scope="module")
def compacted(people, whole_run, tmp_path_factory) -> Path:
    """RUN2 of the whole run: 20 numbers instead of 448."""
    out = tmp_path_factory.mktemp("compacted") / "run"
    command = ["compact", str(whole_run), "--data", str(people.root), "--width", "20", "--out", str(out), "-q"]
    assert main(command) == 0
    return out


def test_a_compacted_run_embeds_as_the_projection_of_its_runs_vectors(people, whole_run, compacted):
    whole, short = load_embedder(whole_run), load_embedder(compacted)
    layer = read_weights(compacted / "model.safetensors").tensors
    assert short.settings.model.compact_width == 20 and whole.settings.model.compact_width is None
    before, after = whole.embed(people.test), short.embed(people.test)
    for vector, modality, found in zip(before.vectors, before.modalities, after.vectors, strict=True):
        mean, weight = (layer[f"compaction.{name}"].numpy() for name in (f"mean_{modality}", "weight"))
        assert np.allclose(found, projected(vector, mean, weight), atol=1e-4)
    assert short.facts()["embedding"] == "both, compacted to 20"
    assert short.cost()["parameters"]["test"] == whole.cost()["parameters"]["test"] + layer["compaction.weight"].numel()


def test_the_table_holds_what_evaluate_finds(people, compacted, tmp_path, capsys):
    document = json.loads((compacted / "compact.json").read_text())
    full = document["full_width"]
    assert [row["width"] for row in document["widths"]] == [full, *(w for w in (256, 128) if w < full), 20]
    assert document["synthetic"] is True and document["not_measured"] is None and document["people"] == 3
    for name in ("camera_rule", "frames_per_clip", "sampling", "split"):
        assert document["protocol"][name] is not None
    out = tmp_path / "scores.json"
    command = ["evaluate", str(compacted), "--data", str(people.root), "--split", "validation", "--out", str(out)]
    assert main([*command, "--no-report", "-q"]) == 0
    assert "SYNTHETIC" in capsys.readouterr().out
    scores = json.loads(out.read_text())
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        assert scores[direction]["mAP"] == pytest.approx(document["widths"][-1][direction]["mAP"], abs=1e-9)
        assert scores[direction]["rank1"] == document["widths"][-1][direction]["rank1"]


def test_the_table_is_printed_and_says_synthetic(people, whole_run, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["compact", str(whole_run), "--data", str(people.root), "--width", "130", "--out", str(out), "-q"]) == 0
    said = capsys.readouterr().out
    assert "SYNTHETIC data" in said and "vectors of 130 numbers instead of 448" in said
    assert "axes were learned, the others are random" in said  # 16 tracklets do not determine 130 axes
    lines = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert [line[0] for line in lines[-4:]] == ["448", "256", "130", "128"] and lines[-4][-1] == "+0.00"
    again = ["compact", str(whole_run), "--data", str(people.root), "--width", "20", "--out", str(out), "-q"]
    assert main(again) == 2 and "must be empty; it holds files" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0 and load_embedder(out).settings.model.compact_width == 20


def test_a_compacted_run_is_another_model_and_its_old_run_stays_the_same(whole_run, compacted):
    old, new = (read_weights(run / "model.safetensors") for run in (whole_run, compacted))
    assert fingerprint(old.header) != fingerprint(new.header)
    other = {**new.header, "compacted": {**new.header["compacted"], "data": {"name": "others"}}}
    assert fingerprint(other) != fingerprint(new.header)
    assert new.header["compacted"]["from"]["width"] == 448
    for name, tensor in old.tensors.items():
        assert torch.equal(tensor, new.tensors[name])
    older = {**old.header, "settings": {**old.header["settings"]}}
    older["settings"]["model"] = {k: v for k, v in old.header["settings"]["model"].items() if k != "compact_width"}
    assert load_settings("tiny").model.compact_width is None and "compact_width" not in older["settings"]["model"]


def test_the_untrained_network_of_a_compacted_run_has_its_width(people, compacted):
    found = load_embedder(compacted, untrained=True).embed(people.test[:2])
    assert found.vectors.shape == (2, 20) and np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


def test_training_refuses_a_compacted_run(people, compacted, capsys):
    rule = "model.compact_width must be null in training; got 20; a compacted RUN cannot be trained or resumed"
    for command in (["--out", str(compacted), "--resume"], ["--out", str(compacted) + "-new", "--preset", "tiny"]):
        setting = [] if "--resume" in command else ["--model.compact_width", "20"]
        assert main(["train", "--data", str(people.root), *command, *setting, "-q"]) == 2
        assert rule in capsys.readouterr().err
    with pytest.raises(SettingsError, match=r"must be from 1 to \d+, below the embedding's width; got 9999"):
        build_model(load_settings("tiny", overrides=["model.compact_width=9999"]), 4)


@pytest.mark.parametrize(
    ("width", "message"),
    [
        ("448", "--width must be from 1 to 447, below the 448 of the RUN; got 448"),
        ("0", "--width must be from 1 to 447, below the 448 of the RUN; got 0"),
        ("many", "argument --width: invalid int value: 'many'"),
    ],
)
def test_a_width_that_shortens_nothing_is_refused(people, whole_run, tmp_path, capsys, width, message):
    command = [
        "compact",
        str(whole_run),
        "--data",
        str(people.root),
        "--width",
        width,
        "--out",
        str(tmp_path / "run"),
        "-q",
    ]
    try:
        status = main(command)
    except SystemExit as error:  # argparse's own
        status = error.code
    said = capsys.readouterr().err
    assert status == 2 and message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_runs_that_cannot_be_compacted_are_refused(people, compacted, tmp_path, capsys):
    out = ["--data", str(people.root), "--width", "10", "--out", str(tmp_path / "run")]
    assert main(["compact", str(compacted), *out]) == 2
    assert "is compacted already, to 20 numbers; compact the RUN it was made of" in capsys.readouterr().err
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "export.json").write_text("{}")
    assert main(["compact", str(exported), *out]) == 2
    assert "must be a RUN; it is an exported folder; compact its RUN and export that" in capsys.readouterr().err
    assert main(["compact", str(tmp_path / "none"), *out]) == 2
    assert "is no RUN folder" in capsys.readouterr().err


def test_data_without_training_people_are_refused(whole_run, tmp_path, capsys):
    root = Tree(
        tmp_path / "t", people={"train": (), "test": (5, 6)}, lengths=(12,), size=(96, 48), duskwalk=True
    ).write()
    if not open_dataset(root).train:
        command = ["compact", str(whole_run), "--data", str(root), "--width", "10", "--out", str(tmp_path / "run")]
        assert main(command) == 2
        assert "must have visible training tracklets; it has none; choose another" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: t.pop("compaction.weight"), r"lacks compaction\.weight"),
        (lambda t, h: t["compaction.weight"].fill_(torch.nan), r"compaction\.weight holds NaN or infinity"),
        (lambda t, h: t.update({"compaction.weight": torch.zeros(3, 448)}), r"compaction\.weight must be \(20, 448\)"),
        (lambda t, h: h["settings"]["model"].update(compact_width=None), r"holds compaction\.\w+, which this network"),
        (lambda t, h: h["settings"]["model"].update(compact_width=0), "its header does not hold settings"),
        (lambda t, h: h["settings"]["model"].update(compact_width=10**9), "its header does not hold settings"),
    ],
)
def test_a_damaged_projection_is_refused_by_name(compacted, tmp_path, change, message):
    run = shutil.copytree(compacted, tmp_path / "run")
    weights = read_weights(run / "model.safetensors")
    tensors, header = dict(weights.tensors), dict(weights.header)
    change(tensors, header)
    save_file(tensors, run / "model.safetensors", metadata={HEADER_KEY: json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_embedder(run)


def test_a_compacted_run_is_exported_with_its_last_layer(people, compacted, tmp_path):
    out = tmp_path / "exported"
    command = ["export", str(compacted), "--format", "torch", "--data", str(people.root), "--out", str(out), "-q"]
    assert main(command) == 0
    export = json.loads((out / "export.json").read_text())
    assert (
        export["verified"] and export["output"]["shape"] == [1, 20] and export["embedding"] == "both, compacted to 20"
    )
    a, b = (load_embedder(folder).embed(people.test[:4]).vectors for folder in (compacted, out))
    assert np.allclose(a, b, atol=1e-4)
