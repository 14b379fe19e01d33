"""duskmatch gallery calibrate, and searches that carry probabilities and keep a rate of false alarms."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from duskmatch.cli.gallery_calibrate import _rule
from duskmatch.cli.gallery_search import _chance
from duskmatch.errors import GalleryError, SettingsError
from duskmatch.evaluation import save_embeddings
from duskmatch.gallery import Gallery
from duskmatch.gallery.probability.apart import check_apart, check_different
from duskmatch.records import Embeddings
from tests.cli.test_gallery import Capture, refused, said, shown
from tests.gallery.labelled import labelled
from tests.gallery.making import WIDTH


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A gallery of 6 people by day, calibrated."""
    with Gallery.create(tmp_path / "g", width=WIDTH) as gallery:
        entries = labelled(6, each=1, seed=7, noise=0.1, modalities="v")
        gallery.add(entries, thumbnails=[[cv2.imencode(".jpg", np.full((64, 32, 3), 90, np.uint8))[1].tobytes()]] * 6)
        gallery.calibrate(labelled(60, noise=0.1), names=["others"])
        stranger = labelled(1, each=1, seed=99, modalities="v", first_pid=70, sources=["someone"])
        gallery.add(stranger, thumbnails=[[cv2.imencode(".jpg", np.full((64, 32, 3), 200, np.uint8))[1].tobytes()]])
    return tmp_path / "g"


def test_nobody_we_know_is_said(known: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["search", known, "--id", "someone", "--false-alarms", 0.05, "--out", tmp_path / "found"]
    outcome = said(capsys, *command)
    assert outcome["hits"] == [] and outcome["nobody_we_know"] == [
        {"query": "someone", "query_pid": 70, "query_camera": 0, "query_modality": "visible"}
    ]
    promise = outcome["false_alarms"]
    assert (promise["promised"], promise["extrapolated"]) == (0.05, False)
    (limit,) = promise["thresholds"]
    assert (limit["query"], limit["entries"], limit["n_people"]) == ("visible", "visible", 7)
    document = json.loads((tmp_path / "found" / "ranking.json").read_text())
    assert document["nobody_we_know"] == outcome["nobody_we_know"] and document["false_alarms"] == promise
    text = shown(capsys, *command, "--overwrite")
    assert "someone (visible, camera 0)\n      nobody we know\n" in text
    assert "gets a hit with a chance of at most 0.05" in text
    assert "visible queries among 7 people with 7 visible entries: similarity 0." in text
    strip = cv2.imread(str(tmp_path / "found" / "strips-001.png"))
    assert strip[100:250, 134:260].min() < 100  # the words beside the query


def test_beyond_the_labelled_people_is_said_to_be_extrapolated(known: Path, capsys: Capture) -> None:
    with Gallery.open(known) as gallery:
        gallery.add(labelled(80, each=1, seed=3, modalities="v", first_pid=100))
    assert "EXTRAPOLATED beyond" in shown(capsys, "search", known, "--id", "someone", "--false-alarms", 0.2)
    assert said(capsys, "search", known, "--id", "someone", "--false-alarms", 0.2)["false_alarms"]["extrapolated"]


def test_features_calibrate_where_the_user_vouches(tmp_path: Path, capsys: Capture) -> None:
    with Gallery.create(tmp_path / "g", width=WIDTH, model="m"):
        pass
    for number in range(4):
        save_embeddings(tmp_path / f"{number}.safetensors", labelled(12, seed=number))
    day, night, *others = (tmp_path / f"{number}.safetensors" for number in range(4))
    command = ["calibrate", tmp_path / "g", "--features", day, night, "--features", *others]
    assert "does not say whose vectors it holds; if nobody" in refused(capsys, *command)
    made = said(capsys, *command, "--not-trained-on", "--camera-rule", "none")
    assert made["n_people"] == 24 and made["n_tracklets"] == 12 * 4 * 4 and made["camera_rule"] == "none"
    assert made["data"] == ["0.safetensors, 1.safetensors", "2.safetensors, 3.safetensors"]
    text = shown(capsys, *command, "--not-trained-on")
    assert "ECE" in text and "visible-infrared" in text and "SYNTHETIC" not in text
    wrong = Embeddings(labelled(12).vectors, labelled(12).pids, labelled(12).camids, labelled(12).modalities)
    save_embeddings(tmp_path / "wrong.safetensors", wrong)
    message = refused(
        capsys, "calibrate", tmp_path / "g", "--features", tmp_path / "wrong.safetensors", "--not-trained-on"
    )
    assert "labelled people must be of the gallery's model, m; got one without a name" in message
    both = refused(
        capsys, "calibrate", tmp_path / "g", "--features", day, tmp_path / "wrong.safetensors", "--not-trained-on"
    )
    assert "wrong.safetensors must be of the same model as" in both


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "takes --data DATASET --run RUN, or --features FILE; got neither"),
        (["--data", "d"], "--data DATASET needs --run RUN"),
        (["--features", "f", "--run", "r"], "--run has no use there"),
        (["--features", "missing.npz", "--not-trained-on"], "missing.npz is missing"),
    ],
)
def test_what_is_missing_is_named(known: Path, words: list[str], message: str, capsys: Capture) -> None:
    assert message in refused(capsys, "calibrate", known, *words)


@pytest.mark.parametrize("flag", ["--prior", "--false-alarms"])
def test_chances_out_of_range_or_without_calibration_are_refused(
    known: Path, tmp_path: Path, flag: str, capsys: Capture
) -> None:
    name = flag.strip("-").replace("-", "_")
    for value in ("0", "1", "nan", "-0.5", "2"):
        message = refused(capsys, "search", known, "--id", "someone", f"{flag}={value}")
        assert f"{name} must be above 0 and below 1, as 0.01; got" in message
    with Gallery.create(tmp_path / "plain", width=WIDTH) as plain:
        plain.add(labelled(1, each=1, sources=["a", "b"]))
    assert f"{name} needs a calibration" in refused(capsys, "search", tmp_path / "plain", "--id", "a", flag, "0.1")


def data(**facts: object) -> SimpleNamespace:
    """A data set of generated people, as far as the check of people asks."""
    protocol = SimpleNamespace(trained_apart=False, variant="usual", camera_rule="none")
    given: dict[str, object] = {
        "root": Path("others"), "name": "Duskwalk", "fingerprint": "f2", "facts": {"seed": 2}, "protocol": protocol,
    }  # fmt: skip
    return SimpleNamespace(**{**given, **facts})


APART = SimpleNamespace(trained_apart=True, variant="split-2", camera_rule="same-pid-same-camera")
TRAINED = {"name": "Duskwalk", "fingerprint": "f1", "seed": 1}


@pytest.mark.parametrize(
    ("trained_on", "dataset", "reason"),
    [
        (TRAINED, data(), None),
        (TRAINED, data(fingerprint="f1", facts={"seed": 1}), None),
        ({"name": "RegDB", "fingerprint": "f2", "protocol": "split-2"}, data(name="RegDB", protocol=APART), None),
        ({"name": "RegDB", "fingerprint": "f2", "protocol": "split-1"}, data(name="RegDB", protocol=APART), "split-1"),
        (TRAINED, data(facts={"seed": 1}), "both are generated with seed 1"),
        (TRAINED, data(facts={}), "both are generated with seed None"),
        (TRAINED, data(name="own folders"), "nothing says that they are others than those of Duskwalk"),
        ({**TRAINED, "name": "HITSZ-VCM"}, data(name="HITSZ-VCM"), "others than those of HITSZ-VCM"),
        (None, data(), "it does not say what it was trained on"),
        ({}, data(), "it does not say what it was trained on"),
    ],
)
def test_people_who_may_have_been_trained_on_are_refused(
    trained_on: dict[str, object] | None, dataset: object, reason: str | None
) -> None:
    if reason is None:
        check_apart(Path("run"), trained_on, dataset)  # type: ignore[arg-type]
        return
    message = (
        "^others: people for calibration must not be those that run was trained on, and .*; if you know .*--not-tr"
    )
    with pytest.raises(GalleryError, match=message) as refusal:
        check_apart(Path("run"), trained_on, dataset)  # type: ignore[arg-type]
    assert reason in str(refusal.value)


def test_one_data_set_named_twice_and_two_camera_rules_are_refused() -> None:
    with pytest.raises(GalleryError, match="b must be another data set than a, but has the same people; name it once"):
        check_different({"a": data(), "b": data()})  # type: ignore[dict-item]
    check_different({"a": data(), "b": data(fingerprint="f3")})  # type: ignore[dict-item]
    assert _rule({"a": data()}) == "none" and _rule({}) == "same-pid-same-camera"  # type: ignore[dict-item]
    with pytest.raises(SettingsError, match=r"different camera rules .none, same-pid-same-camera.; pass --camera-rule"):
        _rule({"a": data(), "b": data(protocol=APART)})  # type: ignore[dict-item]


def test_chances_in_words() -> None:
    assert [_chance(p) for p in (None, 0.9412, 0.0001, 0.99999, 0.5)] == [
        "",
        "   94.1 %",
        "   <0.1 %",
        "  >99.9 %",
        "   50.0 %",
    ]
