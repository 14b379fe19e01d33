"""SYSU-MM01's own draws: for each of ten trials a permutation of each person's pictures from each camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.data.draws import Drawn, by_person_and_camera
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import DataError
from duskmatch.records import Ints, Tracklet

VARIABLE, N_TRIALS = "rand_perm_cam", 10
Permutations = Mapping[tuple[int, int], Ints]  # (pid, camid) -> (10 n) picture numbers from 1


def read_permutations(root: Path, name: str, tracklets: Sequence[Tracklet], report: Report) -> Permutations:
    """The permutations of these people and cameras; each picture that they name must exist.

    Source: SYSU-MM01's exp/rand_perm_cam.mat: `rand_perm_cam{camera}{person}` holds one permutation a row.
    """
    cells = _load(root, name, report)
    found: dict[tuple[int, int], Ints] = {}
    for (pid, camid), own in by_person_and_camera(tracklets).items() if cells is not None else ():
        rows = _cell(cells, camid, pid)
        there = {number_of(tracklet) for tracklet in own}
        if rows is None or rows.shape[0] < N_TRIALS or not set(rows[:N_TRIALS].flat) <= there:
            rule = f"it must hold {N_TRIALS} permutations of the {len(own)} pictures of person {pid}, camera {camid}"
            text = f"{rule}; it does not; copy the file and the pictures again, or score without -official"
            report(Problem("contradictory", name, None, text))
            continue
        found[pid, camid] = rows
    return found


def draw_by_permutation(tracklets: Sequence[Tracklet], trial: int, permutations: Permutations, n_shots: int) -> Drawn:
    """The first `n_shots` of each person and camera in this trial's permutation."""
    drawn: Drawn = []
    for key, own in by_person_and_camera(tracklets).items():
        pictures = {number_of(tracklet): tracklet for tracklet in own}
        drawn += [pictures[int(number)] for number in permutations[key][trial][:n_shots]] if key in permutations else []
    return drawn


def number_of(tracklet: Tracklet) -> int:
    """A picture's number: cam1/0006/0012.jpg is 12."""
    return int(tracklet.frames[0].stem)


def _load(root: Path, name: str, report: Report) -> Any:
    """The cell array of the file, or None where it cannot be read; a MATLAB file holds arrays, no code."""
    path = root / name
    if not path.is_file():
        text = "the official trials are in this file, which is missing; copy it here, or score without -official"
        report(Problem("missing", name, None, text))
        return None
    from scipy.io import loadmat

    try:
        return loadmat(str(path), variable_names=[VARIABLE])[VARIABLE]
    except Exception as error:  # a damaged file raises almost anything
        raise DataError(f"{path}: it must be a MATLAB file with {VARIABLE}; {error}; copy it again") from error


def _cell(cells: Any, camid: int, pid: int) -> Ints | None:
    """(10 n) of one camera and person, None where there is no such cell."""
    try:
        people = np.asarray(cells).reshape(-1)[camid - 1].reshape(-1)
        rows = np.atleast_2d(np.asarray(people[pid - 1])).astype(np.int64)
    except (IndexError, ValueError, TypeError, AttributeError):
        return None
    return rows if rows.ndim == 2 else None
