"""The reasons of links, computed from the members of a person and kept as JSON; entries are rows in it, never ids."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from duskmatch.gallery.linking.decided import Decided
from duskmatch.gallery.linking.people import Member
from duskmatch.gallery.linking.seen import LogRatio, Seen, log_ratios, take

DIGITS = 4


def reasoned(
    entries: Seen, person: int, rows: Sequence[int], new: Sequence[int], decided: Decided, ratio: LogRatio, odds: float
) -> list[Member]:
    """The new ones among a person's rows as members, each with its reasons. odds: log prior odds added to ratios."""
    places = np.searchsorted(entries.rows, rows)
    wanted = np.searchsorted(entries.rows, new)
    ratios = log_ratios(take(entries, wanted), take(entries, places), ratio) + odds
    cameras = sorted(set(entries.camera[places].tolist()))
    found = []
    for row, line in zip(new, ratios, strict=True):
        reasons: dict[str, object] = {"cameras": cameras}
        others = [(float(value), other) for value, other in zip(line, rows, strict=True) if other != row]
        if others:
            best, worst = max(others, key=lambda o: (o[0], -o[1])), min(others)
            reasons["log_odds"] = round(float(np.mean([value for value, _ in others])), DIGITS)
            reasons["strongest"] = [best[1], round(best[0], DIGITS)]
            reasons["weakest"] = [worst[1], round(worst[0], DIGITS)]
        if (number := decided.decision_of(row)) is not None:
            reasons["decision"] = number
        found.append(Member(row, person, json.dumps(reasons)))
    return found
