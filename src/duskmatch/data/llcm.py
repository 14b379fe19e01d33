"""LLCM: training pictures by list, test pictures by camera and person, galleries drawn in ten trials.

| what     | where                                                                                       |
|----------|---------------------------------------------------------------------------------------------|
| training | `idx/train_vis.txt`, `idx/train_nir.txt`, `path label` lines; paths `vis/<pid>/...`, `nir/<pid>/...` |
| test     | `idx/test_id.txt`, people with commas; `test_vis/cam<c>/<pid>/`, `test_nir/cam<c>/<pid>/`      |

Near infrared is infrared here. Source: public code ZYK100/LLCM.
"""

from __future__ import annotations

import re
from pathlib import Path

from duskmatch.data.dataset import Dataset, finish
from duskmatch.data.draws import draw_by_seed, drawn_pairs
from duskmatch.data.images import picture_rows, pictures_in, pictures_of_person, read_labelled, read_people
from duskmatch.data.layout import Split, SplitRows
from duskmatch.data.problems import Problem, Report
from duskmatch.records import Modality, Protocol, ScoredPair

WORD: dict[Modality, str] = {"visible": "vis", "infrared": "nir"}
CAMERAS = range(1, 10)
# Source: docs/datasets.md, "LLCM": an owner's copy has this folder without pictures, and public code reads nothing from
# it.
EMPTY: tuple[Modality, int] = ("infrared", 3)

LLCM = Protocol(
    name="LLCM",
    variant="standard",
    pairs=(
        ScoredPair("infrared_to_visible", "every near-infrared test image", "1 visible image of each person, camera"),
        ScoredPair("visible_to_infrared", "every visible test image", "1 near-infrared image of each person, camera"),
    ),
    camera_rule="same-pid-same-camera",
    cmc="identities",
    trials=tuple(range(10)),
    trial_definition="python's random, seeded with the trial's number, people then cameras",
    sampling="segments",
)


def lies_in_llcm(root: Path) -> bool:
    """True if a folder has LLCM's layout."""
    lists = any((root / "idx" / f"train_{word}.txt").is_file() for word in WORD.values())
    return lists or all((root / f"test_{word}").is_dir() for word in WORD.values())


def open_llcm(root: Path, report: Report, protocol: Protocol = LLCM) -> Dataset:
    """LLCM, with its two directions."""
    splits: dict[Split, SplitRows] = {"train": _read_train(root, report), "test": _read_test(root, report)}
    finish(root, splits, report, {"train": "idx/train_vis.txt", "test": "idx/test_id.txt"})
    find_pair = drawn_pairs(*splits["test"].query_and_rest(), draw_by_seed)
    return Dataset(root, "LLCM", "", False, splits, {}, protocol, find_pair)


def _read_train(root: Path, report: Report) -> SplitRows:
    lists: dict[Modality, Path] = {m: root / "idx" / f"train_{word}.txt" for m, word in WORD.items()}
    return read_labelled(root, lists, WORD, lambda _, file: camera_of(file), report)


def camera_of(name: str) -> int:
    """The camera in a training picture's name, 0001_c07_s180001_f9154_nir.jpg; -1 if it has none."""
    found = re.search(r"_c(\d{1,3})_", name, re.ASCII)
    return int(found[1]) if found else -1


def _read_test(root: Path, report: Report) -> SplitRows:
    """The listed people's pictures, by person, then camera, then name."""
    path = root / "idx" / "test_id.txt"
    rows = picture_rows(root, [path])
    people = read_people(root, path, report)
    for pid in sorted(people):
        n_before = len(rows.places)
        for modality, word in WORD.items():
            for camid in CAMERAS:
                where = f"test_{word}/cam{camid}/{pid:04d}"
                empty = (modality, camid) == EMPTY
                for name in pictures_in(root / where) if empty else pictures_of_person(root, where, report):
                    rows.add_picture(root / where / name, pid, camid, modality)
        if len(rows.places) == n_before:
            text = f"person {pid} must have pictures in test_vis or test_nir; found none; copy them from the data set"
            report(Problem("missing", people[pid].file, people[pid].line, text))
    return rows
