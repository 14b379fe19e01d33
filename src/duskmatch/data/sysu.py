"""SYSU-MM01: pictures by camera and person, lists of people, and galleries drawn in ten trials.

| what       | where                                                                                     |
|------------|-------------------------------------------------------------------------------------------|
| pictures   | `cam1` .. `cam6` / person (4 digits) / picture (4 digits) `.jpg`; cameras 3 and 6 are infrared |
| people     | `exp/train_id.txt`, `exp/val_id.txt` (both are trained on), `exp/test_id.txt`, with commas |
| the data set's own draws | `exp/rand_perm_cam.mat`, for the protocols that end in `-official`            |

Source: docs/datasets.md, "SYSU-MM01"; public code of DDAG, CAJL (trials by seed) and MPANet (the set's own trials).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from duskmatch.data.dataset import Dataset, finish
from duskmatch.data.draws import Draw, draw_by_seed, drawn_pairs
from duskmatch.data.images import folders_in, numbered, picture_rows, pictures_of_person, read_people
from duskmatch.data.layout import Place, Split, SplitRows
from duskmatch.data.permutations import draw_by_permutation, read_permutations
from duskmatch.data.problems import Problem, Report
from duskmatch.records import Modality, Protocol, ScoredPair

CAMERAS: dict[int, Modality] = {
    1: "visible", 2: "visible", 3: "infrared", 4: "visible", 5: "visible", 6: "infrared",
}  # fmt: skip
LISTS: dict[Split, tuple[str, ...]] = {"train": ("train_id.txt", "val_id.txt"), "test": ("test_id.txt",)}
PERMUTATIONS = "exp/rand_perm_cam.mat"
SEARCHED: dict[str, tuple[int, ...]] = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SHOTS = {"single": 1, "multi": 10}
BY_SEED = "python's random, seeded with the trial's number, people then cameras"
OFFICIAL = "the data set's own permutations, rand_perm_cam.mat"


def _protocol(search: str, shot: str, official: bool) -> Protocol:
    """One of the protocols.

    Public code removes nothing for visible queries, so that direction is scored by both rules.
    Source: `eval_sysu` in DDAG's public code; docs/datasets.md, "Protocols".
    """
    cameras = ", ".join(map(str, SEARCHED[search]))
    each = "1 image" if shot == "single" else "up to 10 images"
    return Protocol(
        name=f"SYSU-MM01, {search} search, {shot} shot",
        variant=f"{search}-{shot}" + ("-official" if official else ""),
        pairs=(
            ScoredPair(
                "infrared_to_visible",
                "every infrared test image (cameras 3, 6)",
                f"{each} of each person and visible camera ({cameras})",
            ),
            ScoredPair(
                "visible_to_infrared",
                f"every visible test image (cameras {cameras})",
                f"{each} of each person and infrared camera (3, 6)",
                published=False,
                public_rule="none",
            ),
        ),
        camera_rule="camera-3-skips-camera-2",
        cmc="identities",
        trials=tuple(range(10)),
        trial_definition=OFFICIAL if official else BY_SEED,
        sampling="segments",
    )


# Both definitions are in use and give different figures; seeds need no file, so they are the default.
PROTOCOLS = tuple(_protocol(a, b, official) for official in (False, True) for a in SEARCHED for b in SHOTS)


def lies_in_sysu(root: Path) -> bool:
    """True if a folder has SYSU-MM01's layout."""
    return (root / "exp" / "test_id.txt").is_file() or ((root / "exp").is_dir() and (root / "cam3").is_dir())


def open_sysu(root: Path, report: Report, protocol: Protocol = PROTOCOLS[0]) -> Dataset:
    """SYSU-MM01 with this protocol."""
    splits = {split: _read(root, split, report) for split in LISTS}
    finish(root, splits, report, {"train": "exp/train_id.txt", "test": "exp/test_id.txt"})
    search, shot, *official = protocol.variant.split("-")
    draw: Draw = partial(draw_by_seed, n_shots=SHOTS[shot])
    if official:
        permutations = read_permutations(root, PERMUTATIONS, splits["test"].kept(), report)
        draw = partial(draw_by_permutation, permutations=permutations, n_shots=SHOTS[shot])
    infrared, visible = splits["test"].query_and_rest()
    searched = [t for t in visible if t.camid in SEARCHED[search]]
    return Dataset(root, "SYSU-MM01", "", False, splits, {}, protocol, drawn_pairs(infrared, searched, draw))


def _read(root: Path, split: Split, report: Report) -> SplitRows:
    """The listed people's pictures, by person, then camera, then name."""
    lists = [root / "exp" / name for name in LISTS[split]]
    rows = picture_rows(root, [*lists, root / PERMUTATIONS] if split == "test" else lists)
    people: dict[int, Place] = {}
    for path in lists:
        for pid, place in read_people(root, path, report).items():
            if pid in people:
                text = f"each person must be in one list; {pid} is in {people[pid].file} too"
                report(Problem("duplicate", place.file, place.line, text))
            people.setdefault(pid, place)
    _only_people(root, report)
    for pid in sorted(people):
        if not _add_person(root, rows, pid, report):
            text = f"person {pid} must have pictures in cam1 .. cam6; found none; copy them from the data set"
            report(Problem("missing", people[pid].file, people[pid].line, text))
    return rows


def _add_person(root: Path, rows: SplitRows, pid: int, report: Report) -> bool:
    """Adds a person's pictures; True if there are any. Empty folders and names that are not numbers are reported."""
    found = False
    for camid, modality in CAMERAS.items():
        where = f"cam{camid}/{pid:04d}"
        for name in numbered(pictures_of_person(root, where, report), where, report):
            rows.add_picture(root / where / name, pid, camid, modality)
            found = True
    return found


def _only_people(root: Path, report: Report) -> None:
    """Reports folders below a camera that do not belong to a person."""
    for camid in CAMERAS:
        for name in folders_in(root / f"cam{camid}"):
            if not (len(name) == 4 and name.isascii() and name.isdecimal()):
                text = f"a person's folder must be called by four digits; got {name[:40]!r}; rename or remove it"
                report(Problem("malformed", f"cam{camid}", None, text))
