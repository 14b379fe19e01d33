"""`duskmatch gallery create` and `reembed`: galleries for the vectors of a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duskmatch.embedding import Embedder


def add_create(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--width", type=int, metavar="N", help="numbers in a vector; the model is that of the first vectors added"
    )
    kind.add_argument(
        "--run", type=Path, metavar="RUN", help="folder of a trained run or export: take width and model from it"
    )
    parser.add_argument(
        "--normalisation",
        choices=("unit", "none"),
        default="unit",
        help="unit: only vectors of length 1, similarity is their cosine; none: any vectors, similarity is their dot "
        "product (default unit)",
    )


def add_reembed(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.embed import engine_arguments

    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder of the trained run or export that embeds the new gallery",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="NEW", help="folder of the new gallery; must not exist"
    )
    engine_arguments(parser)


def run_create(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.gallery import Gallery
    from duskmatch.gallery.store.place import check_free

    check_free(args.gallery)  # before a network is loaded
    width, model = (args.width, None) if args.run is None else _of_run(args)
    with Gallery.create(args.gallery, width=width, model=model, normalisation=args.normalisation) as gallery:
        facts = gallery.facts
    outcome = {
        "gallery": str(args.gallery),
        "width": facts.width,
        "model": facts.model,
        "normalisation": facts.normalisation,
    }
    console.result(outcome, lambda o: f"{o['gallery']}: empty, for vectors of {o['width']} numbers")


def run_reembed(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.embedding import load_embedder
    from duskmatch.machine import set_threads

    set_threads(args.threads)
    with opened(args) as gallery:
        embedder = load_embedder(
            args.run, device=args.device, on_bad_frame="skip", engine=args.engine, precision=args.precision
        )
        made = gallery.reembed(args.out, embedder)
    outcome = {"gallery": str(args.out), "entries": made.n_entries, "missing": made.missing}
    console.result(outcome, _reembedded)


def _reembedded(outcome: dict[str, Any]) -> str:
    missing = outcome["missing"]
    text = f"{outcome['gallery']}: {outcome['entries']} entries; {len(missing)} could not be made again"
    return "\n".join([text, *(f"  {id}: {reason}" for id, reason in missing.items())])


def _of_run(args: argparse.Namespace) -> tuple[int, str]:
    from duskmatch.embedding import load_embedder
    from duskmatch.gallery.store.model import fingerprint

    embedder = load_embedder(args.run, device=args.device)
    return width_of(embedder), fingerprint(embedder.header)


def width_of(embedder: Embedder) -> int:
    """The numbers of a vector, found with one grey clip: an exported network does not say it."""
    import numpy as np

    data = embedder.settings.data
    clip = np.full((1, data.frames_per_clip, 3, data.height, data.width), 128, np.uint8)
    return int(embedder.engine(clip, "visible").shape[1])
