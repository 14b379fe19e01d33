"""SYSU-MM01, RegDB, LLCM and own data: what is read, who is compared with whom, and every refusal with its place."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from duskmatch.data import DATASETS, Dataset, PairedIdentitySampler, Problem, dataset_kind, open_dataset
from duskmatch.data.checking import describe_dataset
from duskmatch.data.draws import by_person_and_camera
from duskmatch.data.images import pictures_in
from duskmatch.errors import DataError, SettingsError
from duskmatch.records import Tracklet
from tests.data import layouts
from tests.data.tree import Tree, write_picture

PEOPLE = {"train": (1, 2, 3), "test": (4, 5, 6)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six people before three cameras, whose pictures the trees are made of."""
    root = tmp_path_factory.mktemp("source") / "set"
    return open_dataset(Tree(root, people=PEOPLE, cameras=(1, 2, 3), lengths=(12,)).write())


@pytest.fixture(scope="module")
def written(source: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One good tree of each layout, by the name of its reader."""
    place = tmp_path_factory.mktemp("layouts")
    splits = {"train": source.train, "test": source.test}
    return {
        "SYSU-MM01": layouts.write_sysu(place / "sysu", source.train, source.test),
        "RegDB": layouts.write_regdb(place / "regdb", [*source.train, *source.test]),
        "LLCM": layouts.write_llcm(place / "llcm", source.train, source.test),
        "own folders": layouts.write_folders(place / "folders", splits),
        "own table": layouts.write_table(place / "table", splits),
    }


@pytest.fixture
def copied(written: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tree of its own, to be broken."""
    return lambda name: Path(shutil.copytree(written[name], tmp_path / "set"))


def problems_of(root: Path, frames: str = "none", protocol: str | None = None) -> list[Problem]:
    found: list[Problem] = []
    dataset = open_dataset(root, found.append, protocol=protocol)
    described = describe_dataset(dataset, found, frames, 1)
    return [Problem(**problem) for problem in described["problems"]]


@pytest.mark.parametrize("name", ["SYSU-MM01", "RegDB", "LLCM", "own folders", "own table"])
def test_each_layout_is_known_by_its_files_and_has_no_problem(name: str, written: dict[str, Path]) -> None:
    root = written[name]
    assert dataset_kind(root) == name
    assert problems_of(root, "all") == []
    dataset = open_dataset(root)
    assert not dataset.synthetic and dataset.protocol == DATASETS[name].protocols[0]
    assert {t.modality for t in dataset.train} == {t.modality for t in dataset.test} == {"visible", "infrared"}
    assert not {t.pid for t in dataset.train} & {t.pid for t in dataset.test}
    ids = [t.tracklet_id for t in [*dataset.train, *dataset.test]]
    assert len(set(ids)) == len(ids) and all(t.pid > 0 for t in dataset.test)
    for pair in dataset.protocol.pairs:
        query, gallery = dataset.pair(pair.name, trial=dataset.protocol.trials[0])
        assert {t.modality for t in query} != {t.modality for t in gallery} and query and gallery
    sampler = PairedIdentitySampler(dataset.train, 3, 2, seed=0)  # one-frame tracklets draw like any others
    drawn = sampler.draw(0, 0)
    assert [dataset.train[i].pid for i in drawn.visible] == [dataset.train[i].pid for i in drawn.infrared]


@pytest.mark.parametrize("name", ["SYSU-MM01", "RegDB", "LLCM", "own folders", "own table"])
def test_a_fingerprint_is_of_lists_and_sizes_and_not_of_the_place(name: str, copied: Callable[[str], Path]) -> None:
    root = copied(name)
    before = open_dataset(root).fingerprint
    moved = root.rename(root.with_name("elsewhere"))
    assert open_dataset(moved).fingerprint == before
    picture = open_dataset(moved).test[0].frames[0]
    picture.write_bytes(picture.read_bytes() + b"x")
    assert open_dataset(moved).fingerprint != before


def test_the_native_layout_is_opened_as_before(source: Dataset) -> None:
    assert dataset_kind(source.root) == "HITSZ-VCM"
    assert source.protocol.trials == (0,) and source.find_pair is None
    assert source.direction("infrared_to_visible") == source.pair("infrared_to_visible")
    with pytest.raises(DataError, match=r"^trial must be one of 0; got 3$"):
        source.pair("infrared_to_visible", trial=3)
    with pytest.raises(
        DataError, match="direction must be one of infrared_to_visible, visible_to_infrared; got 'omni'"
    ):
        source.pair("omni")


# SYSU-MM01


def literal_gallery(root: Path, cameras: list[int], trial: int) -> list[str]:
    """The public loaders' draw as it reads, with python's global generator."""
    random.seed(trial)
    drawn = []
    for pid in sorted((root / "exp" / "test_id.txt").read_text().strip().split(",")):
        for camera in cameras:
            folder = root / f"cam{camera}" / f"{int(pid):04d}"
            if folder.is_dir():
                drawn.append(random.choice(sorted(str(p) for p in folder.iterdir())))
    return drawn


def names(tracklets: list[Tracklet]) -> list[str]:
    return [str(t.frames[0]) for t in tracklets]


@pytest.mark.parametrize(("variant", "cameras"), [("all-single", [1, 2, 4, 5]), ("indoor-single", [1, 2])])
def test_sysu_draws_what_the_public_loaders_draw(variant: str, cameras: list[int], written: dict[str, Path]) -> None:
    root = written["SYSU-MM01"]
    dataset = open_dataset(root, protocol=variant)
    assert dataset.protocol.trials == tuple(range(10)) and dataset.protocol.cmc == "identities"
    assert dataset.protocol.camera_rule == "camera-3-skips-camera-2"
    galleries = [names(dataset.pair("infrared_to_visible", trial=k).gallery) for k in range(10)]
    assert galleries == [literal_gallery(root, cameras, trial) for trial in range(10)]
    assert len({tuple(gallery) for gallery in galleries}) > 1
    queries = dataset.pair("infrared_to_visible").query
    assert len(queries) == sum(t.modality == "infrared" for t in dataset.test)
    assert {t.camid for t in queries} == {3, 6}


def test_sysu_s_own_permutations_and_ten_shots(source: Dataset, tmp_path: Path) -> None:
    from scipy.io import loadmat

    root = layouts.write_sysu(tmp_path / "sysu", source.train, source.test, n=12)  # 12 pictures a person and camera
    cells = loadmat(str(root / "exp" / "rand_perm_cam.mat"))["rand_perm_cam"]
    for variant, shots in (("all-single-official", 1), ("all-multi-official", 10)):
        gallery = open_dataset(root, protocol=variant).pair("infrared_to_visible", trial=7).gallery
        expected = []
        for pid in (4, 5, 6):
            for camera in (1, 2, 4, 5):
                if (root / f"cam{camera}" / f"{pid:04d}").is_dir():
                    row = cells[camera - 1, 0][0, pid - 1][7][:shots]
                    expected += [str(root / f"cam{camera}" / f"{pid:04d}" / f"{number:04d}.jpg") for number in row]
        assert names(gallery) == expected
    seeded = open_dataset(root, protocol="all-multi").pair("infrared_to_visible", trial=0).gallery
    assert len(seeded) == len(set(seeded)) == 10 * len({(t.pid, t.camid) for t in seeded})


@pytest.mark.dataset
def test_sysu_s_split_files_give_the_official_counts(shared: Path, tmp_path: Path) -> None:
    """3,803 queries and 301 single-shot gallery entries (docs/datasets.md)."""
    from scipy.io import loadmat

    files = shared / "data" / "sysu_mm01_protocol"
    if not (files / "rand_perm_cam.mat").is_file():
        pytest.skip(f"no SYSU-MM01 split files at {files}")
    test, train = (loadmat(str(files / f"{word}_id.mat"))["id"].reshape(-1).tolist() for word in ("test", "train"))
    for word, ids in (("test", test), ("train", train[:-1]), ("val", train[-1:])):
        layouts.lines(tmp_path / "exp" / f"{word}_id.txt", [",".join(map(str, ids))])
    shutil.copyfile(files / "rand_perm_cam.mat", tmp_path / "exp" / "rand_perm_cam.mat")
    cells = loadmat(str(files / "rand_perm_cam.mat"))["rand_perm_cam"]
    for camera in range(1, 7):
        for pid in [*test, *train]:
            numbers = cells[camera - 1][0].reshape(-1)[pid - 1] if pid in test else np.array([[1]])
            for number in numbers[0] if numbers.size else ():
                folder = tmp_path / f"cam{camera}" / f"{pid:04d}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:04d}.jpg").touch()
    for variant in ("all-single", "all-single-official"):
        dataset = open_dataset(tmp_path, protocol=variant)
        for trial in (0, 9):
            query, gallery = dataset.pair("infrared_to_visible", trial=trial)
            assert (len(query), len(gallery)) == (3803, 301)


def test_an_unknown_protocol_names_the_nearest(written: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="got all-singel; did you mean all-single"):
        open_dataset(written["SYSU-MM01"], protocol="all-singel")


# RegDB


def test_regdb_opens_one_split_at_a_time(written: dict[str, Path]) -> None:
    first, second = (open_dataset(written["RegDB"], protocol=f"split-{k}") for k in (1, 2))
    assert first.protocol.trials == (1,) and second.protocol.trials == (2,)
    assert first.protocol.trained_apart and first.protocol.camera_rule == "none"
    assert {t.pid for t in first.train} != {t.pid for t in second.train}
    assert first.fingerprint != second.fingerprint
    there, back = (first.pair(name, trial=1) for name in ("infrared_to_visible", "visible_to_infrared"))
    assert there == (back.gallery, back.query)
    with pytest.raises(DataError, match=r"idx/train_visible_3\.txt: this list is missing"):
        open_dataset(written["RegDB"], protocol="split-3")


# LLCM


def test_llcm_draws_one_picture_of_each_person_and_camera_of_the_gallery_s_side(written: dict[str, Path]) -> None:
    dataset, root = open_dataset(written["LLCM"]), written["LLCM"]
    for name, word, modality in (
        ("infrared_to_visible", "vis", "infrared"),
        ("visible_to_infrared", "nir", "visible"),
    ):
        for trial in (0, 4):
            query, gallery = dataset.pair(name, trial=trial)
            assert len(query) == sum(t.modality == modality for t in dataset.test)
            random.seed(trial)
            expected = []
            for pid in (4, 5, 6):
                for camera in range(1, 10):
                    folder = root / f"test_{word}" / f"cam{camera}" / f"{pid:04d}"
                    if folder.is_dir():
                        expected.append(random.choice(sorted(str(p) for p in folder.iterdir())))
            assert names(gallery) == expected
    assert {t.camid for t in dataset.train} == {1, 2, 3}  # from the pictures' names


@pytest.mark.parametrize("harm", [lambda r: None, lambda r: (r / "0004").mkdir(parents=True)], ids=["none", "empty"])
def test_llcm_s_empty_infrared_camera_is_accepted(harm: Callable[[Path], object], copied) -> None:
    root = copied("LLCM")
    shutil.rmtree(root / "test_nir" / "cam3")
    harm(root / "test_nir" / "cam3")
    assert problems_of(root) == [] and 3 not in {t.camid for t in open_dataset(root).test if t.modality == "infrared"}
    (root / "test_vis" / "cam9" / "0004").mkdir(parents=True)
    assert [(p.kind, p.file) for p in problems_of(root)] == [("missing", "test_vis/cam9/0004")]


def test_sysu_says_that_public_code_removes_nothing_where_the_visible_side_asks() -> None:
    for protocol in DATASETS["SYSU-MM01"].protocols:
        assert {p.name: p.public_rule for p in protocol.pairs} == {
            "infrared_to_visible": None,
            "visible_to_infrared": "none",
        }


# Own data


def test_folders_of_pictures_are_tracklets_and_a_table_has_three_splits(source: Dataset, tmp_path: Path) -> None:
    splits = {"train": source.train[:6], "validation": source.train[6:12], "test": source.test}
    tracks = open_dataset(layouts.write_folders(tmp_path / "a", splits, tracks=True))
    table = open_dataset(layouts.write_table(tmp_path / "b", splits))
    for dataset in (tracks, table):
        assert [len(t) for t in dataset.test] == [5] * len(source.test)
        assert [len(dataset.splits[s].tracklets) for s in ("train", "validation", "test")] == [6, 6, len(source.test)]
        assert dataset.pair("infrared_to_visible", "validation").query
    assert {(t.pid, t.camid, t.modality) for t in tracks.test} == {(t.pid, t.camid, t.modality) for t in source.test}


def walks(root: Path, names: Sequence[str]) -> Path:
    """Own folders of two training and two test people, one tracklet of pictures with these names in each camera."""
    for split, person in (("train", 1), ("train", 2), ("test", 3), ("test", 4)):
        for modality in ("visible", "infrared"):
            for name in names:
                picture(root / split / str(person) / modality / "cam1" / "walk" / name)
    return root


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((8, 4, 3), 90, np.uint8))
    return path


@pytest.mark.parametrize(
    "names",
    [
        [f"{k}.png" for k in range(1, 13)],
        [f"frame_{k}.png" for k in range(98, 103)],
        [f"{k:04d}.png" for k in range(8, 12)],
        ["a9_2.png", "a9_10.png", "a10_1.png", "b1.png"],
    ],
)
def test_pictures_of_a_walk_are_in_order_of_time(tmp_path: Path, names: list[str]) -> None:
    dataset = open_dataset(walks(tmp_path / "own", names))
    assert [[f.name for f in t.frames] for t in dataset.train + dataset.test] == [names] * 8


def test_public_galleries_are_drawn_from_names_in_text_order(tmp_path: Path) -> None:
    names = [f"{k}.png" for k in (1, 10, 11, 2, 3)]
    for name in names:
        picture(tmp_path / "0001" / name)
    assert pictures_in(tmp_path / "0001") == names
    tracklets = [Tracklet((tmp_path / "0001" / name,), 1, 1, "visible", name) for name in reversed(names)]
    assert [t.tracklet_id for t in by_person_and_camera(tracklets)[1, 1]] == names


@pytest.mark.parametrize("ending", ["webp", "tif", "tiff", "TIF", "bmp", "jpe", "ppm"])
def test_what_opencv_reads_is_read_from_folders(tmp_path: Path, ending: str) -> None:
    root = walks(tmp_path / "own", ["1.png", f"2.{ending}"])
    picture(root / "test" / "3" / "visible" / "cam2" / f"1.{ending}")
    dataset = open_dataset(root)
    assert [f.name for f in dataset.test[0].frames] == ["1.png", f"2.{ending}"]
    assert [t.tracklet_id for t in dataset.test if t.camid == 2] == ["test/3/visible/cam2/1"]
    assert problems_of(root, "all") == []


def test_files_that_are_no_pictures_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = walks(tmp_path / "own", ["1.png"])
    place = "test/3/visible/cam1/walk"
    left = [f"{place}/{name}" for name in ("2.heic", "10.heic", "inner/1.png")] + ["test/4/visible/loose.png"]
    for name in left:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / place / ".hidden").write_bytes(b"x")
    dataset = open_dataset(root)
    assert dataset.facts["ignored"] == left
    assert f"{root}: 4 files are not used: {', '.join(left[:3])} and 1 more; pictures end in .jpg" in caplog.text
    caplog.clear()
    assert open_dataset(walks(tmp_path / "clean", ["1.png"])).facts["ignored"] == []
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("names", "where", "text"),
    [
        (
            ["walk/1.heic", "walk/2.heic"],
            "cam9/walk",
            "a tracklet's folder must hold pictures; it holds 1.heic and 1 more",
        ),
        (["notes.txt"], "cam9", "a camera's folder must hold pictures or folders of pictures; it holds notes.txt;"),
        (["1.jpg", "1.webp"], "cam9/1.webp", "pictures must differ by more than their ending; 1.jpg is there too"),
    ],
)
def test_a_folder_without_its_pictures_says_what_it_holds(
    tmp_path: Path, names: list[str], where: str, text: str
) -> None:
    root = walks(tmp_path / "own", ["1.png"])
    for name in names:
        (root / "test/3/visible/cam9" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "test/3/visible/cam9" / name).write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    assert str(caught.value).startswith(f"{root}: test/3/visible/{where}: {text}")


# What is refused


BROKEN: list[tuple[str, str, Callable[[Path], object], tuple[str, str, int | None]]] = [
    # SYSU-MM01
    ("SYSU-MM01", "missing list", lambda r: (r / "exp/val_id.txt").unlink(), ("missing", "exp/val_id.txt", None)),
    ("SYSU-MM01", "empty list", lambda r: (r / "exp/test_id.txt").write_text("\n"),
     ("malformed", "exp/test_id.txt", None)),
    ("SYSU-MM01", "malformed", lambda r: (r / "exp/test_id.txt").write_text("4,5,six\n"),
     ("malformed", "exp/test_id.txt", 1)),
    ("SYSU-MM01", "twice", lambda r: (r / "exp/test_id.txt").write_text("4,5\n6,4\n"),
     ("duplicate", "exp/test_id.txt", 2)),
    ("SYSU-MM01", "nobody", lambda r: (r / "exp/test_id.txt").write_text("4,5\n6,99\n"),
     ("missing", "exp/test_id.txt", 2)),
    ("SYSU-MM01", "in two splits", lambda r: (r / "exp/test_id.txt").write_text("4,5,6,1\n"),
     ("people", "exp/test_id.txt", None)),
    ("SYSU-MM01", "empty folder", lambda r: (r / "cam5/0004").mkdir(parents=True), ("missing", "cam5/0004", None)),
    ("SYSU-MM01", "no person", lambda r: (r / "cam1/bob").mkdir(), ("malformed", "cam1", None)),
    ("SYSU-MM01", "no number", lambda r: write_picture(r / "cam1/0004/first.jpg"),
     ("malformed", "cam1/0004/first.jpg", None)),
    ("SYSU-MM01", "same number", lambda r: write_picture(r / "cam1/0004/1.jpg"),
     ("duplicate", "cam1/0004/1.jpg", None)),
    # RegDB
    ("RegDB", "missing list", lambda r: (r / "idx/train_thermal_1.txt").unlink(),
     ("missing", "idx/train_thermal_1.txt", None)),
    ("RegDB", "malformed", lambda r: layouts.edit(r / "idx/test_visible_1.txt", 2, "Visible/1/a.jpg"),
     ("malformed", "idx/test_visible_1.txt", 2)),
    ("RegDB", "elsewhere", lambda r: layouts.edit(r / "idx/test_visible_1.txt", 2, "Thermal/1/a.jpg 0"),
     ("malformed", "idx/test_visible_1.txt", 2)),
    ("RegDB", "outside", lambda r: layouts.edit(r / "idx/test_visible_1.txt", 3, "../Visible/1/a.jpg 0"),
     ("outside", "idx/test_visible_1.txt", 3)),
    ("RegDB", "wrong label", lambda r: layouts.edit(r / "idx/test_visible_1.txt", 1, relabelled(r, 1)),
     ("contradictory", "idx/test_visible_1.txt", 2)),
    ("RegDB", "twice", lambda r: layouts.edit(r / "idx/test_visible_1.txt", 2, line_of(r, 1)),
     ("duplicate", "idx/test_visible_1.txt", 2)),
    ("RegDB", "missing picture", lambda r: (r / line_of(r, 2).split()[0]).unlink(),
     ("missing", "idx/test_visible_1.txt", 2)),
    ("RegDB", "cut off", lambda r: cut(r / line_of(r, 2).split()[0]), ("unreadable", "idx/test_visible_1.txt", 2)),
    # LLCM
    ("LLCM", "missing list", lambda r: (r / "idx/test_id.txt").unlink(), ("missing", "idx/test_id.txt", None)),
    ("LLCM", "malformed", lambda r: layouts.edit(r / "idx/train_vis.txt", 2, "vis/0001/x.jpg one"),
     ("malformed", "idx/train_vis.txt", 2)),
    ("LLCM", "nobody", lambda r: (r / "idx/test_id.txt").write_text("4,5,6,77\n"), ("missing", "idx/test_id.txt", 1)),
    ("LLCM", "empty folder", lambda r: (r / "test_nir/cam9/0004").mkdir(parents=True),
     ("missing", "test_nir/cam9/0004", None)),
    ("LLCM", "cut off", lambda r: cut(r / "test_vis/cam1/0004/0.jpg"),
     ("unreadable", "test_vis/cam1/0004/0.jpg", None)),
    # own data
    ("own folders", "no person", lambda r: (r / "test/alice").mkdir(), ("malformed", "test", None)),
    ("own folders", "no modality", lambda r: (r / "test/4/blue").mkdir(), ("malformed", "test/4", None)),
    ("own folders", "no camera", lambda r: (r / "test/4/visible/door").mkdir(), ("malformed", "test/4/visible", None)),
    ("own folders", "empty camera", lambda r: (r / "test/4/visible/cam9").mkdir(),
     ("missing", "test/4/visible/cam9", None)),
    ("own folders", "both", lambda r: (r / "test/4/visible/cam1/walk").mkdir(),
     ("contradictory", "test/4/visible/cam1", None)),
    ("own folders", "in two splits", lambda r: shutil.copytree(r / "train/1", r / "test/1"), ("people", "test", None)),
    ("own table", "no split", lambda r: table_cell(r, 3, "split", "exam"), ("malformed", "tracklets.csv", 3)),
    ("own table", "unknown person", lambda r: table_cell(r, 3, "pid", "-1"), ("malformed", "tracklets.csv", 3)),
    ("own table", "no modality", lambda r: table_cell(r, 4, "modality", "rgb"), ("malformed", "tracklets.csv", 4)),
]  # fmt: skip


def line_of(root: Path, line: int) -> str:
    return (root / "idx" / "test_visible_1.txt").read_text().splitlines()[line - 1]


def relabelled(root: Path, line: int) -> str:
    """The line with another label: the person's next line contradicts it."""
    return line_of(root, line).split()[0] + " 77"


def cut(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:300])


def table_cell(root: Path, line: int, column: str, value: str) -> None:
    rows = [row.split(",") for row in (root / "tracklets.csv").read_text().splitlines()]
    rows[line - 1][rows[0].index(column)] = value
    layouts.lines(root / "tracklets.csv", [",".join(row) for row in rows])


@pytest.mark.parametrize(("name", "what", "harm", "place"), BROKEN, ids=[f"{b[0]}, {b[1]}" for b in BROKEN])
def test_each_broken_rule_is_refused_with_file_and_line(
    name: str, what: str, harm: Callable[[Path], object], place: tuple[str, str, int | None], copied
) -> None:
    root = copied(name)
    harm(root)
    found = {(p.kind, p.file, p.line) for p in problems_of(root, "all")}
    assert place in found
    if place[0] not in ("missing", "unreadable") or what in ("missing list", "nobody") or what.startswith("empty"):
        with pytest.raises(DataError) as caught:  # pictures are met where they are read
            open_dataset(root)
        assert str(caught.value).startswith(f"{root}: ")


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda r: (r / "exp/rand_perm_cam.mat").unlink(), "the official trials are in this file, which is missing"),
        (lambda r: (r / "exp/rand_perm_cam.mat").write_bytes(b"no matrix"), "it must be a MATLAB file with rand_perm"),
        (lambda r: (r / "cam1/0004/0002.jpg").unlink(), "10 permutations of the 1 pictures of person 4, camera 1"),
    ],
    ids=["missing", "damaged", "other pictures"],
)  # fmt: skip
def test_official_trials_need_whole_permutations(harm: Callable[[Path], object], text: str, copied) -> None:
    root = copied("SYSU-MM01")
    harm(root)
    with pytest.raises(DataError) as caught:
        open_dataset(root, protocol="all-single-official")
    assert "exp/rand_perm_cam.mat" in str(caught.value) and text in str(caught.value)
    assert open_dataset(root).train  # seeded trials need none of it


def test_links_that_leave_the_data_set_are_refused(copied, tmp_path: Path) -> None:
    root = copied("own folders")
    picture = next((root / "test/4/visible/cam1").iterdir())
    picture.rename(tmp_path / "outside.jpg")
    picture.symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(DataError, match="pictures must lie inside the data set's own folder"):
        open_dataset(root)


@pytest.mark.parametrize(("place", "what"), [("test/03", "person"), ("test/3/visible/yard1", "camera")])
def test_folders_that_mean_one_number_are_refused(place: str, what: str, tmp_path: Path) -> None:
    root = walks(tmp_path / "own", ["1.png"])
    picture(root / place / ("visible/cam1/1.png" if what == "person" else "1.png"))
    (text,) = {problem.text for problem in problems_of(root, "none") if problem.kind == "duplicate"}
    assert text.startswith(f"each {what} must have a number of its own; ")
