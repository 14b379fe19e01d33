"""Several trials of one pair: their mean, which is published, and their pooled queries, for its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from duskmatch.records import Scores

POOLED = ("first_hit", "average_precision", "inp", "query_pids")


def mean_of_trials(trials: Sequence[Scores]) -> Scores:
    """The mean of each figure over trials; counts and per-query arrays are the first trial's.

    Source: docs/evaluation.md, "Trials".
    """
    first = trials[0]
    if len(trials) == 1:
        return first
    length = max(len(scores.cmc) for scores in trials)
    curves = [np.pad(scores.cmc, (0, length - len(scores.cmc)), constant_values=1.0) for scores in trials]
    return replace(
        first,
        cmc=np.mean(curves, axis=0),
        mean_average_precision=float(np.mean([scores.mean_average_precision for scores in trials])),
        mean_inp=float(np.mean([scores.mean_inp for scores in trials])),
        chance=float(np.mean([scores.chance for scores in trials])),
    )


def pooled(trials: Sequence[Scores]) -> Scores:
    """The scored queries of all trials, concatenated for the bootstrap over people; the rest is the first trial's."""
    if len(trials) == 1:
        return trials[0]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(scores, name) for scores in trials]) for name in POOLED}
    return replace(trials[0], **arrays)
