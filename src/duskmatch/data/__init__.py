"""The data room: from files on disk to tracklets, clips and training batches.

Reading order: problems, lists, layout, dataset, vcm, duskwalk; images, bupt_lists, bupt_protocol, bupt; tracklets;
jpeg, decoding, clips; sampling, augmentation, batches; checking; mot, cutting, video.
"""

from __future__ import annotations

from pathlib import Path

from duskmatch.data import bupt_protocol, duskwalk, llcm, own, regdb, sysu
from duskmatch.data.augmentation import Augment
from duskmatch.data.batches import Batch, TrainingBatches
from duskmatch.data.bupt import lies_in_bupt, open_bupt
from duskmatch.data.clips import ClipReader
from duskmatch.data.dataset import Dataset, DirectionPair, Reader, resolved
from duskmatch.data.decoding import BadFrames, FrameCache, OnBadFrame, decode_frame, resize
from duskmatch.data.duskwalk import open_duskwalk
from duskmatch.data.images import in_time_order
from duskmatch.data.problems import Problem, Report, stop_in
from duskmatch.data.sampling import SAMPLINGS, PairedIdentitySampler, Sampling, segment_indices, uniform_indices
from duskmatch.data.tracklets import NAMED_TRACKLETS, loose_pictures, open_folder, split_spec, write_tracklets
from duskmatch.data.vcm import lies_in_vcm, open_vcm
from duskmatch.errors import SettingsError, nearest
from duskmatch.records import HITSZ_VCM, Protocol, Tracklet

# To add a data set: one file with its opener, one import and one line here; the first that knows a folder opens it.
DATASETS: dict[str, Reader] = {
    "Duskwalk": Reader(lambda root: (root / duskwalk.MARKER).exists(), open_duskwalk, (HITSZ_VCM,)),
    "BUPTCampus": Reader(lies_in_bupt, open_bupt, bupt_protocol.PROTOCOLS),
    "HITSZ-VCM": Reader(lies_in_vcm, open_vcm, (HITSZ_VCM,)),
    "SYSU-MM01": Reader(sysu.lies_in_sysu, sysu.open_sysu, sysu.PROTOCOLS),
    "RegDB": Reader(regdb.lies_in_regdb, regdb.open_regdb, regdb.PROTOCOLS),
    "LLCM": Reader(llcm.lies_in_llcm, llcm.open_llcm, (llcm.LLCM,)),
    "own folders": Reader(own.lies_in_folders, own.open_folders, (own.OWN,)),
    "own table": Reader(own.lies_in_table, own.open_table, (own.OWN,)),
}


def dataset_kind(root: Path) -> str:
    """The name in DATASETS of the data set in `root`; HITSZ-VCM if none is recognised."""
    return next((name for name, reader in DATASETS.items() if reader.lies_in(root)), "HITSZ-VCM")


def open_dataset(path: str | Path, report: Report | None = None, *, protocol: str | None = None) -> Dataset:
    """The data set in a folder; the first broken rule is a DataError with file and line.

    With a `report`, each broken rule is passed to it and reading continues. `protocol` chooses one of the data set's
    protocols by its variant; None: the usual one. Pictures are not opened here: a bad one is found when it is read.
    """
    root = resolved(path)
    kind = dataset_kind(root)
    reader = DATASETS[kind]
    return reader.open(root, report or stop_in(root), chosen_protocol(kind, protocol))


def chosen_protocol(kind: str, variant: str | None) -> Protocol:
    """The named variant of a data set's protocols, or the usual one."""
    known = {protocol.variant: protocol for protocol in DATASETS[kind].protocols}
    if variant is None:
        return DATASETS[kind].protocols[0]
    if variant not in known:
        near = nearest(variant, known)
        raise SettingsError(f"--protocol of {kind} data must be one of {', '.join(known)}; got {variant}{near}")
    return known[variant]


def open_tracklets(spec: str | Path) -> list[Tracklet]:
    """The tracklets of TRACKLETS: a folder with a tracklets.csv, or DATASET:train, DATASET:query and the like.

    The query side is the infrared test side, the gallery the visible one; validation-query and validation-gallery
    are the same two of the validation people.
    """
    folder, side = split_spec(str(spec))
    return list(open_folder(folder).values()) if side is None else NAMED_TRACKLETS[side](open_dataset(folder))


def is_synthetic(spec: str) -> bool:
    """True if the folder or DATASET:side named by `spec` is a Duskwalk, whose people are generated."""
    return dataset_kind(split_spec(spec)[0]) == "Duskwalk"


__all__ = [
    "DATASETS",
    "SAMPLINGS",
    "Augment",
    "BadFrames",
    "Batch",
    "ClipReader",
    "Dataset",
    "DirectionPair",
    "FrameCache",
    "OnBadFrame",
    "PairedIdentitySampler",
    "Problem",
    "Sampling",
    "TrainingBatches",
    "chosen_protocol",
    "dataset_kind",
    "decode_frame",
    "in_time_order",
    "is_synthetic",
    "loose_pictures",
    "open_dataset",
    "open_tracklets",
    "resize",
    "segment_indices",
    "split_spec",
    "uniform_indices",
    "write_tracklets",
]
