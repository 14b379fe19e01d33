"""A gallery of the first layout, as it was written then, is read for ever."""

from __future__ import annotations

import gzip
from pathlib import Path

import apsw
import pytest

from duskmatch.errors import GalleryError
from duskmatch.gallery import Gallery
from duskmatch.gallery.store import schema
from tests.gallery.linking_cases import calibrate
from tests.gallery.making import WIDTH, names, unit

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "gallery" / "version1.backup.gz"  # what `gallery backup` wrote


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "version1.backup"
    path.write_bytes(gzip.decompress(EXAMPLE.read_bytes()))
    return path


def test_a_gallery_of_layout_1_is_read(backup: Path, tmp_path: Path) -> None:
    with Gallery.restore(tmp_path / "people", backup) as gallery:
        assert gallery.verify().whole and gallery.facts[:3] == (WIDTH, "unit", "example")
        assert gallery.ids() == [f"night/{name}" for name in names(4) if name != "entry-0001"]
        found = gallery.embeddings(gallery.ids())
        assert found.vectors.tolist() == unit(4)[[0, 2, 3]].tolist()
        entry = gallery.entries(["night/entry-0002"])[0]
        assert (entry.camera, entry.pid, entry.modality, entry.note) == (2, 2, "infrared", "note-0002")
        assert (entry.begin_s, entry.end_s, entry.clock, entry.thumbnails) == (20.0, 25.5, "video", (b"picture of 2",))


def test_entries_of_layout_1_are_linked_and_decided_about(backup: Path, tmp_path: Path) -> None:
    with Gallery.restore(tmp_path / "people", backup) as gallery:
        assert gallery.people() == [] and gallery.linked_to(gallery.ids()) == [None] * 3
        calibrate(gallery)
        gallery.link(margin=50)
        assert [len(person.ids) for person in gallery.people()] == [1, 1, 1]
        gallery.same(*gallery.ids()[:2])
        gallery.name(1, "Alice")
        assert gallery.verify().whole
    with Gallery.open(tmp_path / "people") as gallery:
        assert gallery.people("Alice")[0].ids == tuple(gallery.ids()[:2])


def test_an_older_layout_is_brought_on_in_one_transaction(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails half way leaves the file as it was."""
    Gallery.restore(tmp_path / "people", backup).close()
    later = "CREATE TABLE later (x INTEGER) STRICT"
    version = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", version + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, version: (later, "no SQL")})
    with pytest.raises(GalleryError, match="the database refuses"):
        Gallery.open(tmp_path / "people")
    db = apsw.Connection(str(tmp_path / "people" / "gallery.sqlite"))
    assert db.pragma("user_version") == version and db.table_exists("main", "later") is False
    db.close()
    monkeypatch.setattr(schema, "MIGRATIONS", {**schema.MIGRATIONS, version: (later,)})
    monkeypatch.setattr(schema, "TABLES", {**schema.TABLES, "later": later})
    for _ in range(2):
        with Gallery.open(tmp_path / "people") as gallery:
            assert len(gallery) == 3
