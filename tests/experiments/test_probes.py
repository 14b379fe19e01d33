"""`reproduce probes`: planted labels are read, shuffled ones are not, and each layer that is there has its figures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from duskmatch.data import Dataset, open_dataset
from duskmatch.embedding.layers import LAYERS, load_whole
from duskmatch.errors import DataError
from duskmatch.evaluation import count_test_reads
from duskmatch.experiments.probes.asking import answers_of, prepare, with_shuffled_labels
from duskmatch.experiments.probes.document import ProbesDocument
from duskmatch.experiments.probes.experiment import probes
from duskmatch.experiments.probes.nuisances import Sample
from duskmatch.experiments.probes.places import with_places
from duskmatch.experiments.probes.words import probes_charts, probes_table
from duskmatch.records import MODALITIES, Tracklet
from tests.data.tree import Tree
from tests.experiments.conftest import Call, write_set
from tests.training.headers import with_data


@pytest.fixture(scope="session")
def elsewhere(place: Path) -> Path:
    return write_set(place / "elsewhere", vary="background", severity=3)


def everybody(n_people: int = 60, n_cameras: int = 4) -> list[Sample]:
    """Each person once by three of the cameras in each modality."""
    made = []
    for pid in range(n_people):
        for modality in MODALITIES:
            for camid in range(1, n_cameras + 1):
                if camid != 1 + pid % n_cameras:
                    tracklet = Tracklet((Path("1.jpg"),), pid, camid, modality, f"{pid} {camid} {modality}")
                    made.append(Sample(tracklet, None))
    return made


def test_a_planted_camera_is_read_and_nothing_else_is() -> None:
    made = everybody()
    asked = prepare(made, 0)
    rng = np.random.default_rng(0)
    coded = rng.standard_normal((5, 40))[[sample.tracklet.camid for sample in made]]
    vectors = rng.standard_normal((len(made), 40)) + 20 * coded
    names = [question.name for question in asked.questions if question.strata]
    found = dict(zip(names, answers_of(vectors, asked), strict=True))
    assert names == ["camera", "modality"]
    assert found["camera"].value == 1.0 and found["camera"].interval() == (1.0, 1.0)
    assert abs(found["modality"].value - 0.5) < 0.08


def test_shuffled_labels_are_at_chance_however_plain_the_label_was() -> None:
    made = everybody()
    coded = 20 * np.eye(5)[[sample.tracklet.camid for sample in made]]
    vectors = coded + np.random.default_rng(1).standard_normal(coded.shape)
    over_seeds = []
    for seed in range(6):
        asked = prepare(made, seed)
        camera = answers_of(vectors, asked, n_shuffles=5)[0]
        low, high = camera.interval()
        assert low - 0.02 < asked.questions[0].chance < high + 0.02
        over_seeds.append(camera.value)
    assert np.mean(over_seeds) == pytest.approx(0.25, abs=0.015)


def test_shuffling_keeps_how_many_of_each_half_have_each_label() -> None:
    asked = prepare(everybody(), 3)
    stratum = asked.questions[0].strata[0]
    dealt = [with_shuffled_labels(stratum, asked, n) for n in (0, 0, 1)]
    assert (dealt[0].labels == dealt[1].labels).all() and (dealt[0].labels != dealt[2].labels).any()
    for half in (asked.first[stratum.rows], ~asked.first[stratum.rows]):
        assert sorted(dealt[0].labels[half]) == sorted(stratum.labels[half])
        assert (dealt[0].labels[half] != stratum.labels[half]).any()


def test_every_layer_has_its_figures_and_one_that_is_lacking_says_so(
    full_run: Path, plain_run: Path, base: Path, elsewhere: Path, tmp_path: Path, call: Call
) -> None:
    words = ["probes", full_run, plain_run, "--names", "all parts,plain", "--data", base, "--backgrounds", elsewhere]
    document = call(*words, "--out", tmp_path / "p")
    assert ProbesDocument.model_validate(document).synthetic
    there = {(one["run"], one["layer"]): one["width"] for one in document["layers"]}
    assert there["all parts", "sequence"] == 6 * there["all parts", "defense"] and there["all parts", "attack"] > 0
    assert there["plain", "attack"] is there["plain", "sequence"] is None
    run = {question["name"]: question for question in document["questions"]}
    assert run["truncated"]["not_run"] == "no two classes have 2 people in each half"
    posed = [name for name, question in run.items() if not question["not_run"]]
    assert posed == ["camera", "view", "occluder", "background", "modality"]
    assert run["camera"]["n_tracklets"] == 48 and run["background"]["n_tracklets"] == 96
    assert run["background"]["n_classes"] == [2] * 4 and run["background"]["chance"] == 0.5
    found = [(one["run"], one["layer"], one["probe"]) for one in document["results"]]
    layers = [(name, layer) for (name, layer), width in there.items() if width]
    assert sorted(found) == sorted((*layer, probe) for layer in layers for probe in posed)
    assert all(one["interval"][0] <= one["accuracy"] <= one["interval"][1] for one in document["results"])
    assert [(one["run"], one["probe"]) for one in document["attack_less_defense"]] == [("all parts", n) for n in posed]
    table = (tmp_path / "p" / "probes.md").read_text()
    assert table == probes_table(ProbesDocument.model_validate(document))
    lacking = [line for line in table.splitlines() if "not there" in line]
    assert len(lacking) == 2 * (len(posed) + 1) + len(posed)  # f^l and j_d of plain, and its column f^l less f_d


def test_modality_is_read_of_stems_that_were_made_apart(full_run: Path, dataset: Dataset) -> None:
    # Pictures of this set are alike by day and night; only the two stems tell them apart, once one has been changed.
    embedder = load_whole(full_run, device="cpu")
    embedder.model.stem_infrared.bn1.bias.data.add_(0.5)
    model = embedder.settings.model.model_copy(update={"weights": "start.safetensors"})
    embedder.settings = embedder.settings.model_copy(update={"model": model})
    found = probes({"changed": (embedder, load_whole(full_run, device="cpu", untrained=True))}, {"base": dataset})
    modality = {one.layer: one for one in found.results if one.probe == "modality"}
    assert modality["stem"].accuracy > 0.9 and modality["stem"].gain.value > 0.2
    assert found.began_with_weights == ["changed"]
    said = "Untrained is the start of a RUN's seed; changed began with loaded weights instead."
    assert said in probes_table(found)


def test_the_files_are_whole_and_say_synthetic(plain_run: Path, base: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "p"
    document = call("probes", plain_run, "--data", base, "--out", out)
    assert sorted(place.name for place in out.iterdir()) == ["probes.json", "probes.md", "probes.png"]
    assert json.loads((out / "probes.json").read_text()) == document
    table = (out / "probes.md").read_text()
    headings = [line for line in table.splitlines() if line.startswith("## ") and not line.startswith("## Data")]
    assert len(headings) == 9 and all("SYNTHETIC" in line for line in headings if line != "## Runs")
    assert "Not run: needs --backgrounds, the same walks before other places." in table
    picture = cv2.imread(str(out / "probes.png"))
    assert (picture < 128).any() and (picture == 255).mean() > 0.5
    charts = probes_charts(ProbesDocument.model_validate(document))
    assert len(charts) == 4 and all("SYNTHETIC" in chart.title and chart.chance for chart in charts)
    assert charts[0].rows == list(LAYERS.values())
    assert [dot is None for dot in charts[0].series[0].dots] == [False, True, False, True]


def test_a_command_repeated_gives_the_same_figures(plain_run: Path, base: Path, tmp_path: Path, call: Call) -> None:
    words = ["probes", plain_run, "--data", base, "--split", "validation", "--out"]
    first, again = (call(*words, tmp_path / name) for name in ("a", "b"))
    assert first == again and first["data"][0]["n_people"] == 4


def test_reading_test_people_is_counted_once_for_each_run_and_set(
    plain_run: Path, full_run: Path, base: Path, elsewhere: Path, tmp_path: Path, call: Call
) -> None:
    before = [count_test_reads(open_dataset(root).fingerprint) for root in (base, elsewhere)]
    words = ["probes", plain_run, full_run, "--data", base, "--backgrounds", elsewhere, "--out", tmp_path / "p"]
    document = call(*words)
    assert [one["test_reads"] for one in document["data"]] == [n + 2 for n in before]
    call("probes", plain_run, "--data", base, "--split", "validation", "--out", tmp_path / "v")
    assert count_test_reads(open_dataset(base).fingerprint) == before[0] + 2


def test_severity_0_is_the_set_itself(plain_run: Path, base: Path, elsewhere: Path, place: Path, call: Call) -> None:
    same = write_set(place / "same", vary="background", severity=0)
    words = ["--data", base, "--backgrounds", same, elsewhere, "--out", place / "p"]
    document = call("probes", plain_run, *words)
    assert [one["name"] for one in document["data"]] == ["base", "elsewhere"]


def test_refusals(plain_run: Path, base: Path, elsewhere: Path, twins: Path, tmp_path: Path, refused) -> None:
    out = ["--out", tmp_path / "p"]
    nowhere = tmp_path / "nowhere"
    assert refused("probes", nowhere, "--data", base, *out) == (
        f"{nowhere} is no RUN folder; name the folder given to `duskmatch train --out`"
    )
    assert refused("probes", plain_run, "--data", base, "--backgrounds", twins, *out) == (
        f"--backgrounds {twins} must be made with `duskmatch synth --vary background`; its duskwalk.json says vary "
        "None; leave it out"
    )
    other = write_set(tmp_path / "other", vary="background", severity=3, seed=7)
    assert refused("probes", plain_run, "--data", base, "--backgrounds", other, *out) == (
        f"--backgrounds {other} must show the walks of {base}: seed must be 0; got 7; make it with the same preset, "
        "seed and size"
    )
    large = write_set(tmp_path / "large", vary="background", severity=3, size=[192, 96])
    assert refused("probes", plain_run, "--data", base, "--backgrounds", large, *out) == (
        f"--backgrounds {large} must show the walks of {base}: size must be 96 x 48; got 192 x 96; make it with the "
        "same preset, seed and size"
    )
    words = ["--data", base, "--backgrounds", elsewhere, "--split", "validation"]
    assert refused("probes", plain_run, *words, *out) == (
        "--backgrounds show test people; --split validation has other people; leave one of them out"
    )
    twice = write_set(tmp_path / "twice", vary="background", severity=3)
    assert refused("probes", plain_run, "--data", base, "--backgrounds", elsewhere, twice, *out) == (
        f"each of --backgrounds must have its own severity; {elsewhere} and {twice} both have 3; leave one out"
    )
    assert not (tmp_path / "p").exists()


def test_too_few_people_are_refused(plain_run: Path, tmp_path: Path, refused) -> None:
    few = Tree(tmp_path / "few", people={"train": range(1, 9), "test": range(9, 12)}, duskwalk=True).write()
    assert refused("probes", plain_run, "--data", few, "--out", tmp_path / "p") == (
        "probes need 2 people of each class in both halves, so at least 4; got 3; choose another split or data set"
    )


def test_a_damaged_truth_is_refused_by_name(plain_run: Path, tmp_path: Path, refused) -> None:
    wrong = write_set(tmp_path / "wrong")
    marker = wrong / "duskwalk.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "seed": "seven"}))
    assert refused("probes", plain_run, "--data", wrong, "--out", tmp_path / "p") == (
        f"{wrong}: duskwalk.json: it is damaged: seed: Input should be a valid integer; write the set again"
    )


def test_a_size_that_is_the_presets_need_not_be_said(dataset: Dataset, tmp_path: Path) -> None:
    said = open_dataset(write_set(tmp_path / "said", vary="background", severity=3, size=[96, 48]))
    assert list(with_places({"base": dataset, "said": said}, "test")) == ["base", "said"]


def test_a_run_trained_on_another_split_is_refused(
    plain_run: Path, regdb: Path, tmp_path: Path, refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object, **__: object) -> None:
        raise DataError("reached")

    monkeypatch.setattr("duskmatch.experiments.probes.experiment.probes", reached)
    run = with_data(plain_run, tmp_path / "run", {"name": "RegDB", "protocol": "split-2"})
    words = ["probes", run, "--data", regdb, "--out", tmp_path / "p"]
    assert refused(*words) == (
        f"{run} was trained on split-2 of RegDB, with many of the people whom split-1 tests; pass --protocol split-2, "
        "or --any-split to score it anyway"
    )
    assert refused(*words, "--protocol", "split-2") == refused(*words, "--any-split") == "reached"


def test_documents_that_name_no_loaded_weights_are_read() -> None:
    file = Path(__file__).parents[1] / "fixtures" / "older" / "probes.json"
    document = ProbesDocument.model_validate_json(file.read_text())
    assert document.began_with_weights is None
    assert "began with loaded weights" not in probes_table(document)
