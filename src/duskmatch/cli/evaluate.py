"""`duskmatch evaluate`: score a trained model, or features made by any program."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from duskmatch.errors import CheckpointError, DuskmatchError, EvaluationError, OutputError, SettingsError, nearest

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.embedding import Account, Embedder
    from duskmatch.evaluation import Evaluation
    from duskmatch.evaluation.arrays import Arrays
    from duskmatch.evaluation.protocol import AnyReRanking, ScoredSplit
    from duskmatch.records import CameraRule, Embeddings, Tracklet

RE_RANKINGS = ("k-reciprocal", "temporal")


def protocol_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --protocol."""
    parser.add_argument(
        "--protocol", metavar="NAME",
        help="variant of the data set's protocol, such as split-3 of RegDB or indoor-multi of SYSU-MM01 (default: the "
        "usual one)",
    )  # fmt: skip


def given_protocol(args: argparse.Namespace) -> dict[str, Any]:
    """--protocol as an argument of `open_dataset`, if it was given."""
    return {"protocol": args.protocol} if args.protocol else {}


def split_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --split."""
    parser.add_argument(
        "--split", choices=("test", "validation"), default="test",
        help="people to score: test, or validation while you choose settings (default test)",
    )  # fmt: skip


def split_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --split, --protocol and --any-split, which `check_split` reads."""
    split_argument(parser)
    protocol_argument(parser)
    parser.add_argument(
        "--any-split", action="store_true",
        help="allow a --protocol other than that of the RUN's training, which may have used the people it tests",
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import bad_frame_argument, engine_arguments
    from duskmatch.records import CAMERA_RULES, COUNTED, DIRECTIONS

    add = parser.add_argument
    add("run", nargs="?", type=Path, metavar="RUN", help="folder of a trained run or an export")
    add("--data", type=Path, metavar="DATASET", help="folder of the data set to score RUN on")
    add(
        "--features", type=Path, nargs="+", action="extend", metavar="FILE",
        help="embeddings to score instead of a RUN: files .npz, .safetensors, .mat or .pt; or .npy files in pairs, "
        "embeddings and then their labels",
    )  # fmt: skip
    add(
        "--direction", choices=DIRECTIONS,
        help="with --features: score this direction only; required for files that hold a query and a gallery, since "
        "it says which of them is infrared",
    )  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="JSON file for the scores (default: RUN/scores.json)")
    add("--overwrite", action="store_true", help="replace the --out FILE if it exists")
    split_arguments(parser)
    add(
        "--camera-rule", choices=CAMERA_RULES,
        help="entries removed from each query's gallery: none, the query's person from the query's camera, or for "
        "queries from camera 3 all of camera 2 (default: the data set's rule; with --features same-pid-same-camera)",
    )  # fmt: skip
    add(
        "--cmc", choices=tuple(COUNTED),
        help="with --features: CMC counts every gallery entry, or of each person (identity) the first one only, as in "
        "SYSU-MM01 (default entries)",
    )  # fmt: skip
    add(
        "--rerank", nargs="?", const=RE_RANKINGS[0], metavar="KIND",
        help="re-rank by shared neighbours: k-reciprocal (the default KIND), or temporal, which also compares halves "
        "of tracks; not comparable with scores without re-ranking",
    )  # fmt: skip
    add("--rerank-k1", type=int, metavar="N", help="re-ranking: size of a neighbourhood (default 20; temporal: 5)")
    add(
        "--rerank-k2", type=int, metavar="N", help="re-ranking: neighbours to average, 1: none (default 6; temporal: 3)"
    )
    add("--rerank-lambda", type=float, metavar="X", help="k-reciprocal: weight of the original distance (default 0.3)")
    engine_arguments(parser)
    bad_frame_argument(parser)
    add("--synthetic", action="store_true", help="with --features: mark scores as those of generated people")
    add("--no-report", action="store_true", help="write the scores, but no report.html")


def run(args: argparse.Namespace) -> None:
    """Prints the scores; those of a RUN are written to it with a report, those of features only to --out."""
    from duskmatch.cli import console
    from duskmatch.embedding.run import run_files
    from duskmatch.evaluation import scores_in_words
    from duskmatch.files import check_file, write_json

    _check(args)
    if args.out:
        check_file(args.out, inputs=[*(args.features or ()), *(run_files(args.run) if args.run else ())])
    document = _score_features(args) if args.features else _score_run(args)
    if args.out and args.features:
        write_json(args.out, document)
    console.result(document, scores_in_words)


def _score_features(args: argparse.Namespace) -> dict[str, Any]:
    from duskmatch.evaluation import evaluate_embeddings, features_facts, load_features, scores_document
    from duskmatch.records import DIRECTIONS

    query = args.direction and args.direction.partition("_")[0]
    infrared, visible = load_features(*args.features, query=query, readers={".pt": _read_pt, ".pth": _read_pt})
    evaluation = evaluate_embeddings(
        infrared,
        visible,
        camera_rule=args.camera_rule or "same-pid-same-camera",
        cmc=args.cmc or "entries",
        re_ranking=_re_ranking(args),
        directions=[args.direction] if args.direction else DIRECTIONS,
        answers=True,
    )
    return scores_document(
        evaluation,
        features_facts(*args.features),
        synthetic=args.synthetic or infrared.meta.get("synthetic") is True or None,
        facts={"precision": _text(infrared.meta.get("precision")), "test_time_extras": None},
    )


def _read_pt(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The known arrays of a .pt file, read by a loader that executes no code; the header is empty."""
    from duskmatch.evaluation.arrays import NAMES, as_array
    from duskmatch.pickled import read_pickle

    try:
        tensors = read_pickle(path)
    except CheckpointError as error:
        rule = "save a dictionary of plain tensors"
        raise EvaluationError(f"{str(error).partition('; ')[0]}; {rule}") from error
    return {name: as_array(tensor) for name, tensor in tensors.items() if name in NAMES}, {}


def _score_run(args: argparse.Namespace) -> dict[str, Any]:
    from duskmatch.data import open_dataset
    from duskmatch.machine import set_threads

    set_threads(args.threads)
    suffix = "" if args.split == "test" else f".{args.split}"
    return evaluate_run(
        args.run,
        open_dataset(args.data, **given_protocol(args)),
        device=args.device,
        camera_rule=args.camera_rule,
        re_ranking=_re_ranking(args),
        split=args.split,
        on_bad_frame=args.on_bad_frame,
        any_split=args.any_split,
        engine=args.engine,
        precision=args.precision,
        scores=args.out or args.run / f"scores{suffix}.json",
        report=None if args.no_report else args.run / f"report{suffix}.html",
    )


def evaluate_run(
    run: Path,
    dataset: Dataset,
    *,
    device: str = "auto",
    camera_rule: CameraRule | None = None,
    re_ranking: AnyReRanking | None = None,
    split: ScoredSplit = "test",
    on_bad_frame: Literal["stop", "skip"] = "stop",
    any_split: bool = False,
    engine: str = "auto",
    precision: str | None = None,
    scores: Path,
    report: Path | None,
) -> dict[str, Any]:
    """The scores document of a RUN on a data set, after and before training; writes it to `scores` and to `report`."""
    from duskmatch.cli import console
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.exported import is_exported
    from duskmatch.evaluation import dataset_facts, scores_document
    from duskmatch.files import check_file, write_json
    from duskmatch.health import in_words, read_health
    from duskmatch.pictures import read_log, write_report

    load = partial(load_embedder, run, device=device, on_bad_frame=on_bad_frame, engine=engine, precision=precision)
    trained, before = load(), load(untrained=True)
    health = read_health(run)
    if not any_split:
        check_split(run, trained.header.get("data"), dataset)
    for place in filter(None, (scores, report)):
        check_file(place)
    evaluation, account = evaluate_with_progress(trained, dataset, split, camera_rule, re_ranking, answers=True)
    untrained, _ = evaluate_with_progress(
        before, dataset, split, camera_rule, re_ranking, what="the network before training"
    )
    facts = trained.facts(account)
    document = scores_document(
        evaluation,
        dataset_facts(dataset, evaluation),
        synthetic=dataset.synthetic,
        facts=facts,
        untrained=untrained,
        health=health,
    )
    write_json(scores, document)
    console.say(f"scores: {scores}")
    if health is None and not is_exported(run):
        console.say(in_words(None)[0])
    if report:
        try:
            write_report(report, evaluation, document, dataset=dataset, log=read_log(run / "log.csv"), facts=facts)
        except (DuskmatchError, OSError) as error:
            raise OutputError(f"{report} was not written: {error}; the scores were written: {scores}") from error
        console.say(f"report: {report}")
    return document


def check_split(run: Path, trained_on: dict[str, Any] | None, dataset: Dataset) -> None:
    """Refuses to score a RUN under another split than that of its training, which contains many of the test people.

    Source: docs/datasets.md, "RegDB".
    """
    if not dataset.protocol.trained_apart or not trained_on or trained_on.get("name") != dataset.name:
        return
    trained, asked = trained_on.get("protocol"), dataset.protocol.variant
    if trained != asked:
        raise EvaluationError(
            f"{run} was trained on {trained} of {dataset.name}, with many of the people whom {asked} tests; "
            f"pass --protocol {trained}, or --any-split to score it anyway"
        )


def evaluate_with_progress(
    embedder: Embedder,
    dataset: Dataset,
    split: ScoredSplit,
    camera_rule: CameraRule | None,
    re_ranking: AnyReRanking | None = None,
    *,
    what: str = "the trained network",
    answers: bool = False,
) -> tuple[Evaluation, Account]:
    """The scores of a split, embedded with a progress bar, and the account; reports frames that were skipped."""
    from duskmatch.cli import console
    from duskmatch.embedding import Account
    from duskmatch.evaluation import evaluate_dataset

    account = Account()
    with console.progress() as bar:
        task = bar.add_task(f"embedding, {what}", total=None, note="")

        def embed(tracklets: list[Tracklet]) -> Embeddings:
            embeddings, found = embedder.embed_with_account(
                tracklets, lambda done, total: bar.update(task, completed=done, total=total)
            )
            account.add(found)
            return embeddings

        evaluation = evaluate_dataset(
            embed, dataset, split=split, camera_rule=camera_rule, re_ranking=re_ranking, answers=answers
        )
    if account.bad_frames:
        console.say(account.bad_frames.summary())
    return evaluation, account


def _re_ranking(args: argparse.Namespace) -> AnyReRanking | None:
    from duskmatch.evaluation import ReRanking, TemporalReRanking

    if not args.rerank:
        return None
    numbers = {"k1": args.rerank_k1, "k2": args.rerank_k2, "lambda_value": args.rerank_lambda}
    given = {name: value for name, value in numbers.items() if value is not None}
    return TemporalReRanking(**given) if args.rerank == "temporal" else ReRanking(**given)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _check(args: argparse.Namespace) -> None:
    """Refuses flags that contradict each other before anything is read."""
    if args.rerank and args.rerank not in RE_RANKINGS:
        if args.run or args.features or not Path(args.rerank).exists():
            near = nearest(args.rerank, RE_RANKINGS)
            raise SettingsError(f"--rerank must be {' or '.join(RE_RANKINGS)}; got {args.rerank}{near}")
        args.run, args.rerank = Path(args.rerank), RE_RANKINGS[0]  # `evaluate --rerank RUN`: KIND may be left out
    if bool(args.run) == bool(args.features):
        raise SettingsError("evaluate takes RUN --data DATASET, or --features FILE; got both or neither; name one")
    if args.run and not args.data:
        raise SettingsError("evaluate RUN needs --data DATASET, the data set to score it on; name one")
    if args.run and args.direction:
        raise SettingsError("--direction is for --features; of a data set every direction is scored; leave it out")
    if args.run and args.cmc:
        raise SettingsError("--cmc is for --features; a data set's protocol says what CMC counts; leave it out")
    useless = {
        "--data": args.data,
        "--split validation": args.split != "test",
        "--precision": args.precision,
        "--protocol": args.protocol,
        "--any-split": args.any_split,
    }
    for flag, given in useless.items():
        if args.features and given:
            raise SettingsError(f"{flag} is for a RUN; --features FILE holds all that is scored; leave it out")
    for flag, value in (("k1", args.rerank_k1), ("k2", args.rerank_k2), ("lambda", args.rerank_lambda)):
        if value is not None and not args.rerank:
            raise SettingsError(f"--rerank-{flag} needs --rerank, which is off; pass both or leave it out")
    if args.rerank == "temporal" and args.rerank_lambda is not None:
        raise SettingsError("--rerank temporal has lambda 0; got --rerank-lambda; leave it out")
    if args.rerank == "temporal" and args.features:
        raise SettingsError("--rerank temporal embeds halves of tracks, so it needs pictures; pass RUN --data DATASET")
    _re_ranking(args)
    if args.run and args.synthetic:
        raise SettingsError("--synthetic is for --features; a data set says itself if it is synthetic; leave it out")
    if args.out and args.out.exists() and not args.overwrite:
        raise OutputError(f"{args.out} already exists; choose another --out or pass --overwrite")
