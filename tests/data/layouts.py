"""Tiny trees in the layouts of other data sets; their pictures are those of given tracklets, Duskwalk's for one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from duskmatch.data.tracklets import write_tracklets
from duskmatch.records import Modality, Tracklet

Groups = dict[tuple[int, Modality, int], list[Path]]
SYSU_CAMERAS: dict[Modality, tuple[int, ...]] = {"visible": (1, 2, 4, 5), "infrared": (3, 6)}


def grouped(tracklets: Sequence[Tracklet], n: int = 2) -> Groups:
    """(pid, modality, camid) -> `n` pictures of each tracklet, from its beginning to its end."""
    groups: Groups = {}
    for t in tracklets:
        places = np.linspace(0, len(t) - 1, n).round().astype(int)
        groups.setdefault((t.pid, t.modality, t.camid), []).extend(t.frames[i] for i in places)
    return dict(sorted(groups.items()))


def put(picture: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture, place)
    return place


def lines(path: Path, texts: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in texts))


def edit(path: Path, line: int, text: str | None) -> None:
    """Replaces one line (from 1), or takes it out."""
    found = path.read_text().splitlines()
    found[line - 1 : line] = [] if text is None else [text]
    path.write_text("".join(f"{text}\n" for text in found))


def people(tracklets: Sequence[Tracklet]) -> list[int]:
    return sorted({t.pid for t in tracklets})


def write_sysu(root: Path, train: Sequence[Tracklet], test: Sequence[Tracklet], n: int = 2) -> Path:
    """SYSU-MM01's: cam<c>/<pid>/<number>.jpg and three lists; the last training person is a validation one."""
    counts: dict[tuple[int, int], int] = {}
    for (pid, modality, camid), pictures in grouped([*train, *test], n).items():
        cameras = SYSU_CAMERAS[modality]
        camera = cameras[(camid - 1) % len(cameras)]
        for picture in pictures:
            counts[camera, pid] = counts.get((camera, pid), 0) + 1
            put(picture, root / f"cam{camera}" / f"{pid:04d}" / f"{counts[camera, pid]:04d}.jpg")
    *trained, validated = people(train)
    for name, ids in (("train", trained), ("val", [validated]), ("test", people(test))):
        lines(root / "exp" / f"{name}_id.txt", [",".join(map(str, ids))])
    write_permutations(root, counts)
    return root


def write_permutations(root: Path, counts: dict[tuple[int, int], int], seed: int = 0) -> None:
    """exp/rand_perm_cam.mat: ten permutations of each camera's pictures of each person, drawn with `seed`."""
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    cameras = np.empty((6, 1), object)
    for camera in range(1, 7):
        cells = np.empty((1, max(pid for _, pid in counts)), object)
        for pid in range(1, cells.size + 1):
            k = counts.get((camera, pid), 0)
            cells[0, pid - 1] = np.stack([1 + rng.permutation(k) for _ in range(10)]).astype(np.uint16)
        cameras[camera - 1, 0] = cells
    (root / "exp").mkdir(parents=True, exist_ok=True)
    savemat(str(root / "exp" / "rand_perm_cam.mat"), {"rand_perm_cam": cameras})


def write_regdb(root: Path, tracklets: Sequence[Tracklet], n: int = 2, n_splits: int = 2) -> Path:
    """RegDB's: Visible/<pid>, Thermal/<pid> and lists with labels; each split halves the people anew."""
    names: dict[tuple[str, int], list[str]] = {}
    for (pid, modality, camid), pictures in grouped(tracklets, n).items():
        folder = {"visible": "Visible", "infrared": "Thermal"}[modality]
        for i, picture in enumerate(pictures):
            name = f"{folder}/{pid}/c{camid}_{i}.jpg"
            put(picture, root / name)
            names.setdefault((folder, pid), []).append(name)
    everyone = people(tracklets)
    for split in range(1, n_splits + 1):
        order = [int(i) for i in np.random.default_rng(split).permutation(everyone)]
        half = len(order) // 2
        for word, ids in (("train", sorted(order[:half])), ("test", sorted(order[half:]))):
            for folder in ("Visible", "Thermal"):
                texts = [f"{name} {label}" for label, pid in enumerate(ids) for name in names[folder, pid]]
                lines(root / "idx" / f"{word}_{folder.lower()}_{split}.txt", texts)
    return root


def write_llcm(root: Path, train: Sequence[Tracklet], test: Sequence[Tracklet], n: int = 2) -> Path:
    """LLCM's: vis/<pid> and nir/<pid> by list, test_vis/cam<c>/<pid> and test_nir/cam<c>/<pid>."""
    label = {pid: i for i, pid in enumerate(people(train))}
    listed: dict[str, list[str]] = {"vis": [], "nir": []}
    for (pid, modality, camid), pictures in grouped(train, n).items():
        word = {"visible": "vis", "infrared": "nir"}[modality]
        for i, picture in enumerate(pictures):
            name = f"{word}/{pid:04d}/{pid:04d}_c{camid:02d}_s{i}_f{i}_{word}.jpg"
            put(picture, root / name)
            listed[word].append(f"{name} {label[pid]}")
    for (pid, modality, camid), pictures in grouped(test, n).items():
        word = {"visible": "vis", "infrared": "nir"}[modality]
        for i, picture in enumerate(pictures):
            put(picture, root / f"test_{word}" / f"cam{camid}" / f"{pid:04d}" / f"{i}.jpg")
    for word, texts in listed.items():
        lines(root / "idx" / f"train_{word}.txt", texts)
    lines(root / "idx" / "test_id.txt", [",".join(map(str, people(test)))])
    return root


def write_folders(root: Path, splits: dict[str, Sequence[Tracklet]], *, tracks: bool = False, n: int = 2) -> Path:
    """Own data: <split>/<pid>/<modality>/cam<c>/ with pictures, or with a folder of pictures for each track."""
    for split, tracklets in splits.items():
        if tracks:
            for i, t in enumerate(tracklets):
                folder = root / split / str(t.pid) / t.modality / f"cam{t.camid}" / f"track{i:03d}"
                for k, frame in enumerate(t.frames[:5]):
                    put(frame, folder / f"{k:03d}.jpg")
            continue
        for (pid, modality, camid), pictures in grouped(tracklets, n).items():
            for i, picture in enumerate(pictures):
                put(picture, root / split / str(pid) / modality / f"cam{camid}" / f"{i:03d}.jpg")
    return root


def write_table(root: Path, splits: dict[str, Sequence[Tracklet]], n_frames: int = 5) -> Path:
    """Own data: pictures, and a tracklets.csv with a `split` column."""
    tracklets, words = [], []
    for split, own in splits.items():
        for t in own:
            places = [root / "pictures" / t.tracklet_id / f"{k:03d}.jpg" for k in range(min(n_frames, len(t)))]
            frames = tuple(put(frame, place) for frame, place in zip(t.frames, places, strict=False))
            tracklets.append(Tracklet(frames, t.pid, t.camid, t.modality, t.tracklet_id))
            words.append(split)
    write_tracklets(root, tracklets, words)
    return root
