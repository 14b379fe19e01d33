"""duskmatch gallery link, people and decisions: in words, as JSON, as lanes of time, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from duskmatch.cli.gallery_decide import number_or_name
from duskmatch.cli.gallery_link import probability
from duskmatch.gallery import Gallery
from tests.cli.test_gallery import Capture, refused, said, shown
from tests.gallery.linking_cases import entries, gallery_of
from tests.gallery.making import WIDTH


@pytest.fixture
def people(tmp_path: Path) -> Path:
    gallery_of(tmp_path / "people", [0, 0, 1, 1, 0, 2]).close()
    return tmp_path / "people"


@pytest.fixture
def linked(people: Path, capsys: Capture) -> Path:
    said(capsys, "link", people)
    return people


def test_link_says_what_it_did_and_scores_it(people: Path, capsys: Capture) -> None:
    first = said(capsys, "link", people, "--score")
    assert (first["people"], first["entries"], first["new_entries"], first["new_people"]) == (3, 6, 6, 3)
    assert first["scores"]["f1"] == 1 and first["scores"]["over_merged"] == 0 and first["again"] is False
    text = shown(capsys, "link", people, "--again", "--score")
    assert text.startswith(f"{people}: 3 people of 6 entries; 6 entries linked anew, 0 people are new\n")
    assert "scored in percent against the pids of 3 people, 6 entries" in text and "F1 100.0" in text
    assert said(capsys, "link", people)["scores"] is None
    alone = said(capsys, "link", people, "--again", "--margin", 90, "--score")
    assert alone["people"] == 6 and alone["scores"]["precision"] is None
    text = shown(capsys, "link", people, "--again", "--margin", 90)
    assert "no link reached the margin: the nearest two have log-odds of" in text and "a link needs 90;" in text
    assert "precision –" in shown(capsys, "people", people, "--score")


def test_people_are_listed_and_one_is_shown_with_reasons(linked: Path, capsys: Capture) -> None:
    text = shown(capsys, "people", linked)
    assert text.splitlines()[0] == f"3 people of 6 entries in {linked}"
    assert "person 1: 3 entries (2 visible, 1 infrared), cameras 1, 2" in text
    said(capsys, "name", linked, "1", "Alice")
    of_alice = said(capsys, "people", linked, "Alice")["people"]
    assert of_alice == said(capsys, "people", linked, "1")["people"] and len(of_alice) == 1
    (alice,) = of_alice
    assert (
        alice["person"] == 1 and alice["name"] == "Alice" and [e["id"] for e in alice["entries"]] == ["a0", "a1", "a4"]
    )
    first = alice["entries"][0]
    assert first["strongest"]["log_odds"] >= first["log_odds"] >= first["weakest"]["log_odds"] > 0
    assert first["cameras"] == [1, 2] and first["decision"] is None and first["pid"] == 0
    detail = shown(capsys, "people", linked, "Alice", "3")
    assert "person 1 (Alice): 3 entries" in detail and "  a0  visible, camera 1, 1970-01-01" in detail
    assert "with the others 0.9" in detail and "alone when it was linked" in detail


def test_decisions_are_made_and_undone(linked: Path, capsys: Capture) -> None:
    made = said(capsys, "same", linked, "a5", "a2")
    assert made == {
        "gallery": str(linked), "decision": 1, "kind": "same", "name": None, "people": [2], "undone": False
    }  # fmt: skip
    text = shown(capsys, "different", linked, "a0", "a1")
    assert text.startswith("decision 2: the two entries are different people; people: 1, ")
    assert shown(capsys, "split", linked, "2", "a3").startswith(
        "decision 3: the entries are somebody else; people: 2, "
    )
    assert shown(capsys, "name", linked, "2", "Bob") == "decision 4: the person is called Bob; people: 2\n"
    assert "decision 1" in shown(capsys, "people", linked, "Bob")
    for number, kind in ((4, "name"), (3, "split"), (2, "different"), (1, "same")):
        undone = said(capsys, "undo", linked)
        assert (undone["decision"], undone["kind"], undone["undone"]) == (number, kind, True)
    assert "no decision is left to undo" in refused(capsys, "undo", linked)
    assert shown(capsys, "name", linked, "1", "Al").startswith("decision 5")
    assert shown(capsys, "undo", linked) == "decision 5 is undone: the person is called Al; people: 1\n"


def test_search_show_and_list_say_who_an_entry_is(linked: Path, capsys: Capture) -> None:
    said(capsys, "name", linked, "1", "Alice")
    assert said(capsys, "show", linked, "a0")["name"] == "Alice" and "to 1 (Alice)" in shown(
        capsys, "show", linked, "a0"
    )
    listed = said(capsys, "list", linked)["entries"]
    assert [entry["person"] for entry in listed] == [1, 1, 2, 2, 1, 3] and listed[5]["name"] is None
    assert "linked to 1 (Alice)" in shown(capsys, "list", linked)
    hits = said(capsys, "search", linked, "--id", "a0", "--top", 2)["hits"]
    assert {hit["person"] for hit in hits} == {1} and {hit["name"] for hit in hits} == {"Alice"}
    assert "linked to 1 (Alice)" in shown(capsys, "search", linked, "--id", "a0")
    with Gallery.open(linked) as gallery:
        gallery.add(entries([3], ["b0"]))
    new = said(capsys, "show", linked, "b0")
    assert new["person"] is None and new["name"] is None and "linked     -" in shown(capsys, "show", linked, "b0")
    assert "not linked: 1 entry; run `duskmatch gallery link`" in shown(capsys, "people", linked)


def test_an_export_says_who_entries_are_linked_to(linked: Path, tmp_path: Path, capsys: Capture) -> None:
    said(capsys, "name", linked, "1", "Alice")
    said(capsys, "export", linked, "--pid", 0, "--out", tmp_path / "zero")
    found = json.loads((tmp_path / "zero" / "entries.json").read_text())
    assert {(entry["person"], entry["name"]) for entry in found} == {(1, "Alice")} and len(found) == 3


def test_lanes_are_drawn_in_two_colours(linked: Path, tmp_path: Path, capsys: Capture) -> None:
    lanes = said(capsys, "people", linked, "1", "2", "--lanes", tmp_path / "lanes.png")["lanes"]
    picture = cv2.imread(lanes).astype(int)
    assert picture.shape[1] > 800
    for colour in ((0x0A, 0x53, 0xB4), (0xA8, 0x5F, 0x1F)):  # orange and blue, as BGR
        assert (abs(picture - colour).sum(axis=2) < 12).sum() > 50, colour
    assert "exists; choose another FILE or pass --overwrite" in refused(capsys, "people", linked, "--lanes", lanes)
    assert f"written: {lanes}" in shown(capsys, "people", linked, "--lanes", lanes, "--overwrite")
    assert "--overwrite is for --lanes FILE" in refused(capsys, "people", linked, "--overwrite")


def test_lanes_without_any_time_are_refused(linked: Path, tmp_path: Path, capsys: Capture, monkeypatch) -> None:
    monkeypatch.setattr("duskmatch.pictures.lanes.has_time", lambda entry: False)
    assert "no entry of these people has a time" in refused(capsys, "people", linked, "--lanes", tmp_path / "l.png")
    assert not (tmp_path / "l.png").exists()
    assert "--lanes FILE must be a .png" in refused(capsys, "people", linked, "--lanes", tmp_path / "l.txt")


def test_what_is_wrong_is_one_line(linked: Path, tmp_path: Path, capsys: Capture) -> None:
    assert "no person has the number 99" in refused(capsys, "people", linked, "99")
    assert "no person is called 'Eve'" in refused(capsys, "people", linked, "Eve")
    assert "no entry has the id 'x'" in refused(capsys, "same", linked, "a0", "x")
    assert "no control characters" in refused(capsys, "name", linked, "1", "a\x1b[31m")
    assert "prior must be a probability above 0 and below 1; got 1.0" in refused(capsys, "link", linked, "--prior", 1)
    assert "margin must be a finite number" in refused(capsys, "link", linked, "--margin", "nan")
    Gallery.create(tmp_path / "bare", width=WIDTH).close()
    assert "linking needs a calibration" in refused(capsys, "link", tmp_path / "bare")
    assert shown(capsys, "people", tmp_path / "bare") == f"0 people of 0 entries in {tmp_path / 'bare'}\n"


def test_names_are_not_numbers() -> None:
    assert number_or_name("7") == 7 and number_or_name("-7") == -7 and number_or_name("Alice") == "Alice"
    assert number_or_name("٣") == "٣"
    assert probability(0) == 0.5 and probability(-1e9) < 1e-300 and probability(1e9) == 1


def test_a_number_of_any_length_is_no_traceback(linked: Path, capsys: Capture) -> None:
    assert "no person" in refused(capsys, "people", linked, "9" * 5000)
