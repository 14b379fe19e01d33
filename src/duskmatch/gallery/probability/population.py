"""The people in a gallery, as far as it knows them, and how many entries each has."""

from __future__ import annotations

import numpy as np

from duskmatch.gallery.search.facts import Facts
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import MODALITIES, Ints, Modality


def persons(snapshot: Snapshot, rows: Ints, facts: Facts) -> Ints:
    """A number for each of these entries, the same for those of one person.

    Entries that were linked belong to the person they were linked to, others to their pid; one whose pid is unknown is
    a person of its own.
    """
    linked = np.array(snapshot.db.execute("SELECT row, person FROM members ORDER BY row").fetchall(), np.int64)
    kind, number = np.where(facts.pid >= 0, 1, 0), np.where(facts.pid >= 0, facts.pid, rows)
    if len(linked):
        place = np.minimum(np.searchsorted(linked[:, 0], rows), len(linked) - 1)
        known = linked[place, 0] == rows
        kind, number = np.where(known, 2, kind), np.where(known, linked[place, 1], number)
    whose, n_before = np.zeros(len(rows), np.int64), 0
    for one in range(3):
        these = kind == one
        different, place = np.unique(number[these], return_inverse=True)
        whose[these] = n_before + place
        n_before += len(different)
    return whose


def sizes(whose: Ints, facts: Facts) -> dict[Modality, Ints]:
    """The number of entries of each person, by modality; without modalities that no entry has."""
    found = {word: whose[facts.modality == place] for place, word in enumerate(MODALITIES)}
    return {word: np.unique(some, return_counts=True)[1] for word, some in found.items() if len(some)}
