"""`duskmatch export RUN --format F --out DIR`: writes the network for an engine, verified against torch in fp32."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.embedding import Embedder
    from duskmatch.embedding.export import Clips
    from duskmatch.embedding.exported import Export
    from duskmatch.evaluation.protocol import ScoredSplit
    from duskmatch.records import Modality

N_COMPARED, N_CALIBRATED = 32, 96  # clips of each modality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    parser.add_argument("--format", required=True, metavar="NAME", help="onnx, openvino or torch")
    parser.add_argument("--precision", default="fp32", metavar="NAME", help="fp32, bf16 or int8 (default fp32)")
    parser.add_argument("--batch", default="1", metavar="N", help="clips in one call: a number, or dynamic (default 1)")
    parser.add_argument(
        "--data", type=Path, metavar="DATASET",
        help="verify on its training tracklets and by the scores of its validation people, and calibrate int8 on it "
        "(default: verify on generated clips)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("validation", "test"), default="validation",
        help="people of --data whose scores are compared; readings of test people are counted (default validation)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; must be new or empty")
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.data import open_dataset
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.export import N_GENERATED, check_export, export_run, generated_clips, save_export
    from duskmatch.embedding.exported import load_exported
    from duskmatch.errors import CheckpointError
    from duskmatch.files import check_folder, claimed
    from duskmatch.machine import set_threads

    batch = batch_size(args.batch)
    check_export(args.format, args.precision, calibrated=args.data is not None)
    check_folder(args.out, overwrite=args.overwrite, inputs=[p for p in (args.run, args.data) if p])
    set_threads(args.threads)
    reference = load_embedder(args.run, device="cpu")
    dataset = open_dataset(args.data) if args.data else None
    clips = training_clips(reference, dataset) if dataset else generated_clips(reference.settings, N_GENERATED)
    seen = training_clips(reference, dataset, N_CALIBRATED) if dataset and args.precision == "int8" else None
    with claimed(args.out, overwrite=args.overwrite) as out:
        console.say(f"writing {args.format}, {args.precision}: {out}")
        export = export_run(args.run, out, args.format, args.precision, batch, seen)
        exported = load_exported(out, "cpu", None, None, unverified=True)
        wrong = verify(export, exported, reference, clips, dataset, args.split)
        save_export(out, export)
    if wrong:
        raise CheckpointError(f"{out} did not pass verification and cannot be loaded: {'; '.join(wrong)}")
    console.result({"out": str(out), **export.model_dump(mode="json", exclude={"settings", "source"})}, words)


def batch_size(text: str) -> int | None:
    from duskmatch.errors import SettingsError

    if text == "dynamic":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise SettingsError(f"--batch must be dynamic or a number from 1 to 4096; got {text}")
    return int(text)


def training_clips(embedder: Embedder, dataset: Dataset, n: int = N_COMPARED) -> Clips:
    """Clips (1 t 3 h w) of n training tracklets of each modality, spread evenly over its list."""
    import numpy as np

    from duskmatch.errors import DataError
    from duskmatch.records import MODALITIES

    found: dict[Modality, list[Any]] = {}
    for modality in MODALITIES:
        tracklets = [t for t in dataset.train if t.modality == modality]
        if not tracklets:
            raise DataError(f"{dataset.root} must have {modality} training tracklets; it has none; choose another")
        places = sorted({int(i) for i in np.linspace(0, len(tracklets) - 1, n)})
        clips = [read.clip for read in embedder.reader.clips([tracklets[i] for i in places])]
        found[modality] = [clip.frames[None] for clip in clips if clip is not None]
    return found


def verify(
    export: Export,
    exported: Embedder,
    reference: Embedder,
    clips: Clips,
    dataset: Dataset | None,
    split: ScoredSplit,
) -> list[str]:
    """Fills in `verification` and `verified` of `export`; returns a sentence for each limit that is not met."""
    from duskmatch.embedding.export import compare, violations

    export.verification = {
        "clips": f"training tracklets of {dataset.name}" if dataset else "generated, smooth, without noise",
        **compare(exported.engine, reference.engine, clips),
    }
    if dataset and split in dataset.splits:
        export.verification |= {"split": split, "scores": scores_moved(exported, reference, dataset, split)}
    wrong = violations(export)
    export.verified = not wrong
    return wrong


def scores_moved(exported: Embedder, reference: Embedder, dataset: Dataset, split: ScoredSplit) -> dict[str, Any]:
    """Rank-1 and mAP of the export and of torch in fp32, for each direction."""
    from duskmatch.cli.evaluate import evaluate_with_progress
    from duskmatch.evaluation import note_test_read

    rule = reference.settings.evaluate.camera_rule
    ours = evaluate_with_progress(exported, dataset, split, rule, what="the export")[0].scores
    theirs = evaluate_with_progress(reference, dataset, split, rule, what="torch in fp32")[0].scores
    if split == "test":
        note_test_read(dataset.fingerprint, dataset.name)
    return {
        direction: {
            "rank1": ours[direction].rank1,
            "rank1_fp32": theirs[direction].rank1,
            "mAP": ours[direction].mean_average_precision,
            "mAP_fp32": theirs[direction].mean_average_precision,
            "n_queries": len(theirs[direction].scored),
        }
        for direction in theirs
    }


def words(outcome: dict[str, Any]) -> str:
    seen = outcome["verification"]
    lines = [f"{outcome['out']}: {outcome['format']}, {outcome['precision']}, batch {outcome['batch'] or 'dynamic'}"]
    lines.append(
        f"cosine with torch in fp32: least {seen['cosine_least']:.6f}, mean {seen['cosine_mean']:.6f} "
        f"({seen['n_clips']} clips; {seen['clips']})"
    )
    for direction, moved in seen.get("scores", {}).items():
        lines.append(
            f"{direction}: rank-1 {100 * moved['rank1']:.2f} % (fp32 {100 * moved['rank1_fp32']:.2f}), "
            f"mAP {100 * moved['mAP']:.2f} % (fp32 {100 * moved['mAP_fp32']:.2f}), {moved['n_queries']} queries"
        )
    return "\n".join(lines)
