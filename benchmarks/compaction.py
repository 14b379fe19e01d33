"""Widths of compact vectors and the ways to learn them: python -m benchmarks.compaction FOLDER NAME...

Of each RUN, FOLDER holds what `duskmatch embed` wrote of a data set's sides, as NAME-train.safetensors,
NAME-validation-query, NAME-validation-gallery, NAME-query and NAME-gallery. Every way is scored on validation people;
the one that `duskmatch compact` uses is scored on test people too. Writes benchmarks/results/compaction_bench.json,
which `python -m benchmarks.compaction page` shows in docs/compact.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.harness import RESULTS

FILE = RESULTS / "compaction_bench.json"
PAGE = Path(__file__).parent.parent / "docs" / "compact.md"
BLOCK = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
WIDTHS = (1024, 512, 256, 128)
CHOSEN = "within-person, power 0.5"
Way = Callable[[Any, int], Any]


def ways() -> dict[str, Way]:
    """The ways that were tried, each a function of what was found in training embeddings and of a width."""
    from duskmatch.embedding.compaction import within_person

    return {
        "principal axes": lambda found, width: principal(found, width, 0.0, 0.0),
        "whitened, power 0.25, ridge 0.1": lambda found, width: principal(found, width, 0.25, 0.1),
        "whitened, power 0.5, ridge 10": lambda found, width: principal(found, width, 0.5, 10.0),
        "whitened, power 1, ridge 0.1": lambda found, width: principal(found, width, 1.0, 0.1),
        CHOSEN: lambda found, width: within_person(found, width),
        "within-person, power 1": lambda found, width: within_person(found, width, 1.0),
    }


def found_in(train: Any) -> Any:
    from duskmatch.embedding.compaction import REDUCED, Scatter, found_axes

    scatter = Scatter(len(train), train.vectors.shape[1])
    scatter.add(train.vectors, train.pids, train.modalities)
    return found_axes(scatter, REDUCED)


def principal(found: Any, width: int, power: float, ridge: float) -> Any:
    """Principal axes, their variances raised to a power; the ridge is in mean variances of the kept axes."""
    from duskmatch.embedding.compaction import Projection

    variances = found.variances[:width]
    weight = found.axes[:width] * (variances + ridge * found.variances.mean())[:, None] ** (-power / 2)
    return Projection(weight.numpy(), found.means.float().numpy(), len(weight))


def scores(query: Any, gallery: Any) -> dict[str, Any]:
    from duskmatch.evaluation import evaluate_embeddings

    found = evaluate_embeddings(query, gallery).scores
    return {
        d: {"rank1": s.rank1, "mAP": s.mean_average_precision, "n_queries": len(s.scored)} for d, s in found.items()
    }


def study(folder: Path, name: str) -> dict[str, Any]:
    from duskmatch.evaluation import load_embeddings

    def side(which: str) -> Any:
        return load_embeddings(folder / f"{name}-{which}.safetensors")

    train, full = side("train"), 0
    sides = {"validation": ("validation-query", "validation-gallery"), "test": ("query", "gallery")}
    found: dict[str, Any] = {"train_people": len(set(train.pids.tolist())), "train_tracklets": len(train)}
    header = train.meta
    found |= {key: header[key] for key in ("checkpoint", "selection", "seed", "precision", "frames_per_clip")}
    axes = found_in(train)
    learned = {way: make(axes, WIDTHS[0]) for way, make in ways().items()}
    for split, names in sides.items():
        if not all((folder / f"{name}-{one}.safetensors").is_file() for one in names):
            continue
        query, gallery = map(side, names)
        full = query.vectors.shape[1]
        found[split] = {"people": len(set(query.pids.tolist())), "whole": scores(query, gallery)}
        for way, projection in learned.items():
            if split == "validation" or way == CHOSEN:
                by_width = {
                    str(width): scores(projection.narrowed(width)(query), projection.narrowed(width)(gallery))
                    for width in WIDTHS
                }
                found[split][way] = by_width
        print(name, split, flush=True)
    return {"width": full, **found}


def main(folder: str, names: list[str]) -> None:
    from duskmatch.evaluation import load_embeddings
    from duskmatch.machine import describe, versions

    meta = load_embeddings(Path(folder) / f"{names[0]}-train.safetensors").meta
    document = {
        "schema_version": 1,
        "synthetic": bool(meta.get("synthetic")),
        "data": meta["data"],
        "preset": meta["settings"]["preset"],
        "camera_rule": "same-pid-same-camera",
        "chosen": CHOSEN,
        "runs": {name: study(Path(folder), name) for name in names},
        "machine": describe(),
        "versions": versions(),
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def mean_of(one: dict[str, Any], figure: str) -> float:
    return float(np.mean([one[direction][figure] for direction in one]))


def tables(document: dict[str, Any]) -> dict[str, str]:
    """The blocks of docs/compact.md by their names."""
    runs = document["runs"]

    def cell(split: str, way: str, width: int) -> str:
        found = [one[split] for one in runs.values() if split in one]
        changes = {
            figure: 100
            * float(np.mean([mean_of(s[way][str(width)], figure) - mean_of(s["whole"], figure) for s in found]))
            for figure in ("mAP", "rank1")
        }
        return f"{changes['mAP']:+.2f} / {changes['rank1']:+.2f}"

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def what(split: str) -> str:
        found = {name: one for name, one in runs.items() if split in one}
        first = next(iter(found.values()))
        wholes = ", ".join(
            f"seed {one['seed']}: mAP {100 * mean_of(one[split]['whole'], 'mAP'):.2f}, "
            f"rank-1 {100 * mean_of(one[split]['whole'], 'rank1'):.2f}"
            for one in found.values()
        )
        word = "SYNTHETIC data" if document["synthetic"] else "Data"
        return (
            f"{word} ({document['data']['name']} {document['data']['version']}, `bench`), preset {document['preset']}, "
            f"{first['width']} numbers, {len(found)} RUN{'s' if len(found) > 1 else ''} ({wholes}; per cent, "
            f"both directions averaged); "
            f"{first[split]['people']} {split} people, camera rule {document['camera_rule']}, learned from "
            f"{first['train_tracklets']} tracklets of {first['train_people']} training people."
        )

    head = [line(["change of mAP / rank-1, points", *map(str, WIDTHS)]), line(["---"] * (1 + len(WIDTHS)))]
    blocks = {}
    every = list(ways())
    for split, names in (("validation", every), ("test", [CHOSEN])):
        if any(split in one for one in runs.values()):
            rows = [line([f"**{w}**" if w == CHOSEN else w, *(cell(split, w, k) for k in WIDTHS)]) for w in names]
            blocks[split] = "\n".join([what(split), "", *head, *rows]) + "\n"
    return blocks


def page(text: str) -> str:
    blocks = tables(json.loads(FILE.read_text(encoding="utf-8")))
    return BLOCK.sub(lambda found: found[1] + blocks.get(found[2], "") + found[3], text)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("python -m benchmarks.compaction FOLDER NAME... | page")
    if sys.argv[1:] == ["page"]:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        main(sys.argv[1], sys.argv[2:])
