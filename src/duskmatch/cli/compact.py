"""`duskmatch compact RUN --data DATASET --width N --out RUN2`: a RUN with shorter vectors, and what that costs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.embedding import Account, Embedder
    from duskmatch.embedding.compaction import Projection
    from duskmatch.evaluation import Evaluation
    from duskmatch.records import Embeddings, Tracklet

FILE = "compact.json"
WIDTHS = (1024, 512, 256, 128)
BLOCK = 256  # tracklets embedded before they are added to the sums


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import bad_frame_argument
    from duskmatch.cli.evaluate import protocol_argument

    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATASET",
        help="learn from its training people, and measure the loss on its validation people",
    )  # fmt: skip
    protocol_argument(parser)
    parser.add_argument("--width", type=int, required=True, metavar="N", help="numbers in a vector of RUN2")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN2", help="folder to write; must be new or empty")
    parser.add_argument("--overwrite", action="store_true", help="empty RUN2 first")
    bad_frame_argument(parser)


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import check_split, given_protocol
    from duskmatch.data import open_dataset
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.compaction import check_whole, check_width, write_compacted
    from duskmatch.files import check_folder, claimed, write_json
    from duskmatch.machine import set_threads

    check_whole(args.run)
    check_folder(args.out, overwrite=args.overwrite, inputs=[args.run, args.data])
    set_threads(args.threads)
    embedder = load_embedder(args.run, device=args.device, on_bad_frame=args.on_bad_frame, engine="auto")
    assert embedder.model is not None
    full = embedder.model.embedding_width
    check_width(args.width, full)
    dataset = open_dataset(args.data, **given_protocol(args))
    check_split(args.run, embedder.header.get("data"), dataset)
    widths = sorted({args.width, *(w for w in WIDTHS if w < full)}, reverse=True)
    with claimed(args.out, overwrite=args.overwrite) as out:
        projection, facts = learned(embedder, dataset, widths[0])
        document = {"schema_version": 1, "full_width": full, **facts, **measured(embedder, dataset, projection, widths)}
        write_compacted(args.run, out, projection.narrowed(args.width), facts)
        write_json(out / FILE, document)
    console.result({"out": str(args.out), "width": args.width, **document}, words)


def learned(embedder: Embedder, dataset: Dataset, width: int) -> tuple[Projection, dict[str, Any]]:
    """The projection to `width` numbers from training people, and the facts of its making."""
    import numpy as np

    from duskmatch.cli import console
    from duskmatch.embedding import Account
    from duskmatch.embedding.compaction import METHOD, Scatter, learn
    from duskmatch.errors import DataError
    from duskmatch.records import MODALITIES

    tracklets, account = dataset.train, Account()
    for modality in MODALITIES:
        if not any(tracklet.modality == modality for tracklet in tracklets):
            raise DataError(f"{dataset.root} must have {modality} training tracklets; it has none; choose another")
    assert embedder.model is not None
    scatter = Scatter(len(tracklets), embedder.model.embedding_width)
    with console.progress() as bar:
        task = bar.add_task("embedding training people", total=len(tracklets), note="")
        for begin in range(0, len(tracklets), BLOCK):
            block = tracklets[begin : begin + BLOCK]
            found = embedder.embed_rows(block)
            account.add(found.account)
            if len(found.rows):
                kept = [block[row] for row in found.rows]
                scatter.add(found.vectors, np.array([t.pid for t in kept]), [t.modality for t in kept])
            bar.update(task, completed=begin + len(block))
    if account.bad_frames:
        console.say(account.bad_frames.summary())
    projection = learn(scatter, width)
    return projection, {
        "method": METHOD,
        "data": {"name": dataset.name, "version": dataset.version, "fingerprint": dataset.fingerprint},
        "synthetic": dataset.synthetic,
        "training": {
            "people": len({tracklet.pid for tracklet in tracklets}),
            "tracklets": dict(zip(MODALITIES, scatter.counts.tolist(), strict=True)),
            "axes": projection.n_learned,
        },
    }


def measured(embedder: Embedder, dataset: Dataset, projection: Projection, widths: Sequence[int]) -> dict[str, Any]:
    """Rank-1 and mAP of validation people by the whole embedding and at each width, and what they depend on."""
    from duskmatch.cli.embed import embed_with_progress
    from duskmatch.evaluation import dataset_facts, evaluate_dataset, scores_document

    if len({tracklet.modality for tracklet in dataset.validation}) < 2:
        return {"not_measured": "the data set has no validation people in both modalities", "widths": []}
    rule = embedder.settings.evaluate.camera_rule
    known: list[tuple[Embeddings, Account]] = []  # of the tracklets in the order in which they are scored

    def embed_once(tracklets: list[Tracklet]) -> Embeddings:
        known.append(embed_with_progress(embedder, tracklets, "embedding validation people"))
        return known[0][0]

    evaluation = evaluate_dataset(embed_once, dataset, split="validation", camera_rule=rule)
    whole, account = known[0]
    narrow = []
    for width in widths:
        shorter = projection.narrowed(width)(whole)
        narrow.append(
            row(width, evaluate_dataset(partial(as_given, shorter), dataset, split="validation", camera_rule=rule))
        )
    document = scores_document(
        evaluation, dataset_facts(dataset, evaluation), synthetic=dataset.synthetic, facts=embedder.facts(account)
    )
    kept = ("protocol", "precision", "checkpoint", "selection", "seed", "versions")
    return {
        "not_measured": None,
        "people": len(set(whole.pids.tolist())),
        "widths": [row(whole.vectors.shape[1], evaluation), *narrow],
        **{key: document[key] for key in kept},
    }


def as_given(embeddings: Embeddings, _: list[Tracklet]) -> Embeddings:
    return embeddings


def row(width: int, evaluation: Evaluation) -> dict[str, Any]:
    """A line of the table: the width, and rank-1 and mAP of both directions."""
    from duskmatch.records import DIRECTIONS

    found: dict[str, Any] = {"width": width}
    for direction in DIRECTIONS:
        scores = evaluation.scores[direction]
        found[direction] = {
            "rank1": scores.rank1,
            "mAP": scores.mean_average_precision,
            "n_queries": len(scores.scored),
        }
    return found


def words(outcome: dict[str, Any]) -> str:
    """The table for the terminal, in per cent, with the loss of mAP in points."""
    from duskmatch.evaluation import origin

    training = outcome["training"]
    tracklets = " and ".join(f"{n} {modality}" for modality, n in training["tracklets"].items())
    lines = [
        f"{outcome['out']}: vectors of {outcome['width']} numbers instead of {outcome['full_width']}, learned from "
        f"{training['people']} training people ({tracklets} tracklets)",
        origin(outcome),
    ]
    if training["axes"] < outcome["width"]:
        lines.append(
            f"{training['axes']} of {outcome['width']} axes were learned, the others are random: too few tracklets; "
            f"--width {training['axes']} loses nothing more"
        )
    if outcome["not_measured"]:
        return "\n".join([*lines, f"loss: not measured: {outcome['not_measured']}"])
    protocol = outcome["protocol"]
    lines += [
        f"{outcome['people']} validation people, camera rule {protocol['camera_rule']}, "
        f"{protocol['frames_per_clip']} frames per clip",
        "",
        *table(outcome["widths"]),
    ]
    return "\n".join(lines)


def table(widths: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of text: for each width rank-1 and mAP of both directions, and the change of their mean mAP."""
    from duskmatch.evaluation.words import ARROWS
    from duskmatch.records import DIRECTIONS

    lines = [
        f"{'':>10}" + "".join(f"{ARROWS[direction]:>24}" for direction in DIRECTIONS) + f"{'mean mAP':>20}",
        f"{'width':>10}" + f"{'rank-1':>14}{'mAP':>10}" * len(DIRECTIONS) + f"{'change':>20}",
    ]
    first = mean_map(widths[0])
    for one in widths:
        figures = "".join(f"{100 * one[d]['rank1']:14.2f}{100 * one[d]['mAP']:10.2f}" for d in DIRECTIONS)
        lines.append(f"{one['width']:>10}{figures}{100 * (mean_map(one) - first):>+20.2f}")
    return lines


def mean_map(one: Mapping[str, Any]) -> float:
    """The mean mAP of both directions."""
    from duskmatch.records import DIRECTIONS

    return sum(float(one[direction]["mAP"]) for direction in DIRECTIONS) / len(DIRECTIONS)
