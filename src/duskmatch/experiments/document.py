"""Parts that the experiments' JSON documents share: estimates, differences, facts of RUNs and data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from duskmatch.data import Dataset
from duskmatch.embedding import Embedder
from duskmatch.errors import DataError
from duskmatch.evaluation import bootstrap_interval, paired_interval
from duskmatch.evaluation.document import Count, Part
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.experiments.subjects import tracklets_of
from duskmatch.records import Ints

Doubles = npt.NDArray[np.float64]


class Estimate(Part):
    """A mean and its 95 % interval, bootstrap over people."""

    value: float
    interval: tuple[float, float]


class Difference(Part):
    """One figure minus another, with its 95 % interval over people, who are resampled alike for both."""

    value: float
    low: float
    high: float


class RunFacts(Part):
    """One RUN; null if its header does not say. `trained_on`: fingerprint of the training data."""

    name: str
    seed: int
    preset: str
    embedding: str
    checkpoint: str | None
    selection: str | None
    frames_per_clip: Count
    engine: str
    precision: str
    trained_on: str | None


class SetFacts(Part):
    """One data set; counts are of the split that was read; test_reads: readings by this account after this command."""

    name: str
    data: str
    version: str | None
    preset: str | None
    seed: int | None
    twins: str | None
    vary: str | None
    severity: int | None
    fingerprint: str
    synthetic: bool
    n_people: Count
    n_tracklets: Count
    test_reads: Count | None


def estimate(values: Doubles, pids: Ints, seed: int = 0) -> Estimate:
    """The mean over queries or tracks, and its bootstrap interval over people."""
    return Estimate(value=float(values.mean()), interval=bootstrap_interval(values, pids, seed=seed))


def difference(values: Doubles, others: Doubles, pids: Ints) -> Difference:
    """The mean of `values` minus that of `others` over the same queries, and its paired interval."""
    value, low, high = paired_interval(values, others, pids)
    return Difference(value=value, low=low, high=high)


def run_facts(name: str, embedder: Embedder, facts: Mapping[str, Any] | None = None) -> RunFacts:
    """The facts of a RUN that stand beside its figures; `facts`: those of the embedder, if computed already."""
    facts = embedder.facts() if facts is None else facts
    checkpoint, trained_on = facts["checkpoint"], facts["trained_on"]
    return RunFacts(
        name=name,
        preset=embedder.settings.preset,
        embedding=str(facts["embedding"]),
        checkpoint=None if checkpoint is None else str(checkpoint),
        frames_per_clip=facts["n_frames"],
        trained_on=trained_on.get("fingerprint") if isinstance(trained_on, dict) else None,
        **{key: facts[key] for key in ("seed", "selection", "engine", "precision")},
    )


def set_facts(name: str, dataset: Dataset, split: ScoredSplit) -> SetFacts:
    """The facts of a data set, without a count of readings; DataError if it cannot be used."""
    tracklets = tracklets_of(dataset, split)
    try:
        return SetFacts(
            name=name,
            data=dataset.name,
            version=dataset.version or None,
            **{key: dataset.facts.get(key) for key in ("preset", "seed", "twins", "vary", "severity")},
            fingerprint=dataset.fingerprint,
            synthetic=dataset.synthetic,
            n_people=len({tracklet.pid for tracklet in tracklets}),
            n_tracklets=len(tracklets),
            test_reads=None,
        )
    except ValidationError as error:
        first = error.errors()[0]
        what, rule = first["loc"][0], first["msg"].replace("Input should", "must")
        raise DataError(
            f"{dataset.root}/duskwalk.json: {what} {rule}; got {first['input']!r}; write the set again"
        ) from error
