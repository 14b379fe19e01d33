"""The official definition, one query at a time, as slow and literal as it reads."""

from __future__ import annotations

import numpy as np


def evaluate(dist, query_pids, query_camids, gallery_pids, gallery_camids, camera_rule, cmc="entries"):
    """CMC, mAP, mINP, chance and the rows left out: sort each query's row, drop what the rule removes, walk down.

    Entries of pid -1 are dropped too, and queries of pid -1 have no hit.
    """
    first_hits, precisions, inps, chances, left_out, tied = [], [], [], [], [], 0
    n_gallery = len(gallery_pids)
    for q in range(len(query_pids)):
        order = sorted(range(n_gallery), key=lambda g, q=q: (dist[q][g], g))
        kept = []
        if query_pids[q] == -1:
            left_out.append(q)
            continue
        for g in order:
            if gallery_pids[g] == -1:
                continue
            same_pid = gallery_pids[g] == query_pids[q]
            same_camera = gallery_camids[g] == query_camids[q] != -1
            if camera_rule == "same-pid-same-camera" and same_pid and same_camera:
                continue
            if camera_rule == "camera-3-skips-camera-2" and (query_camids[q], gallery_camids[g]) in ((3, 2), (2, 3)):
                continue
            kept.append(g)
        hits = [i + 1 for i, g in enumerate(kept) if gallery_pids[g] == query_pids[q]]
        if not hits:
            left_out.append(q)
            continue
        if cmc == "entries":
            first_hits.append(hits[0])
        else:
            people = []
            for g in kept:  # the list thinned to the first entry of each person
                if gallery_pids[g] not in people:
                    people.append(gallery_pids[g])
            first_hits.append(people.index(query_pids[q]) + 1)
        precisions.append(sum((i + 1) / r for i, r in enumerate(hits)) / len(hits))
        inps.append(len(hits) / hits[-1])
        chances.append(len(hits) / len(kept))
        mine = {dist[q][g] for g in kept if gallery_pids[g] == query_pids[q]}
        others = {dist[q][g] for g in kept if gallery_pids[g] != query_pids[q]}
        tied += bool(mine & others)
    length = max(20, n_gallery)
    return {
        "cmc": np.array([sum(f <= k for f in first_hits) / max(1, len(first_hits)) for k in range(1, length + 1)]),
        "mean_average_precision": np.mean(precisions) if precisions else np.nan,
        "mean_inp": np.mean(inps) if inps else np.nan,
        "chance": np.mean(chances) if chances else np.nan,
        "first_hit": np.array(first_hits, int),
        "left_out": left_out,
        "n_ties": tied,
    }
