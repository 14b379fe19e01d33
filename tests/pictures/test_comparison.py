"""compare.html: what it says, what it may not do, and what it looks like to a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from duskmatch.config import ModelSettings, load_settings
from duskmatch.models import MODELS
from duskmatch.pictures.compared import n_people, provenance
from duskmatch.pictures.comparison import _method, write_comparison
from duskmatch.pictures.distances import separations
from tests.evaluation.people import make_people
from tests.pictures.browser import shown, tables_are_readable
from tests.pictures.conftest import BASELINE, compared_run
from tests.pictures.test_report import HOSTILE, Reader
from tests.test_health import DEAD
from tests.test_health import document as health_document

SECTIONS = (
    "Scores", "Health of the parts", "Who is found", "Where they look", "Which parts are kept",
    "How far apart people are", "Maps of the embeddings", "What the figures depend on",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(compared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return folder, write_comparison(folder, compared, n_queries=4), (folder / "compare.html").read_text("utf-8")


def test_every_section_is_there_and_says_whose_people(made, compared):
    _, _, page = made
    sections = page.split("<section>")[1:]
    assert [section.split("<h2")[1].split(">")[1].split("<")[0] for section in sections] == list(SECTIONS)
    assert all("SYNTHETIC data" in section for section in sections)
    assert page.index("SYNTHETIC") < page.index("<h2")
    assert "Duskwalk 1 (SYNTHETIC): Baseline and full side by side" in page
    words = " ".join(Reader(page).words)
    for run in compared:
        assert f"checkpoint iteration 3 of 9 of {run.name}, seed 0, trained on Duskwalk 1 (synthetic)" in words
        for direction in ("infrared_to_visible", "visible_to_infrared"):
            for figure in ("rank1", "mAP", "mINP", "chance"):
                assert f"{100 * run.document[direction][figure]:.2f}" in words
    assert "8 people; infrared → visible 24 queries, 0 of them left out" in words and "test split" in words


def test_the_figures_are_those_of_the_models(made, compared):
    folder, outcome, _ = made
    json.dumps(outcome, allow_nan=False)
    assert outcome["synthetic"] is True and outcome["people"] == n_people(compared[0].evaluation) == 8
    for run, figures in zip(compared, outcome["runs"], strict=True):
        assert figures["auc"] == {kind: of.auc for kind, of in separations(run.evaluation).items()}
        assert figures["infrared_to_visible"] == run.document["infrared_to_visible"]
    baseline, full = outcome["runs"]
    assert baseline["part_weights"] is None and len(full["part_weights"]["visible"]["mean"]) == 3
    assert (baseline["embedding"], full["embedding"]) == ("defense", "sequence")
    written = {str(folder / "compare.html"), *outcome["pictures"]}
    assert {str(path) for path in folder.iterdir()} == written


def test_every_picture_is_whole_and_not_empty(made):
    _, outcome, _ = made
    assert len(outcome["pictures"]) == 6
    for path in outcome["pictures"]:
        picture = cv2.imread(path)
        assert picture is not None and picture.std() > 5


def test_each_runs_health_has_its_table(compared, tmp_path):
    documents = [{**compared[0].document, "health": health_document(DEAD)}, compared[1].document]
    runs = [replace(run, document=document) for run, document in zip(compared, documents, strict=True)]
    outcome = write_comparison(tmp_path, runs, n_queries=1)
    assert [figures["health"] for figures in outcome["runs"]] == [health_document(DEAD), None]
    words = " ".join(" ".join(Reader((tmp_path / "compare.html").read_text("utf-8")).words).split())
    assert "test split. Baseline part is figure (its limit) iterations why LSTM_mot dead" in words
    assert "test split. Baseline, validation people (30 people, embedding: sequence)" in words
    assert "test split. full. health of the parts: not known (no health.json" in words


def test_what_stands_below_every_picture(compared):
    said = provenance(compared)
    assert said.startswith(
        "SYNTHETIC data (Duskwalk 1): generated people, not a score on real ones. Test split: 8 people"
    )
    assert "24 queries infrared → visible, 24 queries visible → infrared; camera rule same-pid-same-camera." in said
    assert "Baseline: checkpoint iteration 3 of 9 of Baseline, seed 0" in said and "full: checkpoint" in said
    assert "96 x 48 px, 2 frames a clip" in said and "192 x 96 px" in said


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing(made):
    _, _, page = made
    reader = Reader(page)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith(("data:", "#")), (tag, name, value[:60])
    assert "url(http" not in page and "@import" not in page
    policy = next(value for tag, name, value in reader.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;") and "script" not in policy
    assert all(value for tag, name, value in reader.attributes if tag == "img" and name == "alt")


def test_the_same_models_give_the_same_page(made, compared, tmp_path):
    write_comparison(tmp_path, compared, n_queries=4)
    assert (tmp_path / "compare.html").read_text("utf-8") == made[2]


def test_names_cannot_become_markup(compared, tmp_path):
    write_comparison(tmp_path, [replace(run, name=HOSTILE + run.name) for run in compared], n_queries=1)
    reader = Reader((tmp_path / "compare.html").read_text("utf-8"))
    assert "script" not in reader.tags
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert not [v for _, name, v in reader.attributes if name in ("src", "href") and "example.invalid" in v]


def test_one_run_alone_and_real_data_carry_no_word_too_many(tmp_path):
    people = make_people(tmp_path / "people", n_people=3, pictures=True)
    people.synthetic, people.name = False, "HITSZ-VCM"
    outcome = write_comparison(tmp_path / "out", [compared_run("alone", people, *BASELINE)], n_queries=2)
    page = (tmp_path / "out" / "compare.html").read_text("utf-8")
    assert "SYNTHETIC" not in page and "side by side" not in page and "models differ" not in page
    assert outcome["synthetic"] is False and "part-weights.png" not in str(outcome["pictures"])


@pytest.mark.parametrize("name", MODELS)
def test_other_methods_go_by_the_names_of_their_page(name):
    settings = load_settings("tiny").model_copy(update={"model": ModelSettings(name=name)})
    word = _method(SimpleNamespace(embedder=SimpleNamespace(settings=settings)))
    if name == "self_attack":
        assert word == "ASAM + ADM + FRM-STIG (full)"
    else:
        page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text("utf-8")
        assert f"## {word}\n" in page or f"`{word}`" in page


@pytest.mark.browser
def test_a_browser_shows_it_whole(made):
    path = made[0] / "compare.html"

    def check(tab):
        assert tab.evaluate("document.images.length") > 2 * 4 * 21
        tables_are_readable(tab)

    requests = shown(path, check)
    assert {url for url in requests if not url.startswith("data:")} == {path.as_uri()}
