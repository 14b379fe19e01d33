"""`duskmatch evaluate`: score a trained model, or features made by any program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from duskmatch.evaluation import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="the folder of a trained model")
    parser.add_argument("--data", type=Path, metavar="DATASET", help="the data set to score RUN on")
    parser.add_argument("--features", type=Path, metavar="FILE", help=".npz or .safetensors to score instead of a RUN")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the scores go (default RUN/scores.json)")
    parser.add_argument("--overwrite", action="store_true", help="replace an OUT that is there")
    parser.add_argument(
        "--camera-rule",
        choices=("none", "same-pid-same-camera"),
        default="same-pid-same-camera",
        help="what is taken out of each query's gallery (default same-pid-same-camera)",
    )
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="whose people (default test)")
    parser.add_argument("--on-bad-frame", choices=("stop", "skip"), default="stop", help="default stop")
    parser.add_argument("--synthetic", action="store_true", help="the features show generated people")
    parser.add_argument("--no-report", action="store_true", help="scores only, no report.html")


def run(args: argparse.Namespace) -> None:
    """Scores, printed, and beside a RUN kept with its report."""
    from duskmatch.cli import console
    from duskmatch.evaluation import scores_in_words
    from duskmatch.files import write_json

    _check(args)
    document = _features(args) if args.features else _trained(args)
    if args.out and args.features:
        write_json(args.out, document)
    console.result(document, scores_in_words)


def _features(args: argparse.Namespace) -> dict[str, Any]:
    from duskmatch.evaluation import evaluate_embeddings, features_facts, load_features, scores_document

    infrared, visible = load_features(args.features)
    evaluation = evaluate_embeddings(infrared, visible, camera_rule=args.camera_rule)
    synthetic = True if args.synthetic else infrared.meta.get("synthetic")
    facts = {key: infrared.meta.get(key) for key in ("precision", "checkpoint", "selection", "seed", "n_frames")}
    return scores_document(
        evaluation,
        features_facts(args.features),
        synthetic=synthetic if isinstance(synthetic, bool) else None,
        facts={**facts, "test_time_extras": infrared.meta.get("test_time_extras")},
    )


def _trained(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from duskmatch.cli import console
    from duskmatch.data import open_dataset
    from duskmatch.embedding import load_embedder

    if args.threads:
        torch.set_num_threads(args.threads)
    dataset = open_dataset(args.data)
    suffix = "" if args.split == "test" else f".{args.split}"
    embedder = load_embedder(args.run, device=args.device, on_bad_frame=args.on_bad_frame)
    before = load_embedder(args.run, device=args.device, on_bad_frame=args.on_bad_frame, untrained=True)
    console.say(f"embedding the {args.split} people of {args.data}, with the trained network and before training")
    evaluation, untrained = (_evaluate(which, dataset, args) for which in (embedder, before))
    return write_results(
        args.run,
        evaluation,
        untrained,
        dataset,
        embedder.facts(),
        scores=args.out or args.run / f"scores{suffix}.json",
        report=None if args.no_report else args.run / f"report{suffix}.html",
    )


def _evaluate(embedder: Any, dataset: Any, args: argparse.Namespace) -> Evaluation:
    from duskmatch.evaluation import evaluate_dataset

    return evaluate_dataset(embedder.embed, dataset, split=args.split, camera_rule=args.camera_rule)


def write_results(
    run: Path,
    evaluation: Evaluation,
    untrained: Evaluation | None,
    dataset: Any,
    facts: dict[str, Any],
    *,
    scores: Path,
    report: Path | None,
) -> dict[str, Any]:
    """scores.json and report.html of one evaluation, and the document that both show."""
    from duskmatch.cli import console
    from duskmatch.evaluation import dataset_facts, scores_document
    from duskmatch.files import write_json

    document = scores_document(
        evaluation,
        dataset_facts(dataset, evaluation),
        synthetic=dataset.synthetic,
        facts=facts,
        untrained=untrained,
    )
    write_json(scores, document)
    console.say(f"scores: {scores}")
    if report:
        from duskmatch.pictures import read_log, write_report

        write_report(report, evaluation, document, dataset=dataset, log=read_log(run / "log.csv"), facts=facts)
        console.say(f"report: {report}")
    return document


def _check(args: argparse.Namespace) -> None:
    """Refuses flags that contradict each other before anything is read."""
    if bool(args.run) == bool(args.features):
        raise SettingsError("evaluate takes RUN --data DATASET, or --features FILE; got both or neither; name one")
    if args.run and not args.data:
        raise SettingsError("evaluate RUN needs --data DATASET, the data set to score it on; name one")
    for flag, given in (("--data", args.data), ("--split validation", args.split != "test")):
        if args.features and given:
            raise SettingsError(f"--features FILE holds all that is scored; {flag} has no use there; leave it out")
    if args.run and args.synthetic:
        raise SettingsError("--synthetic is for --features; a data set says itself whether it is; leave it out")
    if args.out and args.out.exists() and not args.overwrite:
        raise OutputError(f"{args.out} must not exist; it does; choose another --out or pass --overwrite")
