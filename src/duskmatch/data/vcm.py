"""HITSZ-VCM: a real copy, checked against the official counts, and other data in its layout."""

from __future__ import annotations

from pathlib import Path

from duskmatch.data.dataset import Dataset, claims_to_be, open_layout
from duskmatch.data.layout import Split
from duskmatch.data.problems import Problem, Report
from duskmatch.records import HITSZ_VCM, Protocol

OFFICIAL_PEOPLE: dict[Split, int] = {"train": 500, "test": 427}
# After the 12-frame filter. Source: docs/datasets.md, "When a copy counts as HITSZ-VCM".
OFFICIAL_COUNTS = {
    "train infrared tracks": 4291,
    "train infrared frames": 98214,
    "train visible tracks": 5460,
    "train visible frames": 126543,
    "test infrared tracks": 4584,
    "test infrared frames": 105979,
    "test visible tracks": 5099,
    "test visible frames": 118137,
}
NAME = "HITSZ-VCM"  # also a file at the root, which has the copy checked against the official counts


def lies_in_vcm(root: Path) -> bool:
    """True if a folder holds the info files of HITSZ-VCM's layout."""
    names = ("train_name.txt", "test_name.txt")
    return any((root / place / name).is_file() for place in ("info", ".") for name in names)


def open_vcm(root: Path, report: Report, protocol: Protocol = HITSZ_VCM) -> Dataset:
    """A copy of HITSZ-VCM, checked against its official counts, or any data in its layout.

    A copy claims to be HITSZ-VCM by its 500 training and 427 test people, or by a file named HITSZ-VCM at its root.
    """
    dataset = open_layout(root, report, name="HITSZ-VCM layout", version="", synthetic=False, facts={})
    if not claims_to_be(NAME, root, dataset.splits, OFFICIAL_PEOPLE):
        return dataset
    found = dataset.counts()
    wrong = [f"{what}: expected {n}, found {found[what]}" for what, n in OFFICIAL_COUNTS.items() if found[what] != n]
    if wrong:
        rule = f"this copy claims to be {NAME} but its counts after the 12-frame filter differ"
        report(Problem("counts", ".", None, f"{rule} ({'; '.join(wrong)}); copy the info files and archives again"))
        return dataset
    return Dataset(root, NAME, "", False, dataset.splits, {}, protocol)
