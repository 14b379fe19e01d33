"""False alarms by definition: every gallery that can be drawn, every query asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from duskmatch.records import Embeddings


def alarm_rate(
    labelled: Embeddings, query: str, entries: str, threshold: float, n_drawn: int, chosen: Sequence[int] | None = None
) -> float:
    """The mean over people of the share of (query, gallery) with any entry at or above the threshold.

    Galleries are all sets of `n_drawn` of the other people with all their entries, or those of the rows `chosen`.
    """
    rows = range(len(labelled))
    of_entries = [i for i in (rows if chosen is None else chosen) if labelled.modalities[i] == entries]
    shares = []
    for pid in sorted({int(labelled.pids[i]) for i in rows if labelled.modalities[i] == query}):
        others = sorted({int(labelled.pids[i]) for i in of_entries} - {pid})
        asked = [i for i in rows if labelled.modalities[i] == query and labelled.pids[i] == pid]
        alarms = []
        for i in asked:
            sims = {j: float(labelled.vectors[i].astype(float) @ labelled.vectors[j].astype(float)) for j in of_entries}
            for gallery in combinations(others, n_drawn):
                alarms.append(any(sims[j] >= threshold for j in of_entries if labelled.pids[j] in gallery))
        shares.append(np.mean(alarms))
    return float(np.mean(shares))
