"""Twins: groups of four as the generator makes them, scores among them against a loop over sorted lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from duskmatch.data import Dataset, open_dataset
from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation import score
from duskmatch.experiments.motion.twins import among_twins, twin_groups
from duskmatch.records import Embeddings
from duskmatch.synthetic.people import make_person
from tests.oracle.metrics import evaluate


def side(pids: np.ndarray, camids: np.ndarray, vectors: np.ndarray, modality: str) -> Embeddings:
    return Embeddings(vectors.astype(np.float32), pids, camids, modality)


def made(n_people: int = 10, seed: int = 0) -> tuple[Embeddings, Embeddings]:
    rng = np.random.default_rng(seed)
    sides = []
    for modality in ("infrared", "visible"):
        pids = np.repeat(np.arange(1, n_people + 1), 3)
        centres = np.random.default_rng(9).standard_normal((n_people + 1, 6))
        vectors = centres[pids] + 1.5 * rng.standard_normal((len(pids), 6))
        sides.append(side(pids, rng.integers(1, 4, len(pids)), vectors, modality))
    return sides[0], sides[1]


def test_groups_are_the_generators() -> None:
    people = [make_person(3, "test", index, "gait_twins") for index in range(8)]
    alike = [[a.look == b.look for b in people] for a in people]
    expected = [[a // 4 == b // 4 for b in range(8)] for a in range(8)]
    assert alike == expected


def test_groups_of_a_set_by_pid(twins: Path) -> None:
    found = open_dataset(twins)
    assert twin_groups(found, "test") == {pid: (pid - 9) // 4 for pid in range(9, 21)}
    assert twin_groups(found, "validation") == dict.fromkeys(range(21, 25), 0)


def test_groups_that_are_not_whole_are_left_out(twins: Path) -> None:
    found = open_dataset(twins)
    rows = found.splits["test"]
    kept = {row: one for row, one in rows.tracklets.items() if one.pid not in (10, 17)}
    fewer = replace(found, splits={**found.splits, "test": replace(rows, tracklets=kept)})
    assert twin_groups(fewer, "test") == dict.fromkeys(range(13, 17), 1)


def test_a_set_without_twins_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError) as caught:
        twin_groups(dataset, "test")
    assert str(caught.value) == (
        f"{dataset.root} must be a set of twins; its duskwalk.json names none; make one with `duskmatch synth --twins` "
        "or leave it out"
    )


def test_a_split_without_four_alike_is_refused(twins: Path) -> None:
    found = open_dataset(twins)
    rows = found.splits["validation"]
    kept = {row: one for row, one in rows.tracklets.items() if one.pid != 21}
    fewer = replace(found, splits={**found.splits, "validation": replace(rows, tracklets=kept)})
    with pytest.raises(DataError) as caught:
        twin_groups(fewer, "validation")
    assert str(caught.value) == (
        f"{found.root}: validation must hold 4 people who are twins of each other; no four of its 3 people are; choose "
        "another split or set"
    )


def test_an_unknown_preset_is_refused(twins: Path) -> None:
    found = open_dataset(twins)
    with pytest.raises(DataError) as caught:
        twin_groups(replace(found, facts={**found.facts, "preset": "huge"}), "test")
    assert str(caught.value) == (
        f"{found.root}/duskwalk.json: preset must be one of tiny, demo, bench, full; got 'huge'; write it again"
    )


@pytest.mark.parametrize("other_cameras", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_scores_among_twins_equal_a_loop_over_each_querys_own_four(seed: int, other_cameras: bool) -> None:
    query, gallery = made(seed=seed)
    groups = {pid: (pid - 1) // 4 for pid in range(1, 9)}  # persons 9 and 10 have no whole group
    found = among_twins(query, gallery, groups, "same-pid-same-camera", other_cameras=other_cameras)
    unit = [one.vectors / np.linalg.norm(one.vectors, axis=1, keepdims=True) for one in (query, gallery)]
    dist = -(unit[0] @ unit[1].T)
    first, precision, chances, left_out = [], [], [], 0
    for row in np.flatnonzero(query.pids <= 8):
        own = np.flatnonzero(
            [
                groups.get(int(pid)) == groups[int(query.pids[row])]
                and not (other_cameras and camid == query.camids[row])
                for pid, camid in zip(gallery.pids, gallery.camids, strict=True)
            ]
        )
        labels = query.pids[[row]], query.camids[[row]], gallery.pids[own], gallery.camids[own]
        one = evaluate(dist[[row]][:, own], *labels, "same-pid-same-camera")
        left_out += len(one["left_out"])
        if not one["left_out"]:
            first.append(one["first_hit"][0])
            precision.append(one["mean_average_precision"])
            chances.append(one["chance"])
    assert found.first_hit.tolist() == first
    assert found.average_precision == pytest.approx(precision)
    assert found.chance == pytest.approx(np.mean(chances))
    assert (found.n_queries, found.n_left_out) == (24, left_out)


def test_who_is_told_apart_from_all_but_its_twins_scores_chance_among_them_by_hand() -> None:
    # Two groups on two axes; within a group all vectors are one, so the first gallery row of the group comes first.
    pids, axis = np.arange(1, 9), np.repeat([0, 1], 4)
    query = side(pids, np.full(8, 1), np.eye(2)[axis], "infrared")
    gallery = side(pids, np.full(8, 2), np.eye(2)[axis], "visible")
    groups = {pid: (pid - 1) // 4 for pid in range(1, 9)}
    found = among_twins(query, gallery, groups, "same-pid-same-camera")
    assert found.first_hit.tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    assert (found.first_hit == 1).mean() == found.chance == 0.25
    everyone = score(query, gallery)
    assert everyone.chance == 0.125 and (everyone.first_hit == 1).mean() == 0.25  # told apart from the other group


def test_who_knows_cameras_and_not_twins_is_below_chance_only_where_the_query_camera_stays() -> None:
    # Vectors say which camera and nothing else; everybody is before cameras 1 and 2 in both modalities.
    pids, camids = np.repeat(np.arange(1, 5), 2), np.tile([1, 2], 4)
    query, gallery = (side(pids, camids, np.eye(3)[camids], word) for word in ("infrared", "visible"))
    groups = dict.fromkeys(range(1, 5), 0)
    found = among_twins(query, gallery, groups, "same-pid-same-camera")
    assert (found.first_hit == 1).mean() == 0  # three twins of the camera stand before
    assert found.chance == pytest.approx(1 / 7)
    elsewhere = among_twins(query, gallery, groups, "same-pid-same-camera", other_cameras=True)
    assert (elsewhere.first_hit == 1).mean() == elsewhere.chance == 0.25


def test_no_match_left_is_refused() -> None:
    query, gallery = made(4)
    query = replace(query, camids=np.ones(12, np.int64))
    gallery = replace(gallery, camids=np.ones(12, np.int64))
    with pytest.raises(EvaluationError) as caught:
        among_twins(query, gallery, {1: 0, 2: 0, 3: 0, 4: 0}, "same-pid-same-camera")
    assert str(caught.value) == ("no query has a match among its twins after the camera rule; choose a larger set")
