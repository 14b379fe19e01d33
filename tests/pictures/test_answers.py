"""The report's section on pairs and unknown people: each figure stands in it, refused ones with their reason."""

from __future__ import annotations

import re

import numpy as np
import pytest

from duskmatch.evaluation import DataFacts, evaluate_embeddings, scores_document
from duskmatch.evaluation.words import percent
from duskmatch.pictures.answers import answers_section
from duskmatch.records import DIRECTIONS, Embeddings


def scored(n_people, directions=DIRECTIONS, noise=1.3):
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(n_people), 3)
    centres = rng.standard_normal((n_people, 12))
    infrared, visible = (
        Embeddings(
            centres[pids] + noise * rng.standard_normal((3 * n_people, 12)), pids, np.tile([1, 2, 3], n_people), m
        )
        for m in ("infrared", "visible")
    )
    evaluation = evaluate_embeddings(infrared, visible, answers=True, directions=directions)
    data = DataFacts(name="d", version=None, fingerprint="ab" * 32, test_reads=None, n_unreadable=0)
    return evaluation, scores_document(evaluation, data, synthetic=True)


@pytest.fixture(scope="module")
def forty():
    return scored(40)


def test_every_figure_is_in_the_tables(forty):
    evaluation, document = forty
    page = "".join(answers_section(evaluation, document))
    pairs = document["infrared_to_visible"]["verification"]
    assert percent(pairs["eer"]["value"]) in page and percent(pairs["tar"][0]["value"]) in page
    for direction in DIRECTIONS:
        rates = document[direction]["open_set"]["rates"][0]
        assert percent(rates["fnir"]["value"]) in page and percent(rates["rank1"]["value"]) in page
    assert page.count("40 people, 120 entries") == 2
    assert page.count("SYNTHETIC data") >= 4  # both tables, every chart
    assert page.count("both directions") >= 3
    assert f"(ECE) {document['infrared_to_visible']['calibration']['ece']:.3f}" in page


def test_three_charts_are_described_for_screen_readers(forty):
    labels = re.findall(r'role="img" aria-label="([^"]*)"', "".join(answers_section(*forty)))
    assert [label.split()[0] for label in labels] == ["both", "DET", "Reliability:"]
    assert "pairs of one person" in labels[0] and "EER" in labels[1]


def test_refused_figures_are_said_with_their_reason_once(forty):
    page = "".join(answers_section(*forty))
    assert "refused" in page
    assert page.count("; FAR 1 % needs 300 people, here are 40") + page.count("Refused: FAR 1 % needs") == 1
    assert "infrared → visible: FPIR 1 % needs" in page and "visible → infrared: FPIR 1 % needs" in page
    assert "FPIR 1 % needs 300 people, here are 40; at 7.5 %, the least they bear, FNIR is" in page


def test_few_people_have_a_section_without_curves():
    page = "".join(answers_section(*scored(3)))
    assert "DET curve" not in page and "Reliability" not in page
    assert "too few for any rate" in page and "calibration needs 20 people on both sides; here are 3" in page


def test_without_a_single_mistake_there_is_no_det_curve():
    page = "".join(answers_section(*scored(35, noise=0.0)))
    assert "DET curve" not in page and "EER is at most 8.57 %" in page


def test_one_direction_or_no_answers(forty):
    evaluation, document = scored(30, ("visible_to_infrared",))
    page = "".join(answers_section(evaluation, document))
    assert "visible → infrared" in page and "both directions" not in page
    without = evaluate_embeddings(*(forty[0].query[d].embeddings for d in DIRECTIONS))
    assert answers_section(without, forty[1]) == []
