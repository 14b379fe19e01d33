"""The data room: from files on disk to tracklets, clips and training batches.

Reading order: problems, lists, layout, dataset, vcm, duskwalk, tracklets; jpeg, decoding, clips; sampling,
augmentation, batches; checking; mot, cutting, video.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from duskmatch.data.augmentation import Augment
from duskmatch.data.batches import Batch, TrainingBatches, training_batches
from duskmatch.data.clips import IMAGENET_MEAN, IMAGENET_STD, normalise, read_clip, read_clips
from duskmatch.data.dataset import Dataset, DirectionPair, resolved
from duskmatch.data.decoding import BadFrames, FrameCache, OnBadFrame, decode_frame, resize
from duskmatch.data.duskwalk import open_duskwalk
from duskmatch.data.problems import Problem, Report, stop_in
from duskmatch.data.sampling import (
    SAMPLINGS,
    PairedDraw,
    PairedIdentitySampler,
    Sampling,
    segment_indices,
    uniform_indices,
)
from duskmatch.data.tracklets import SIDES, open_folder, split_spec, write_tracklets
from duskmatch.data.vcm import open_vcm
from duskmatch.records import Tracklet

# To add a data set: one file with its opener, one import, one line here and one in `dataset_kind`.
DATASETS: dict[str, Callable[[Path, Report], Dataset]] = {
    "Duskwalk": open_duskwalk,
    "HITSZ-VCM": open_vcm,
}


def dataset_kind(root: Path) -> str:
    """The name in DATASETS of the data set that lies in `root`."""
    return "Duskwalk" if (root / "duskwalk.json").exists() else "HITSZ-VCM"


def open_dataset(path: str | Path, report: Report | None = None) -> Dataset:
    """The data set in a folder; the first broken rule is a DataError with file and line.

    With a `report`, each broken rule goes there and the rest is read all the same.

    Pictures are not opened here: a bad one is met where it is read.
    """
    root = resolved(path)
    return DATASETS[dataset_kind(root)](root, report or stop_in(root))


def open_tracklets(spec: str | Path) -> list[Tracklet]:
    """The tracklets of TRACKLETS: a folder with a tracklets.csv, or DATASET:train, DATASET:query and the like.

    The query side is the infrared test side, the gallery the visible one; validation-query and validation-gallery
    are the same two of the people kept for choices.
    """
    folder, side = split_spec(str(spec))
    return list(open_folder(folder).values()) if side is None else SIDES[side](open_dataset(folder))


def is_synthetic(spec: str) -> bool:
    """Whether what `spec` names (a folder, or DATASET:side) says that it shows generated people."""
    return dataset_kind(split_spec(spec)[0]) == "Duskwalk"


__all__ = [
    "DATASETS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SAMPLINGS",
    "Augment",
    "BadFrames",
    "Batch",
    "Dataset",
    "DirectionPair",
    "FrameCache",
    "OnBadFrame",
    "PairedDraw",
    "PairedIdentitySampler",
    "Problem",
    "Sampling",
    "TrainingBatches",
    "decode_frame",
    "is_synthetic",
    "normalise",
    "open_dataset",
    "open_tracklets",
    "read_clip",
    "read_clips",
    "resize",
    "segment_indices",
    "split_spec",
    "training_batches",
    "uniform_indices",
    "write_tracklets",
]
