"""Films are what they say, are found again, and lose their pictures without being forgotten."""

from __future__ import annotations

import json
import re

import pytest

from duskmatch.errors import OutputError
from duskmatch.experiments.counterfactual import films as films_module
from duskmatch.experiments.counterfactual.films import Cast, FilmStore, Take, sample_frames
from duskmatch.synthetic import FACTORS, PRESETS
from tests.experiments.counterfactual.conftest import SEED


@pytest.fixture
def store(few, tmp_path):
    return FilmStore(tmp_path / "films", Cast(few, SEED, None, 2, PRESETS[few].size), n_processes=1)


@pytest.fixture
def filmed(monkeypatch):
    """The folders filmed, in order."""
    seen = []
    generate = films_module.generate
    monkeypatch.setattr(films_module, "generate", lambda out, **order: seen.append(out.name) or generate(out, **order))
    return seen


def pictures(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_severity_0_is_the_unchanged_set_to_the_byte(store, base):
    film = store.with_pictures(Take("occluder", 0))
    own, whole = pictures(film.root), pictures(base)
    assert len(own) == 2 * 6 * 12
    assert own == {name: data for name, data in whole.items() if name[:4] in ("0003", "0004")}


@pytest.mark.parametrize("factor", FACTORS)
def test_other_severities_differ_in_pictures_and_in_nothing_else(store, base, factor):
    whole = pictures(base)
    seen = []
    for severity in (1, 4):
        film = store.with_pictures(Take(factor, severity))
        own = pictures(film.root)
        assert set(own) == {name for name in whole if name[:4] in ("0003", "0004")}
        assert sum(own[name] != whole[name] for name in own) > 0.6 * len(own)
        for name in ("test_name.txt", "track_test_info.txt"):
            lines = (film.root / "info" / name).read_text().splitlines()
            assert lines == (base / "info" / name).read_text().splitlines()[: len(lines)]
        facts = json.loads((film.root / "duskwalk.json").read_text())
        assert (facts["vary"], facts["severity"], facts["test_people"]) == (factor, severity, 2)
        seen.append(own)
    assert seen[0] != seen[1]


def test_a_film_is_found_again_and_not_filmed_twice(store, filmed):
    take = Take("pose", 2)
    first = store.with_pictures(take).fingerprint
    assert store.record(take).fingerprint == first
    assert store.with_pictures(take).fingerprint == first
    assert filmed == ["pose-2"]


def test_a_film_without_its_film_json_is_not_filmed_twice(store, filmed):
    take = Take("pose", 2)
    first = store.with_pictures(take).fingerprint
    (store.place(take) / "film.json").unlink()
    assert store.record(take) is None
    assert store.with_pictures(take).fingerprint == first == store.record(take).fingerprint
    assert filmed == ["pose-2"]


@pytest.mark.parametrize("lost", ["duskwalk.json", "a picture"])
def test_an_unfinished_film_is_made_again(store, filmed, lost):
    take = Take("pose", 2)
    film = store.with_pictures(take)
    first, whole = film.fingerprint, pictures(film.root)
    (film.test[3].frames[5] if lost == "a picture" else film.root / lost).unlink()
    (film.root / "left over.jpg.part").write_bytes(b"half")
    assert store.with_pictures(take).fingerprint == first
    assert filmed == ["pose-2", "pose-2"]
    assert pictures(store.place(take)) == whole
    assert not (film.root / "left over.jpg.part").exists()


def test_pictures_go_and_come_back(store, filmed):
    take = Take("exposure", 3)
    film = store.with_pictures(take)
    record, samples = store.record(take), sample_frames(film.test)
    whole = pictures(film.root)
    store.discard(take)
    left = pictures(film.root)
    assert set(left) == {str(path.relative_to(film.root)) for path in samples.values()} and len(left) == 2
    assert store.record(take) == record.model_copy(update={"pictures": False})
    assert store.sample(take, "infrared") == samples["infrared"]
    assert (film.root / "duskwalk.json").is_file() and (film.root / "info" / "walks.csv").is_file()
    store.discard(take)  # once more does nothing
    assert pictures(film.root) == left
    assert store.with_pictures(take).fingerprint == record.fingerprint
    assert pictures(film.root) == whole and filmed == ["exposure-3", "exposure-3"]


def test_a_deletion_that_was_cut_off_is_made_good(store, filmed):
    take = Take("exposure", 3)
    film = store.with_pictures(take)
    whole = pictures(film.root)
    record = store.record(take).model_copy(update={"pictures": False})
    (film.root / "film.json").write_text(record.model_dump_json())  # killed here: written down, nothing deleted yet
    store.discard(take)
    assert len(pictures(film.root)) == 2
    store.with_pictures(take)
    assert pictures(film.root) == whole


def test_a_film_of_other_people_is_refused(store, few, filmed):
    take = Take("view", 1)
    store.with_pictures(take)
    store.check(take)
    store.check(Take("view", 2))  # which is not there
    other = FilmStore(store.folder, Cast(few, SEED + 1, None, 2, PRESETS[few].size), n_processes=1)
    place = store.place(take) / "duskwalk.json"
    message = f"{place}: seed must be 6; got 5; pass --overwrite or choose another DIR"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        other.check(take)
    place.write_text("[]")
    message = f"{place}: preset must be few; got nothing; pass --overwrite or choose another DIR"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        store.check(take)


def test_no_film_no_record(store):
    assert store.record(Take("view", 1)) is None
    store.discard(Take("view", 1))
    assert not store.folder.exists()
