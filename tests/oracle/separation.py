"""The area under the ROC as it is defined: every pair of one person against every pair of two."""

from __future__ import annotations


def auc(cosine, query_pids, query_camids, gallery_pids, gallery_camids, camera_rule, within):
    """(share of wins, pairs of one person, pairs of two); None for the share where there is nothing to compare."""
    same, others = [], []
    for i, (p, c) in enumerate(zip(query_pids, query_camids, strict=True)):
        for j, (pid, camid) in enumerate(zip(gallery_pids, gallery_camids, strict=True)):
            if p < 0 or pid < 0 or (within and j <= i):
                continue
            if p != pid:
                others.append(cosine[i][j])
            elif camera_rule == "none" or c == -1 or c != camid:
                same.append(cosine[i][j])
    wins = sum((s > o) + (s == o) / 2 for s in same for o in others)
    return (wins / (len(same) * len(others)) if same and others else None), len(same), len(others)
