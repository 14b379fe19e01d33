"""Linking on people that nothing was chosen on, beside single and plain average linkage; the tables of docs/linking.md.

python -m benchmarks.linking measure CALIBRATE... -- DEMO HELD_OUT...   # writes results/linking.json
python -m benchmarks.linking speed                                     # writes results/linking_speed.json
python -m benchmarks.linking page                                      # fills the tables of docs/linking.md

Each is a folder with query.safetensors and gallery.safetensors, which `duskmatch embed RUN DATASET:query` and :gallery
have written, of the test people of one Duskwalk seed; it is called after the seed. DEMO is of the RUN's own seed.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.evaluation import load_embeddings
from duskmatch.evaluation.calibration import Calibration, fit_calibration
from duskmatch.evaluation.grouping import GroupingScores, score_grouping
from duskmatch.gallery.linking import MARGIN, accepted, link, merges, people_of, rounded
from duskmatch.gallery.seen import Seen, simultaneous, totals
from duskmatch.records import MODALITIES, Embeddings

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "linking.md"
CAMERA_RULE = "same-pid-same-camera"
MARGINS = np.round(np.arange(-3, 6.01, 0.25), 2)
COSINES = np.round(np.arange(0.0, 0.9951, 0.005), 3)
BETA = 0.5  # of F: precision weighs twice, as a wrong link hurts more than a missing one
Groups = npt.NDArray[np.int64]
Cut = Callable[[float], Groups]
Document = dict[str, Any]


def people_of_seed(folder: Path) -> Embeddings:
    """Both sides of a set as one; pids are moved so that seeds do not share them."""
    parts = [load_embeddings(folder / f"{name}.safetensors") for name in ("query", "gallery")]
    return joined(parts, [1000 * int(folder.name)] * len(parts))


def joined(parts: Sequence[Embeddings], offsets: Sequence[int]) -> Embeddings:
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.pids + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.camids for part in parts]),
        [word for part in parts for word in part.modalities],
        [name for part in parts for name in part.sources],
    )


def as_seen(given: Embeddings) -> Seen:
    """Embeddings as linking takes them; Duskwalk's tracklets have no times."""
    n, unknown = len(given), np.full(len(given), np.nan)
    modality = np.array([MODALITIES.index(word) for word in given.modalities], np.int8)
    return Seen(np.arange(1, n + 1), given.vectors, modality, given.camids, unknown, unknown, np.zeros(n, np.int64))


def ours(given: Embeddings, calibration: Calibration) -> Cut:
    """People by margin."""
    entries = as_seen(given)
    n = len(entries)
    total = totals(entries, np.arange(n), n, calibration, simultaneous(entries))
    found = [*merges(total, np.ones(n, np.int64), float(MARGINS[0]))]
    ratios = [merge.log_ratio for merge in found]
    return lambda margin: people_of(n, found[: accepted(ratios, n, margin, None)])


def plain_average(given: Embeddings) -> Cut:
    """People by the least mean cosine."""
    n = len(given)
    found = [*merges(cosines(given), np.ones(n, np.int64), float(COSINES[0]))]
    return lambda least: people_of(n, [merge for merge in found if merge.log_ratio >= least])


def single(given: Embeddings) -> Cut:
    """People by the least cosine of any pair."""
    from scipy.sparse.csgraph import connected_components

    near = cosines(given)
    return lambda least: connected_components(near >= least, directed=False)[1].astype(np.int64)


def cosines(given: Embeddings) -> npt.NDArray[np.float64]:
    vectors = given.vectors.astype(np.float64)
    return rounded(vectors @ vectors.T)


def f_beta(scores: GroupingScores) -> float:
    precision, recall = (0.0 if math.isnan(x) else x for x in (scores.precision, scores.recall))
    below = BETA**2 * precision + recall
    return (1 + BETA**2) * precision * recall / below if below else 0.0


def best(cuts: Sequence[Cut], sets: Sequence[Embeddings], values: npt.NDArray[np.float64]) -> tuple[float, list[float]]:
    """The value with the highest mean F over the sets, the lowest of equal ones; the mean F of each."""
    means = [
        float(np.mean([f_beta(score_grouping(cut(v), given.pids)) for cut, given in zip(cuts, sets, strict=True)]))
        for v in values.tolist()
    ]
    return float(values[int(np.argmax(means))]), means


def measure(to_calibrate: Sequence[Path], demo: Path, held_out: Sequence[Path]) -> Document:
    calibrating = [people_of_seed(folder) for folder in to_calibrate]
    calibration = fit_calibration(*calibrating, camera_rule=CAMERA_RULE)
    methods: dict[str, Callable[[Embeddings], Cut]] = {
        "ours": lambda given: ours(given, calibration),
        "plain average": plain_average,
        "single": single,
    }
    chosen, curves = {}, {}
    for name, method in methods.items():
        values = MARGINS if name == "ours" else COSINES
        chosen[name], curves[name] = best([method(given) for given in calibrating], calibrating, values)
    used = {**chosen, "ours": MARGIN}
    each = [people_of_seed(folder) for folder in (demo, *held_out)]
    sets = {f"seed {folder.name}": [given] for folder, given in zip((demo, *held_out), each, strict=True)}
    if held_out:
        sets["all of these together"] = [joined(each, [0] * len(each))]
    results = {
        words: {name: scores_of(method(given)(used[name]), given) for name, method in methods.items()}
        for words, (given,) in sets.items()
    }
    return {
        "synthetic": True,
        "calibration_seeds": [int(folder.name) for folder in to_calibrate],
        "ratios": {
            pair: {
                "kind": r.kind,
                "n_people": r.n_people,
                "n_same": r.n_same,
                "least": float(r.log_ratio[0]),
                "most": float(r.log_ratio[-1]),
            }
            for pair, r in calibration.ratios.items()
        },
        "beta": BETA,
        "margin": MARGIN,
        "best_on_calibration_people": chosen,
        "f_on_calibration_people": {"margins": MARGINS.tolist(), "f": curves["ours"]},
        "results": results,
    }


def scores_of(groups: Groups, given: Embeddings) -> Document:
    return asdict(score_grouping(groups, given.pids))


def speed(n: int = 10_000, per_person: int = 6, width: int = 512) -> Document:
    """Seconds and memory of one full run on invented vectors."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n // per_person + 1, width))
    vectors = centres[np.arange(n) // per_person] + 0.8 * rng.normal(size=(n, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    given = Embeddings(vectors, np.arange(n) // per_person, np.arange(n) % 6, [MODALITIES[i % 2] for i in range(n)])
    knots = np.array([-0.2, 0.0, 0.2, 0.6])
    from duskmatch.evaluation.calibration import LikelihoodRatio

    ratio = LikelihoodRatio("isotonic", knots, np.array([-9.0, -4.0, 2.0, 9.0]), 5000, 10**6, 400)
    calibration = Calibration(dict.fromkeys(("visible-visible", "infrared-infrared", "visible-infrared"), ratio))
    entries = as_seen(given)
    before, begin = _peak_bytes(), time.perf_counter()
    total = totals(entries, np.arange(n), n, calibration, simultaneous(entries))
    middle = time.perf_counter()
    grouping = link(total, np.ones(n, np.int64))
    end = time.perf_counter()
    return {
        "n_entries": n,
        "width": width,
        "n_people": n // per_person + 1,
        "found": grouping.n_people,
        "compare_s": middle - begin,
        "link_s": end - middle,
        "bytes": _peak_bytes() - before,
    }


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


HEAD = {
    "precision": "pairs: precision",
    "recall": "recall",
    "f1": "F1",
    "ari": "ARI",
    "bcubed_f1": "B-cubed F1",
    "idf1": "IDF1",
    "over_merged": "over-merged",
    "split": "split",
}
NAMES = {"ours": "duskmatch", "plain average": "plain average linkage", "single": "single linkage"}


def table(document: Document) -> str:
    """Markdown of every set and method."""
    lines = ["SYNTHETIC people (Duskwalk), in percent.", ""]
    lines += [
        "| people | linked by | people found | " + " | ".join(HEAD.values()) + " |",
        "|" + "---|" * (3 + len(HEAD)),
    ]
    for words, methods in document["results"].items():
        for name, scores in methods.items():
            cells = [_cell(scores, figure) for figure in HEAD]
            counts = f"{scores['n_groups']} for {scores['n_people']}"
            lines.append("| " + " | ".join([words, NAMES[name], counts, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(scores: Document, figure: str) -> str:
    return "–" if math.isnan(scores[figure]) else f"{100 * scores[figure]:.1f}"


def speed_words(document: Document) -> str:
    seconds, gib = document["compare_s"] + document["link_s"], document["bytes"] / 2**30
    return (
        f"{document['n_entries']:,} entries of {document['width']} numbers take {seconds:.0f} s "
        f"({document['compare_s']:.0f} s to compare, {document['link_s']:.0f} s to link) and {gib:.1f} GiB on one "
        "core.\n"
    )


def filled(page: str) -> str:
    """The page with its blocks made anew."""
    for name, make in (("linking", table), ("linking_speed", speed_words)):
        document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        begin, end = f"<!-- begin: {name} -->\n", "<!-- end -->\n"
        head, _, rest = page.partition(begin)
        page = head + begin + make(document) + end + rest.partition(end)[2]
    return page


def write(name: str, document: Document) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main(words: Sequence[str]) -> None:
    if words[0] == "measure":
        middle = words.index("--")
        demo, *held_out = map(Path, words[middle + 1 :])
        write("linking", measure([Path(word) for word in words[1:middle]], demo, held_out))
    elif words[0] == "speed":
        write("linking_speed", speed())
    else:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
