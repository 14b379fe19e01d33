"""RegDB: ten splits of pictures with labels, each trained and tested on its own.

`idx/{train,test}_{visible,thermal}_{1..10}.txt` hold `path label` lines, paths `Visible/<person>/...` and
`Thermal/<person>/...`; the person is the folder's number, for labels start at 0 in each list. Thermal is infrared here.

Source: docs/datasets.md, "RegDB"; public code mangye16/Cross-Modal-Re-ID-baseline.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from duskmatch.data.dataset import Dataset, finish
from duskmatch.data.images import read_labelled
from duskmatch.data.layout import Split, SplitRows
from duskmatch.data.problems import Report
from duskmatch.records import Modality, Protocol, ScoredPair

FOLDER: dict[Modality, str] = {"visible": "Visible", "infrared": "Thermal"}
CAMERA: dict[Modality, int] = {"visible": 1, "infrared": 2}  # a pair of cameras side by side
SPLITS: tuple[Split, ...] = ("train", "test")

REGDB = Protocol(
    name="RegDB",
    variant="split-1",
    pairs=(
        ScoredPair("infrared_to_visible", "every thermal test image", "every visible test image"),
        ScoredPair("visible_to_infrared", "every visible test image", "every thermal test image"),
    ),
    camera_rule="none",
    trials=tuple(range(1, 11)),
    trial_definition="ten splits of the people; each is trained and tested on its own, ten models, and averaged",
    trained_apart=True,
    sampling="segments",
)
PROTOCOLS = tuple(replace(REGDB, variant=f"split-{trial}", trials=(trial,)) for trial in REGDB.trials)


def lies_in_regdb(root: Path) -> bool:
    """True if a folder has RegDB's layout."""
    lists = any((root / "idx" / f"{split}_{m}_1.txt").is_file() for split in SPLITS for m in ("visible", "thermal"))
    return lists or all((root / folder).is_dir() for folder in FOLDER.values())


def open_regdb(root: Path, report: Report, protocol: Protocol = PROTOCOLS[0]) -> Dataset:
    """One of RegDB's splits, the one `protocol` names."""
    trial = protocol.trials[0]
    splits = {split: _read(root, split, trial, report) for split in SPLITS}
    finish(root, splits, report, {split: f"idx/{split}_visible_{trial}.txt" for split in SPLITS})
    return Dataset(root, "RegDB", "", False, splits, {}, protocol)


def _read(root: Path, split: Split, trial: int, report: Report) -> SplitRows:
    lists: dict[Modality, Path] = {m: root / "idx" / f"{split}_{FOLDER[m].lower()}_{trial}.txt" for m in FOLDER}
    return read_labelled(root, lists, FOLDER, lambda modality, _: CAMERA[modality], report)
