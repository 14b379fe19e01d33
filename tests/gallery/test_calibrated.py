"""A calibrated gallery: what it keeps, what it answers with, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from duskmatch.errors import DuskmatchError, GalleryError
from duskmatch.evaluation.calibration import probability
from duskmatch.gallery import Gallery
from duskmatch.gallery.probability import fitting
from duskmatch.gallery.probability.calibrated import Calibrated
from duskmatch.gallery.probability.calibrated import replace as keep
from duskmatch.gallery.probability.fitting import SHARES, pairs_of, put_together
from duskmatch.records import Embeddings
from tests.gallery.labelled import MODEL, labelled
from tests.gallery.making import WIDTH, all_bytes, unit
from tests.gallery.test_keeping import changed

KNOWN = labelled(30)


def seen(n: int, seed: int = 7, **facts: object) -> Embeddings:
    """n people of the gallery, each once by day and once by night."""
    return labelled(n, each=1, seed=seed, **facts)


@pytest.fixture(autouse=True)
def no_cross_fitting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits once instead of six times, but for the tests of the figures."""
    if "quality" not in request.node.name:
        monkeypatch.setattr(fitting, "_qualities", lambda *_: [])


@pytest.fixture(scope="module")
def known() -> Calibrated:
    return fitting.fitted([KNOWN], ["labelled people 1"], "none", MODEL)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = Gallery.create(tmp_path / "people", width=WIDTH)
    made.add(seen(6))
    return made


def test_a_calibration_is_kept_with_its_quality_and_says_what_it_was_made_of(gallery: Gallery, tmp_path: Path) -> None:
    assert gallery.calibration() is None and gallery.stats().calibration is None
    unknown = replace(KNOWN, pids=np.where(KNOWN.pids == 3, -1, KNOWN.pids))
    made = gallery.calibrate(unknown, labelled(10, seed=5), names=["one", "two"])
    facts = made.facts
    assert (facts["n_people"], facts["n_tracklets"], facts["n_unknown"]) == (29 + 10, 39 * 4, 4)
    assert facts["data"] == ["one", "two"] and facts["synthetic"] is False
    assert facts["pairs"] == ["visible-visible", "infrared-infrared", "visible-infrared"]
    assert len(made.strangers) == 4 and len(made.quality) == 3 * len(SHARES)
    gallery.close()
    with Gallery.open(tmp_path / "people") as again:
        kept = again.calibration()
        assert kept is not None and kept.text() == made.text() and again.stats().calibration == dict(facts)
        assert again.verify().whole


def test_people_of_two_arguments_are_different_people(gallery: Gallery) -> None:
    both = put_together([KNOWN, replace(labelled(4, seed=1), pids=np.repeat([29, 3, 7, 900], 4))])
    assert len(np.unique(both.pids)) == 34 and len(both) == 34 * 4


def test_a_hit_carries_its_probability(gallery: Gallery) -> None:
    queries = seen(3, sources=())
    assert np.isnan(gallery.search(queries, top=4).probability).all()
    made = gallery.calibrate(KNOWN)
    hits = gallery.search(queries, top=13)
    words = {id: entry.modality for id, entry in zip(gallery.ids(), gallery.entries(), strict=True)}
    for prior in (None, 0.25):
        hits = gallery.search(queries, top=13, prior=prior)
        for i, query in enumerate(queries.modalities):
            for id, similarity, found in zip(hits.ids[i], hits.similarity[i], hits.probability[i], strict=True):
                if not id:
                    assert np.isnan(found)
                    continue
                ratio = made.calibration.log_ratio(np.array([similarity]), query, words[id])
                assert found == pytest.approx(probability(ratio, prior or 1 / 7)[0])
    assert hits.ids.shape == (6, 13) and (hits.probability[0, 0] > hits.probability[0, 11])


def test_unknown_and_linked_entries_count_as_people(gallery: Gallery) -> None:
    made = gallery.calibrate(KNOWN)

    def people() -> float:
        """The number of people that a probability was computed with."""
        hits = gallery.search(seen(1, seed=9, sources=()), top=1, modality="visible")
        ratio = made.calibration.log_ratio(hits.similarity[1:, 0], "infrared", "visible")
        odds = hits.probability[1, 0] / (1 - hits.probability[1, 0]) / np.exp(ratio[0])
        return float(1 / odds)  # of a prior 1 / (n + 1)

    assert people() == pytest.approx(6)
    ids = gallery.add(replace(seen(2, seed=8), pids=np.full(4, -1)), namespace="unknown")
    assert people() == pytest.approx(6 + 4)
    changed(gallery.folder, "INSERT INTO people (name) VALUES ('')")  # by another connection
    for row in (13, 14, 15):
        changed(gallery.folder, f"INSERT INTO members VALUES ({row}, 1, '')")
    assert people() == pytest.approx(6 + 2)
    gallery.delete(ids[3:])
    assert people() == pytest.approx(6 + 1)


def test_somebody_unknown_is_nobody_we_know(gallery: Gallery) -> None:
    gallery.calibrate(labelled(60, noise=0.2))
    close = labelled(6, each=1, seed=7, noise=0.0, modalities="i", sources=())
    hits = gallery.search(close, top=3, false_alarms=0.05)
    assert [limit.entries for limit in hits.thresholds] == ["visible", "infrared"]
    least = {limit.entries: limit.similarity for limit in hits.thresholds}
    words = {id: entry.modality for id, entry in zip(gallery.ids(), gallery.entries(), strict=True)}
    plain = gallery.search(close, top=12)
    for line, similarity, shown in zip(plain.ids, plain.similarity, hits.ids, strict=True):
        reach = [id for id, s in zip(line, similarity, strict=True) if s >= least[words[id]]]  # type: ignore[index]
        assert [id for id in shown if id] == reach[:3]
    strangers = gallery.search(labelled(6, each=1, seed=99, sources=()), top=3, false_alarms=0.05)
    assert not any(any(line) for line in strangers.ids) and np.isnan(strangers.probability).all()
    nothing = gallery.search(close, top=3, false_alarms=0.05, pids=[])
    assert nothing.thresholds == () and not any(any(line) for line in nothing.ids)
    fewer = gallery.search(close, top=3, false_alarms=0.05, modality="visible", pids=[1, 2]).thresholds
    assert [(limit.n_people, limit.n_entries) for limit in fewer] == [(2, 2)]
    assert fewer[0].similarity < least["visible"]


@pytest.mark.parametrize("name", ["prior", "false_alarms"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), "0.1", True])
def test_what_is_no_chance_is_refused(gallery: Gallery, name: str, value: object) -> None:
    with pytest.raises(GalleryError, match=f"^{name} must be above 0 and below 1, as 0.01; got "):
        gallery.search(KNOWN, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["prior", "false_alarms"])
def test_a_gallery_without_calibration_has_no_chances(gallery: Gallery, name: str) -> None:
    with pytest.raises(GalleryError, match=rf"^{name} needs a calibration, which .*people does not have; calibrate it"):
        gallery.search(KNOWN, **{name: 0.1})  # type: ignore[arg-type]


def test_a_rate_too_small_for_the_labelled_people_is_refused_with_the_least(gallery: Gallery) -> None:
    gallery.calibrate(KNOWN)
    message = (
        r"^false alarms of 0.01 among 6 people cannot be promised after a calibration with 30 people; "
        r"the least that can be promised is 0.1; ask for more, or calibrate with more people$"
    )
    with pytest.raises(GalleryError, match=message):
        gallery.search(KNOWN, false_alarms=0.01)
    gallery.search(KNOWN, false_alarms=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "a calibration needs labelled people; got none"),
        ((labelled(1),), "needs two labelled people or more; got 1"),
        ((replace(KNOWN, pids=np.full(120, -1)),), "needs two labelled people or more; got 0"),
        ((labelled(20, each=1, modalities="v"),), "a calibration needs pairs of the same person"),
        ((replace(KNOWN, meta={"model": "another"}),), "must be of the gallery's model, m; got another"),
        ((replace(KNOWN, meta={}),), "must be of the gallery's model, m; got one without a name"),
        ((Embeddings(unit(4, 8), np.arange(4) // 2, np.arange(4), "visible"),), "must have the gallery's width, 16"),
    ],
)  # fmt: skip
def test_labels_that_teach_nothing_are_refused(gallery: Gallery, given: tuple[Embeddings, ...], message: str) -> None:
    with pytest.raises(DuskmatchError, match=message):
        gallery.calibrate(*given)
    assert gallery.calibration() is None


def test_a_vector_that_is_not_a_number_is_refused() -> None:
    vectors = KNOWN.vectors.copy()
    vectors[3, 2] = np.nan
    with pytest.raises(DuskmatchError, match="finite"):
        replace(KNOWN, vectors=vectors)


def test_a_gallery_of_any_lengths_or_without_a_model_is_refused(tmp_path: Path) -> None:
    lengths = Gallery.create(tmp_path / "one", width=WIDTH, normalisation="none", model=MODEL)
    with lengths, pytest.raises(GalleryError, match="this gallery has normalisation none"):
        lengths.calibrate(KNOWN)
    empty = Gallery.create(tmp_path / "two", width=WIDTH)
    with empty, pytest.raises(GalleryError, match="has no model yet; add entries first"):
        empty.calibrate(KNOWN)


def test_a_pair_of_modalities_without_matches_has_no_probability(gallery: Gallery) -> None:
    one_each = labelled(30, each=1, noise=0.3)
    made = gallery.calibrate(one_each)
    assert list(made.calibration.ratios) == ["visible-infrared"] and set(made.facts["not_fitted"]) == {
        "visible-visible", "infrared-infrared",
    }  # fmt: skip
    hits = gallery.search(labelled(1, each=1, seed=3, modalities="v", sources=()), top=12)
    words = {id: entry.modality for id, entry in zip(gallery.ids(), gallery.entries(), strict=True)}
    known = [not np.isnan(p) for p in hits.probability[0]]
    assert known == [words[id] == "infrared" for id in hits.ids[0]]
    day_only = labelled(30, modalities="v")
    gallery.calibrate(day_only)
    with pytest.raises(GalleryError, match="infrared queries among visible entries were not measured"):
        gallery.search(labelled(1, modalities="i", sources=()), false_alarms=0.5)


def test_equal_similarities_say_nothing(gallery: Gallery) -> None:
    same = replace(KNOWN, vectors=np.repeat(unit(1), len(KNOWN), axis=0))
    made = gallery.calibrate(same)
    assert all((ratio.log_ratio == 0).all() for ratio in made.calibration.ratios.values())
    hits = gallery.search(seen(2, sources=()), top=3)
    assert hits.probability == pytest.approx(np.full((4, 3), 1 / 7))


def test_a_new_calibration_erases_the_one_before(gallery: Gallery, tmp_path: Path) -> None:
    gallery.calibrate(KNOWN, names=["the-first-data-set"])
    gallery.calibrate(labelled(20, seed=4), names=["the-second-data-set"])
    gallery.close()
    data = all_bytes(tmp_path / "people")
    assert b"the-second-data-set" in data and b"the-first-data-set" not in data


def test_copies_and_backups_carry_it(gallery: Gallery, tmp_path: Path) -> None:
    made = gallery.calibrate(KNOWN)
    gallery.backup(tmp_path / "kept")
    with gallery.copy(tmp_path / "copy") as copy, Gallery.restore(tmp_path / "again", tmp_path / "kept") as again:
        for other in (copy, again):
            kept = other.calibration()
            assert kept is not None and kept.text() == made.text()


def test_another_processs_calibration_is_in_the_next_search(gallery: Gallery, tmp_path: Path) -> None:
    queries = seen(1, sources=())
    assert np.isnan(gallery.search(queries, top=1).probability).all()
    code = (
        "import sys; from duskmatch.gallery import Gallery; from tests.gallery.labelled import labelled\n"
        "with Gallery.open(sys.argv[1]) as gallery: gallery.calibrate(labelled(9), names=['elsewhere'])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "people")], check=True)
    assert np.isfinite(gallery.search(queries, top=1).probability).all()
    kept = gallery.calibration()
    assert kept is not None and kept.facts["data"] == ["elsewhere"]


def damage(document: dict[str, object], path: str, value: object) -> dict[str, object]:
    place: object = document
    *way, last = path.split("/")
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]  # type: ignore[index]
    place[int(last) if isinstance(place, list) else last] = value  # type: ignore[index]
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", 2, "damaged: format"),
        ("more", 1, "damaged: more: Extra inputs"),
        ("model", "another", "is of another model, another, not of m"),
        ("calibration/schema_version", 9, "damaged: a calibration is damaged: schema_version"),
        ("calibration/ratios/visible-visible/log_ratio/0", 1e9, "damaged: a calibration is damaged: visible-visible"),
        ("strangers/0/threshold/3", -5.0, "damaged: false alarms: threshold must ascend"),
        ("strangers/0/one/share/0", 0.7, "damaged: false alarms: shares must sum to 1"),
        ("strangers/0/one/found/0", 500, "damaged: false alarms: found must be from 0 to n_people"),
        ("strangers/0/several/starts/0", 1, "damaged: false alarms: starts must ascend from 0"),
        ("calibration/facts/data/0", "\x1b[2J", "damaged: data.0: String should match"),
        ("calibration/facts/n_people", None, "damaged: n_people"),
        ("strangers/0/n_queries", "30", "damaged: strangers.0.n_queries"),
    ],
)
def test_a_damaged_or_foreign_calibration_is_refused_by_name(
    gallery: Gallery, tmp_path: Path, path: str, value: object, message: str
) -> None:
    made = gallery.calibrate(KNOWN)
    changed(
        tmp_path / "people",
        "UPDATE calibration SET document = ?",
        json.dumps(damage(json.loads(made.text()), path, value)),
    )
    with pytest.raises(GalleryError, match=f"^the gallery's calibration .*{message}.*calibrate again"):
        gallery.search(seen(1), top=1)
    assert any(message.split(":")[0] in problem for problem in gallery.verify().problems)
    gallery.calibrate(KNOWN)
    assert isinstance(gallery.calibration(), Calibrated) and gallery.verify().whole


def test_what_is_no_json_is_refused_by_name(gallery: Gallery, tmp_path: Path) -> None:
    gallery.calibrate(KNOWN)
    changed(tmp_path / "people", "UPDATE calibration SET document = 'no'")
    with pytest.raises(GalleryError, match=r"^the gallery's calibration is damaged: Invalid JSON"):
        gallery.calibration()


def test_figures_of_quality_are_those_of_the_pairs(gallery: Gallery) -> None:
    """Before: the mean of (similarity - truth)^2, over weighted pairs that come among ten of the gallery."""
    people = labelled(60, each=1, noise=1.5)
    made = gallery.calibrate(people)
    (one,) = [quality for quality in made.quality if quality.people == 45]
    everyone = put_together([people])
    pairs = pairs_of(everyone, "visible", "infrared", "none")
    assert pairs is not None and len(pairs.same) == 60 and len(pairs.others) == 60 * 59
    assert one.pair == "visible-infrared" and 0 < one.after.ece < one.before.ece
    assert one.after.log_loss < one.before.log_loss and one.after.brier < one.before.brier


def test_a_replacement_that_fails_leaves_the_one_before(gallery: Gallery, known: Calibrated) -> None:
    made = gallery.calibrate(labelled(12, seed=4))

    def fails(db: apsw.Connection) -> None:
        keep(db, known)
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError, match="killed here"):
        gallery._store.write(fails)
    kept = gallery.calibration()
    assert kept is not None and kept.text() == made.text() and not gallery.stats().erasure_pending
    gallery._store.write(lambda db: keep(db, known))
    replaced = gallery.calibration()
    assert replaced is not None and replaced.text() == known.text() and not gallery.stats().erasure_pending


def test_people_named_twice_are_refused(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "g", width=WIDTH) as gallery:
        gallery.add(labelled(3, first_pid=900, seed=5))
        with pytest.raises(GalleryError, match="b has vectors of a too; people of both would count twice"):
            gallery.calibrate(labelled(12), labelled(12), names=["a", "b"])
        assert gallery.calibration() is None
