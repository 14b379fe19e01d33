"""HITSZ-VCM's flat layout: the folders of frames, and the lists in `info/`.

Source: docs/datasets.md, "HITSZ-VCM's layout". Modality 1 is infrared, 2 visible; rows and frames count from 1; ends
are inclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duskmatch import files
from duskmatch.synthetic.walks import Track

FOLDERS = {"infrared": "ir", "visible": "rgb"}
CODES = {"infrared": 1, "visible": 2}
LISTS = {
    "train": ("train_name.txt", "track_train_info.txt", None),
    "test": ("test_name.txt", "track_test_info.txt", "query_IDX.txt"),
    "val": ("val_name.txt", "track_val_info.txt", "val_query_IDX.txt"),
}


def folder(out: Path, track: Track) -> Path:
    """The folder that all takes of one person, modality and camera share."""
    return out / f"{track.pid:04d}" / FOLDERS[track.modality] / f"D{track.camid}"


def first_frames(tracks: Sequence[Track]) -> list[int]:
    """The number of each track's first frame: numbers continue within a folder."""
    used: dict[tuple[int, str, int], int] = {}
    starts = []
    for track in tracks:
        key = (track.pid, track.modality, track.camid)
        starts.append(used.get(key, 0) + 1)
        used[key] = used.get(key, 0) + track.n_frames
    return starts


def write_lists(out: Path, tracks: Sequence[Track], starts: Sequence[int]) -> None:
    """The name and track lists of every pool, and the queries of test and validation: their infrared rows."""
    for pool, (name_file, track_file, query_file) in LISTS.items():
        names: list[str] = []
        rows: list[str] = []
        queries: list[str] = []
        for track, start in zip(tracks, starts, strict=True):
            if track.pool != pool:
                continue
            code = CODES[track.modality]
            begin = len(names) + 1
            names += [
                f"{track.pid:04d}M{code}D{track.camid}T{track.take}F{frame}.jpg"
                for frame in range(start, start + track.n_frames)
            ]
            rows.append(f"{code} {begin} {len(names)} {track.pid:04d} {track.camid}")
            if track.modality == "infrared":
                queries.append(str(len(rows)))
        files.write_text(out / "info" / name_file, _lines(names))
        files.write_text(out / "info" / track_file, _lines(rows))
        if query_file:
            files.write_text(out / "info" / query_file, " ".join(queries) + "\n")


WALK_COLUMNS = (
    "tracklet_id", "split", "row", "pid", "camid", "modality", "take", "n_frames", "first_frame", "view_degrees",
    "scene", "walk", "occluder", "occluded_fraction", "truncated", "speed_m_s", "cadence_hz",
)  # fmt: skip


def write_walks(out: Path, tracks: Sequence[Track], starts: Sequence[int], truths: Sequence[dict[str, Any]]) -> None:
    """Writes info/walks.csv, the ground truth of each track; `row` is its row in the track list of its split."""
    rows: list[dict[str, Any]] = []
    counted: dict[str, int] = {}
    for track, start, truth in zip(tracks, starts, truths, strict=True):
        counted[track.pool] = counted.get(track.pool, 0) + 1
        rows.append(
            {
                "tracklet_id": f"{track.pid:04d}M{CODES[track.modality]}D{track.camid}T{track.take}",
                "split": track.pool,
                "row": counted[track.pool],
                "first_frame": start,
                **{name: getattr(track, name) for name in ("pid", "camid", "modality", "take", "n_frames")},
                **truth,
            }
        )
    files.write_csv(out / "info" / "walks.csv", rows, WALK_COLUMNS)


def _lines(rows: list[str]) -> str:
    return "\n".join(rows) + "\n" if rows else ""
