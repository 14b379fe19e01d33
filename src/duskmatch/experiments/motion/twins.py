"""Groups of four twins in a Duskwalk set made with `synth --twins`, and scores within these groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from duskmatch.data import Dataset
from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation import score
from duskmatch.evaluation.matches import UNKNOWN_CAMID, SamePersonTable
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.records import CameraRule, Embeddings, Ints
from duskmatch.synthetic import PRESETS
from duskmatch.synthetic.people import GROUP, twin_group
from duskmatch.synthetic.walks import first_pid

POOL_NAMES: dict[ScoredSplit, str] = {"test": "test", "validation": "val"}


@dataclass(frozen=True, slots=True)
class TwinScores:
    """The figures of a search among twins, as in `Scores`; arrays hold the scored queries in order."""

    first_hit: Ints
    average_precision: npt.NDArray[np.float64]
    query_pids: Ints
    chance: float
    n_queries: int
    n_left_out: int


def twin_groups(dataset: Dataset, split: ScoredSplit) -> dict[int, int]:
    """pid -> number of its group, for people of complete groups of four; DataError if there is none."""
    if not dataset.facts.get("twins"):
        raise DataError(
            f"{dataset.root} must be a set of twins; its duskwalk.json names none; make one with `duskmatch synth "
            "--twins` or leave it out"
        )
    named = str(dataset.facts.get("preset"))
    if named not in PRESETS:
        rule = f"preset must be one of {', '.join(PRESETS)}; got {named!r}"
        raise DataError(f"{dataset.root}/duskwalk.json: {rule}; write it again")
    first = first_pid(PRESETS[named], POOL_NAMES[split])
    pair = dataset.direction("infrared_to_visible", split)
    pids = sorted({tracklet.pid for side in pair for tracklet in side})
    groups = {pid: twin_group(pid - first) // GROUP for pid in pids}
    sizes = np.bincount(list(groups.values()), minlength=1)
    whole = {pid: group for pid, group in groups.items() if sizes[group] == GROUP}
    if not whole:
        raise DataError(
            f"{dataset.root}: {split} must hold {GROUP} people who are twins of each other; no four of its "
            f"{len(pids)} people are; choose another split or set"
        )
    return whole


def among_twins(
    query: Embeddings,
    gallery: Embeddings,
    groups: Mapping[int, int],
    camera_rule: CameraRule,
    *,
    other_cameras: bool = False,
) -> TwinScores:
    """Scores of each query searched in its own group of four only.

    `other_cameras`: without gallery entries from the query's camera. The camera rule removes only the person's own
    entries there; those of the other twins, which look most like the query, then cost hits.
    """
    cameras = [np.unique(query.camids)] if not other_cameras else np.unique(query.camids)[:, None]
    of_query, of_gallery = (np.array([groups.get(int(pid), -1) for pid in side.pids]) for side in (query, gallery))
    parts, rows = [], []
    for group, own_cameras in product(sorted(set(groups.values())), cameras):
        asked = np.flatnonzero((of_query == group) & np.isin(query.camids, own_cameras))
        known = own_cameras[own_cameras != UNKNOWN_CAMID]
        left = (of_gallery == group) & ~(other_cameras & np.isin(gallery.camids, known))
        own, others = query.take(asked), gallery.take(left)
        table = SamePersonTable(others.pids, others.camids, camera_rule)
        if len(own) and len(others) and table.of(own.pids, own.camids).matches.any():
            parts.append(score(own, others, camera_rule=camera_rule))
            rows.append(asked[parts[-1].scored])
    if not parts:
        raise EvaluationError("no query has a match among its twins after the camera rule; choose a larger set")
    order, n_queries = np.argsort(np.concatenate(rows)), int((of_query >= 0).sum())
    return TwinScores(
        np.concatenate([part.first_hit for part in parts])[order],
        np.concatenate([part.average_precision for part in parts])[order],
        np.concatenate([part.query_pids for part in parts])[order],
        chance=float(np.average([part.chance for part in parts], weights=[len(part.scored) for part in parts])),
        n_queries=n_queries,
        n_left_out=n_queries - len(order),
    )
