"""Everything that a gallery holds of one person, as files that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.files import claimed, write_bytes, write_json
from duskmatch.gallery.linking.people import in_json, linked
from duskmatch.gallery.store.entries import Entry
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import Embeddings, Floats

ENDINGS = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"))


def export_person(snapshot: Snapshot, pid: int, out: Path) -> int:
    """Writes entries.json, embeddings.safetensors and the pictures into a new folder; the number of entries.

    Raises GalleryError where the person has none, OutputError where the folder holds files.
    """
    from duskmatch.evaluation import save_embeddings  # with torch

    rows = snapshot.rows("WHERE pid = ?", (pid,))
    if not rows:
        raise GalleryError(f"no entry is of person {pid}; list the people with `duskmatch gallery list`")
    entries = snapshot.entries(rows)
    vectors, ids = snapshot.vectors(np.array(rows))
    with claimed(out, overwrite=False):
        out.chmod(0o700)
        named = [write_pictures(out, number, entry) for number, entry in enumerate(entries, start=1)]
        save_embeddings(out / "embeddings.safetensors", embeddings_of(entries, vectors, ids))
        facts = [plain(entry, pictures) for entry, pictures in zip(entries, named, strict=True)]
        people = [in_json(to) for to in linked(snapshot, rows)]
        write_json(out / "entries.json", [{**one, **to} for one, to in zip(facts, people, strict=True)])
    return len(rows)


def plain(entry: Entry, pictures: list[str] | None = None) -> dict[str, Any]:
    """An entry as JSON: names of its pictures' files, or how many there are."""
    facts = {key: value for key, value in asdict(entry).items() if key != "thumbnails"}
    return {**facts, "thumbnails": len(entry.thumbnails) if pictures is None else pictures}


def write_pictures(out: Path, number: int, entry: Entry) -> list[str]:
    """Writes an entry's pictures as NUMBER-1.jpg and so on; their names."""
    names = []
    for place, picture in enumerate(entry.thumbnails, start=1):
        ending = next((ending for head, ending in ENDINGS if picture.startswith(head)), ".bin")
        names.append(f"{number:04d}-{place}{ending}")
        write_bytes(out / names[-1], picture)
    return names


def embeddings_of(entries: Sequence[Entry], vectors: Floats, names: Sequence[str]) -> Embeddings:
    """Stored entries as embeddings, called by these names."""
    return Embeddings(
        vectors,
        np.array([entry.pid for entry in entries], np.int64),
        np.array([entry.camera for entry in entries], np.int64),
        [entry.modality for entry in entries],
        names,
        {"model": entries[0].model} if entries else {},
        [entry.begin_s for entry in entries],
        [entry.end_s for entry in entries],
    )
