"""The report: what it says, what it may not do, and what it looks like to a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from duskmatch.evaluation import DataFacts, evaluate_dataset, evaluate_embeddings, scores_document
from duskmatch.pictures import write_report
from duskmatch.pictures.cases import shown_cases
from duskmatch.pictures.report import report
from duskmatch.records import DIRECTIONS
from tests.evaluation.people import FakeEmbedder, make_people
from tests.pictures.browser import shown, tables_are_readable
from tests.test_health import DEAD
from tests.test_health import document as health_document

HOSTILE = '<script>alert("x")</script><img src=https://example.invalid/x onerror=alert(1)>'


@pytest.fixture(scope="module")
def page(evaluation, document, people, log):
    return report(evaluation, document, dataset=people, log=log, facts=FakeEmbedder().facts())


class Reader(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)


def test_every_section_is_there_with_its_figures(page, document):
    words = " ".join(Reader(page).words)
    for title in (
        "Scores", "How far down the list", "Ranked strips", "Where it works and where it does not",
        "The people found worst", "Training", "What the people look like", "Cost, settings, versions",
    ):  # fmt: skip
        assert title in words
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        for figure in ("rank1", "mAP", "mINP", "chance"):
            assert f"{100 * document[direction][figure]:.2f}" in words
            assert f"{100 * document['untrained'][direction][figure]:.2f}" in words
    for text in ("same-pid-same-camera", "1.2 million", "2.5 GFLOP", "12.3 ms", "backbone: resnet18", "90 to 120°"):
        assert text in words
    assert "visible → visible" in words and "infrared → infrared" in words


def test_the_parts_of_a_run_that_is_dead_are_shown(evaluation, document):
    page = report(evaluation, {**document, "health": health_document(DEAD)}, facts={})
    words = " ".join(Reader(page).words)
    places = [page.index(f'id="{name}"') for name in ("scores", "health-of-the-parts", "how-far-down-the-list")]
    assert places == sorted(places)
    for text in (
        "LSTM_mot dead motion_deviation / parts_deviation 0 (at least 0.02) 185 to 200 it is (nearly) the same",
        "IMSA idle self_attention_ratio 0 (at least 0.01)", "Eq. 3 alive confusion_share 0.15 (at least 0.05)",
        "temporal mixing not in this run", "as it is 30.00", "LSTM_mot fixed 25.00 -5.00", "30 people",
    ):  # fmt: skip
        assert text in " ".join(words.split()), text
    unmeasured = report(evaluation, {**document, "health": health_document(validation=False)}, facts={})
    assert "not measured: the data set has no validation people" in unmeasured
    assert "Health of the parts" not in report(evaluation, document, facts={})


def test_strips_mark_right_and_wrong_not_by_colour_alone(page, evaluation):
    words = Reader(page).words
    alts = [value for tag, name, value in Reader(page).attributes if tag == "img" and name == "alt"]
    assert any(re.fullmatch(r"\d+ ✓", word) for word in words) and any(re.fullmatch(r"\d+ ✗", word) for word in words)
    right, wrong = (sum(f", {word}: person" in alt for alt in alts) for word in ("right", "wrong"))
    assert right == sum("✓" in word for word in words) and wrong == sum("✗" in word for word in words)
    assert right + wrong == 2 * 8 * 10 and all(alts)
    shown = [(d, row) for d in DIRECTIONS for rows in shown_cases(evaluation.scores[d], 8).values() for row in rows]
    assert right == sum(int(evaluation.rankings[d].matches[row].sum()) for d, row in shown) != wrong


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing(page):
    reader = Reader(page)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith(("data:", "#")), (tag, name, value[:60])
    assert "url(http" not in page and "@import" not in page
    policy = next(value for tag, name, value in reader.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;") and "script" not in policy
    assert len(page) < 6 << 20


@pytest.mark.parametrize(
    ("synthetic", "word"), [(True, "SYNTHETIC"), (None, "not known whether these data are real or synthetic")]
)
def test_where_the_people_come_from_is_said_first(evaluation, document, synthetic, word):
    page = report(evaluation, {**document, "synthetic": synthetic}, facts={})
    assert page.index(word) < page.index("<h2")
    assert ("SYNTHETIC" in page) is (synthetic is True)


def test_real_data_carry_no_notice(evaluation, document):
    page = report(evaluation, {**document, "synthetic": False}, facts={})
    assert 'class="notice"' not in page and "SYNTHETIC" not in page and "real data" in page


def test_names_from_data_cannot_become_markup(tmp_path):
    people = make_people(tmp_path, n_people=2, pictures=True)
    people.tracklets["test"] = [replace(t, tracklet_id=HOSTILE + t.tracklet_id) for t in people.test]
    evaluation = evaluate_dataset(FakeEmbedder().embed, people)
    facts = {
        **FakeEmbedder().facts(),
        "checkpoint": HOSTILE,
        "precision": HOSTILE,
        "sampling": HOSTILE,
        "settings": {HOSTILE: HOSTILE},
        "versions": {HOSTILE: HOSTILE},
    }
    data = DataFacts(name=HOSTILE, version=HOSTILE, fingerprint=HOSTILE, test_reads=None, n_unreadable=0)
    document = scores_document(evaluation, data, synthetic=True, facts=facts)
    log = [{"step": 1, HOSTILE: 1.0, "loss": 2.0}, {"step": 2, HOSTILE: 2.0, "loss": 1.0}]
    reader = Reader(report(evaluation, document, dataset=people, log=log, facts=facts))
    assert "script" not in reader.tags
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert not [v for _, name, v in reader.attributes if name in ("src", "href") and "example.invalid" in v]


def test_the_same_input_gives_the_same_page(evaluation, document, people, log, page):
    assert report(evaluation, document, dataset=people, log=log, facts=FakeEmbedder().facts()) == page


def test_without_log_facts_views_or_pictures_the_rest_is_shown(evaluation, document):
    sides = [evaluation.query[d].embeddings for d in ("infrared_to_visible", "visible_to_infrared")]
    page = report(evaluate_embeddings(*sides, camera_rule="none"), document, facts={})
    assert "Ranked strips" not in page and "Training" not in page and "By view difference" not in page
    assert "By pair of cameras" in page and "How far down the list" in page


def test_a_frame_gone_since_is_shown_as_missing(document, tmp_path):
    people = make_people(tmp_path, n_people=3)  # no picture was ever written
    page = report(evaluate_dataset(FakeEmbedder().embed, people), document, dataset=people, facts={})
    assert "Ranked strips" in page


@pytest.mark.browser
def test_a_browser_shows_it_whole(evaluation, document, people, log, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, evaluation, document, dataset=people, log=log, facts=FakeEmbedder().facts())

    def check(tab):
        assert tab.evaluate("document.images.length") > 2 * 8 * 11
        assert tab.locator("svg polyline, svg path").count() > 10
        tables_are_readable(tab)
        rank10 = tab.locator(".tiles.strip li:last-child b").first.evaluate("e => e.getClientRects().length")
        assert rank10 == 1  # "10 ✗" is not broken

    requests = shown(path, check)
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
    assert {url for url in requests if url.startswith("file:")} == {path.as_uri()}
