"""A RUN in a comparison, and the small print of every picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duskmatch.embedding import Embedder
from duskmatch.embedding.highlights import Spread
from duskmatch.evaluation import Evaluation, origin
from duskmatch.evaluation.words import ARROWS, data_name
from duskmatch.records import DIRECTIONS, Embeddings, Floats, Modality, Tracklet


@dataclass(frozen=True, slots=True)
class Compared:
    """A RUN's scores and vectors on the people on which all RUNs are compared.

    document: that of `scores_document`; facts: the embedder's; weights: A of Eq. 12 by modality, (clips k), None for a
    network without A; untrained: vectors of the mapped people's tracklets from the network before training; spreads:
    how the single values of A are distributed, None where that was not recorded.
    """

    name: str
    evaluation: Evaluation
    document: Mapping[str, Any]
    facts: Mapping[str, Any]
    embedder: Embedder
    weights: Mapping[Modality, Floats] | None
    untrained: Embeddings
    spreads: Mapping[Modality, Spread] | None = None


def provenance(runs: Sequence[Compared]) -> str:
    """The small print of every picture: data, split, numbers of people and queries, each RUN's checkpoint."""
    first = runs[0]
    queries = ", ".join(f"{first.document[d]['n_queries']} queries {ARROWS[d]}" for d in DIRECTIONS)
    lines = [
        f"{origin(first.document)}. {first.evaluation.split.capitalize()} split: {n_people(first.evaluation)} people, "
        f"{queries}; camera rule {first.evaluation.camera_rule}."
    ]
    lines += [f"{run.name}: {checkpoint(run)}." for run in runs]
    return "\n".join(lines)


def checkpoint(run: Compared) -> str:
    """The checkpoint, its training data, and the size of a clip."""
    data, document = run.embedder.settings.data, run.document
    return (
        f"checkpoint {document['checkpoint'] or 'not said'}, seed {document['seed']}, trained on "
        f"{trained_on(run.embedder)}, {data.height} x {data.width} px, {data.frames_per_clip} frames a clip"
    )


def trained_on(embedder: Embedder) -> str:
    """The name of the training data, marked if they are synthetic."""
    data = embedder.header.get("data") or {}
    name = data_name(data) or "data not said"
    return f"{name} (synthetic)" if data.get("synthetic") else name


def source(runs: Sequence[Compared]) -> str:
    """The beginning of every caption: data set and split."""
    document = runs[0].document
    word = "SYNTHETIC data, " if document["synthetic"] else ""
    return f"{word}{data_name(document['data'])}, {runs[0].evaluation.split} split. "


def n_people(evaluation: Evaluation) -> int:
    """The number of people among the queries."""
    return len({int(pid) for side in evaluation.query.values() for pid in side.embeddings.pids})


def mapped_tracklets(evaluation: Evaluation, n: int) -> list[Tracklet]:
    """All tracklets of n people, spread evenly over those that are seen in both modalities; visible ones first."""
    visible, infrared = (evaluation.query[d].tracklets for d in ("visible_to_infrared", "infrared_to_visible"))
    people = sorted({t.pid for t in visible} & {t.pid for t in infrared})
    chosen = {people[i] for i in np.unique(np.linspace(0, len(people) - 1, min(n, len(people))).astype(int))}
    return [t for side in (visible, infrared) for t in side if t.pid in chosen]
