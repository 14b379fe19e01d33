"""`duskmatch compare RUN RUN --data DATASET --out DIR`: compares trained models on the same people."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import DataError, SettingsError

if TYPE_CHECKING:
    from duskmatch.data import Dataset
    from duskmatch.evaluation.protocol import ScoredSplit
    from duskmatch.pictures.compared import Compared

MOST_PEOPLE, LONGEST_NAME = 26, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.evaluate import split_arguments

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of trained runs, the baseline first")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATASET", help="folder of the data set to score on"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; must be new or empty")
    parser.add_argument("--names", metavar="A,B,...", help="names of the RUNs (default: their folders' names)")
    split_arguments(parser)
    parser.add_argument("--queries", type=int, default=8, metavar="N", help="queries shown a direction (default 8)")
    parser.add_argument("--people", type=int, default=12, metavar="N", help="people on the maps, 2 to 26 (default 12)")
    parser.add_argument("--overwrite", action="store_true", help="empty DIR first")


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import given_protocol
    from duskmatch.data import open_dataset
    from duskmatch.files import check_folder, claimed, write_json
    from duskmatch.machine import set_threads
    from duskmatch.pictures.comparison import write_comparison

    names = names_of(args.runs, args.names)
    if args.queries < 1:
        raise SettingsError(f"--queries must be at least 1; got {args.queries}")
    if not 2 <= args.people <= MOST_PEOPLE:
        raise SettingsError(f"--people must be from 2 to {MOST_PEOPLE}, as each gets a letter; got {args.people}")
    check_folder(args.out, overwrite=args.overwrite, inputs=[*args.runs, args.data])
    set_threads(args.threads)
    dataset = open_dataset(args.data, **given_protocol(args))
    check_modalities(dataset, args.data, args.split)
    compared = compare(
        args.runs,
        names,
        dataset,
        device=args.device,
        split=args.split,
        n_people=args.people,
        any_split=args.any_split,
    )
    with claimed(args.out, overwrite=args.overwrite) as out:
        console.say("drawing")
        outcome = {"out": str(out), **write_comparison(out, compared, n_queries=args.queries)}
        for figures, place in zip(outcome["runs"], args.runs, strict=True):
            figures["run"] = str(place)
        write_json(out / "compare.json", outcome)
    console.result(outcome, words)


def names_of(runs: Sequence[Path], given: str | None) -> list[str]:
    """A name for each run: those of --names, or of its folder; refused if two are equal."""
    names = [run.expanduser().resolve().name for run in runs] if given is None else given.split(",")
    names = [" ".join(name.split()) for name in names]
    if len(names) != len(runs):
        raise SettingsError(
            f"--names must hold a name for each of {len(runs)} runs, with commas between; got {len(names)}: {given}"
        )
    if not all(names):
        raise SettingsError(f"--names must hold no empty name; got {given!r}")
    for name in names:
        if len(name) > LONGEST_NAME:
            raise SettingsError(f"a run's name must have at most {LONGEST_NAME} characters; got {name}; pass --names")
        if names.count(name) > 1:
            more = "pass --names A,B,..." if given is None else "choose others"
            raise SettingsError(f"names of runs must differ; {names.count(name)} are called {name}; {more}")
    return names


def check_modalities(dataset: Dataset, path: Path, split: ScoredSplit) -> None:
    """Refuses a split that lacks one of the two modalities."""
    pair = dataset.direction("infrared_to_visible", split)
    for modality, side in (("infrared", pair.query), ("visible", pair.gallery)):
        if not side:
            raise DataError(
                f"{path}: the {split} split must hold tracklets of both modalities; it holds no {modality} ones; "
                "choose another data set or split"
            )


def compare(
    runs: Sequence[Path],
    names: Sequence[str],
    dataset: Dataset,
    *,
    device: str,
    split: ScoredSplit,
    n_people: int,
    any_split: bool = False,
) -> list[Compared]:
    """Each run's scores and vectors on one split, by torch in fp32; all are opened before the first is embedded."""
    from rich.markup import escape

    from duskmatch.cli.evaluate import check_split, evaluate_with_progress
    from duskmatch.embedding import load_embedder
    from duskmatch.embedding.highlights import record_highlights
    from duskmatch.embedding.saliency import model_of
    from duskmatch.evaluation import dataset_facts, scores_document
    from duskmatch.health import read_health
    from duskmatch.pictures.compared import Compared, mapped_tracklets

    embedders = [load_embedder(run, device=device) for run in runs]
    for run, embedder in zip(runs, embedders, strict=True):
        model_of(embedder)  # refuses an exported folder
        if not any_split:
            check_split(run, embedder.header.get("data"), dataset)
    compared = []
    healths = [read_health(run) for run in runs]
    for run, name, embedder, health in zip(runs, names, embedders, healths, strict=True):
        noted = record_highlights(embedder)
        evaluation, account = evaluate_with_progress(embedder, dataset, split, None, what=escape(name))
        facts = embedder.facts(account)
        document = scores_document(
            evaluation,
            dataset_facts(dataset, evaluation),
            synthetic=dataset.synthetic,
            facts=facts,
            health=health,
        )
        before = load_embedder(run, device=device, untrained=True)
        untrained = before.embed(mapped_tracklets(evaluation, n_people))
        weights, spreads = (noted.weights(), noted.spreads()) if noted else (None, None)
        compared.append(Compared(name, evaluation, document, facts, embedder, weights, untrained, spreads))
    return compared


def words(outcome: dict[str, Any]) -> str:
    """The data and a line for each run: rank-1 and mAP by direction, AUC between modalities, health."""
    from duskmatch.evaluation import origin
    from duskmatch.evaluation.words import ARROWS, percent
    from duskmatch.health import in_short

    width = max(len(figures["name"]) for figures in outcome["runs"])
    lines = [origin(outcome), f"{outcome['split']} split, {outcome['people']} people"]
    for figures in outcome["runs"]:
        found = [
            f"{arrow} rank-1 {percent(figures[d]['rank1'])} mAP {percent(figures[d]['mAP'])}"
            for d, arrow in ARROWS.items()
        ]
        auc = figures["auc"]["across"]
        health = in_short(figures["health"])
        found += [*([] if auc is None else [f"AUC {auc:.3f}"]), *([f"parts {health}"] if health else [])]
        lines.append(f"{figures['name']:<{width}}  " + ", ".join(found))
    return "\n".join([*lines, f"page: {outcome['page']}", f"pictures beside it: {len(outcome['pictures'])}"])
