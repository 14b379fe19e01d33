"""`duskmatch gallery calibrate G --data DATASET --run RUN`: what a similarity says, learnt from labelled people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import GalleryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duskmatch.data import Dataset
    from duskmatch.embedding import Embedder
    from duskmatch.gallery import Gallery
    from duskmatch.gallery.probability.calibrated import Calibrated
    from duskmatch.records import CameraRule, Embeddings, Tracklet

DEFAULT_RULE: CameraRule = "same-pid-same-camera"


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import bad_frame_argument, engine_arguments
    from duskmatch.cli.evaluate import split_argument
    from duskmatch.records import CAMERA_RULES

    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATASET",
        help="data sets of labelled people; nobody may be in two",
    )
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="folder of the trained run or export that embeds --data"
    )
    split_argument(parser)
    parser.add_argument(
        "--features", type=Path, nargs="+", action="append", default=[], metavar="FILE",
        help="labelled embeddings of the gallery's model; files of one --features number their people alike, those of "
        "the next one are other people",
    )  # fmt: skip
    parser.add_argument(
        "--not-trained-on", action="store_true",
        help="state that none of these people was among those the model was trained on, where the files do not show it",
    )  # fmt: skip
    parser.add_argument(
        "--camera-rule", choices=CAMERA_RULES,
        help="pairs of the same person that are left out (default: the rule of the data, else same-pid-same-camera)",
    )  # fmt: skip
    engine_arguments(parser)
    bad_frame_argument(parser)


def run_calibrate(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.machine import set_threads

    _check(args)
    set_threads(args.threads)
    with opened(args) as gallery:
        datasets = _datasets(args)
        rule = args.camera_rule or _rule(datasets)
        labelled, names = _embedded(gallery, args, datasets)
        for files in args.features:
            labelled.append(_loaded(files))
            names.append(", ".join(path.name for path in files))
        calibrated = gallery.calibrate(*labelled, names=names, camera_rule=rule)
    console.result(document(str(args.gallery), calibrated), words)


def _check(args: argparse.Namespace) -> None:
    if not args.data and not args.features:
        raise SettingsError("gallery calibrate takes --data DATASET --run RUN, or --features FILE; got neither")
    if args.data and not args.run:
        raise SettingsError("--data DATASET needs --run RUN, the model that embeds it; name one")
    if args.run and not args.data:
        raise SettingsError("--features FILE holds vectors; --run has no use there; leave it out")
    if args.features and not args.not_trained_on:
        raise SettingsError(
            f"{args.features[0][0]} does not say whose vectors it holds; if nobody of them was among those the model "
            "was trained on, pass --not-trained-on"
        )


def _datasets(args: argparse.Namespace) -> dict[str, Dataset]:
    """The data sets by name and split, each with other people."""
    from duskmatch.data import open_dataset
    from duskmatch.gallery.probability.apart import check_different

    names = [path.resolve().name for path in args.data]
    if len(set(names)) < len(names):
        names = [str(path) for path in args.data]
    if len(set(names)) < len(names):
        raise GalleryError("--data must name different data sets; one is named twice; name it once")
    found = {f"{name}:{args.split}": open_dataset(path) for name, path in zip(names, args.data, strict=True)}
    check_different(found)
    return found


def _rule(datasets: dict[str, Dataset]) -> CameraRule:
    """The camera rule of the data sets' protocols."""
    rules = {dataset.protocol.camera_rule for dataset in datasets.values()} or {DEFAULT_RULE}
    if len(rules) > 1:
        raise SettingsError(
            f"the data sets have different camera rules ({', '.join(sorted(rules))}); pass --camera-rule"
        )
    return rules.pop()


def _embedded(
    gallery: Gallery, args: argparse.Namespace, datasets: dict[str, Dataset]
) -> tuple[list[Embeddings], list[str]]:
    """The people of each data set's split, embedded, and the names of the sets."""
    from duskmatch.cli.embed import embed_with_progress
    from duskmatch.embedding import load_embedder
    from duskmatch.evaluation import note_test_read
    from duskmatch.gallery.store.model import check_model, fingerprint

    if not datasets:
        return [], []
    embedder = load_embedder(
        args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine=args.engine, precision=args.precision
    )
    check_model(fingerprint(embedder.header), gallery.facts.model, "labelled people")
    tracklets = {name: _people(args, embedder, name, dataset) for name, dataset in datasets.items()}
    labelled = []
    for name, dataset in datasets.items():
        embeddings, _ = embed_with_progress(embedder, tracklets[name], f"embedding {name}")
        embeddings.meta["synthetic"] = dataset.synthetic
        labelled.append(embeddings)
        if args.split == "test":
            note_test_read(dataset.fingerprint, dataset.name)
    return labelled, list(datasets)


def _people(args: argparse.Namespace, embedder: Embedder, name: str, dataset: Dataset) -> list[Tracklet]:
    """The split's tracklets, whose people were not trained on."""
    from duskmatch.gallery.probability.apart import check_apart

    if not args.not_trained_on:
        check_apart(args.run, embedder.header.get("data"), dataset)
    found = dataset.test if args.split == "test" else dataset.validation
    if not found:
        raise GalleryError(f"{name}: the data set has no {args.split} people; name another --split")
    return found


def _loaded(files: Sequence[Path]) -> Embeddings:
    """The rows of one --features, whose files number their people alike."""
    import numpy as np

    from duskmatch.evaluation import load_embeddings
    from duskmatch.gallery.store.model import fingerprint
    from duskmatch.records import Embeddings

    if twins := [path for n, path in enumerate(files) if path.resolve() in {other.resolve() for other in files[:n]}]:
        raise GalleryError(f"{twins[0]} is named twice in one --features; name each file once")
    parts = [load_embeddings(path) for path in files]
    for path, part in zip(files, parts, strict=True):
        alike = (part.vectors.shape[1], fingerprint(part.meta)) == (
            parts[0].vectors.shape[1],
            fingerprint(parts[0].meta),
        )
        if not alike:
            raise GalleryError(f"{path} must be of the same model as {files[0]}; embed both with the gallery's RUN")
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.pids for part in parts]),
        np.concatenate([part.camids for part in parts]),
        [word for part in parts for word in part.modalities],
        meta={**parts[0].meta, "synthetic": any(part.meta.get("synthetic") is True for part in parts)},
    )


def document(gallery: str, calibrated: Calibrated) -> dict[str, Any]:
    """The calibration as `calibrate --json` prints it."""
    facts = dict(calibrated.facts)
    return {
        "gallery": gallery,
        **{key: facts[key] for key in ("n_people", "n_tracklets", "n_unknown", "data", "synthetic", "camera_rule")},
        "pairs": {
            pair: {"kind": r.kind, "n_same": r.n_same, "n_others": r.n_others, "n_people": r.n_people}
            for pair, r in calibrated.calibration.ratios.items()
        },
        "not_calibrated": facts.get("not_fitted", {}),
        "quality": [one.model_dump() for one in calibrated.quality],
        "false_alarms": [
            {
                "query": one.query,
                "entries": one.entries,
                "n_queries": one.n_queries,
                "largest_gallery": one.n_people,
                "least_rate": min(1.0, 3 / one.n_queries),
            }
            for one in calibrated.strangers
        ],
    }


def words(found: dict[str, Any]) -> str:
    unknown = f"; {found['n_unknown']} tracklets of unknown people left out" if found["n_unknown"] else ""
    lines = [
        f"{found['gallery']}: calibrated on {found['n_people']} people, {found['n_tracklets']} tracklets of "
        f"{', '.join(found['data'])}{unknown}",
        *(["SYNTHETIC data: generated people"] if found["synthetic"] else []),
        *(f"{pair}: not calibrated: {why}" for pair, why in found["not_calibrated"].items()),
        *_table(found["quality"]),
    ]
    if alarms := found["false_alarms"]:
        least, largest = max(one["least_rate"] for one in alarms), min(one["largest_gallery"] for one in alarms)
        lines.append(
            f"false alarms: measured for galleries of up to {largest} people; the least rate that can be promised is "
            f"{least:.2g}"
        )
    return "\n".join(lines)


def _table(quality: list[dict[str, Any]]) -> list[str]:
    """The figures before and after, judged on people who were not fitted to."""
    if not quality:
        return ["too few people to judge the probabilities: 10 are needed, two of them seen twice in each fifth"]
    head = f"{'':22}{'people':>7}  {'ECE':^16}  {'Brier':^16}  {'log loss':^16}"
    lines = [
        "probabilities before -> after, on people left out of the fit, of entries among a query's first ten:",
        head,
    ]
    for one in quality:
        pairs = (f"{one['before'][key]:.4f} -> {one['after'][key]:.4f}" for key in ("ece", "brier", "log_loss"))
        lines.append(f"{one['pair']:22}{one['people']:>7}  {'  '.join(pairs)}")
    return lines
