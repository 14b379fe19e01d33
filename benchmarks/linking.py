"""Linking on people that nothing was chosen on, beside single and plain average linkage; the tables of docs/linking.md.

python -m benchmarks.linking measure CALIBRATE... -- DEMO HELD_OUT...   # writes results/linking.json
python -m benchmarks.linking draw CALIBRATE... -- DEMO DATASET          # draws the demo's worst merges and splits
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
from duskmatch.gallery.linking.linkage import MARGIN, accepted, link, merges, people_of, rounded
from duskmatch.gallery.linking.seen import Seen, log_ratios, simultaneous, take, totals
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
    each = [people_of_seed(folder) for folder in (demo, *held_out)]
    sets = {f"seed {folder.name}": [given] for folder, given in zip((demo, *held_out), each, strict=True)}
    if held_out:
        sets["all of these together"] = [joined(each, [0] * len(each))]
    results = {
        words: {name: scores_of(method(given)(chosen[name]), given) for name, method in methods.items()}
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


def draw(to_calibrate: Sequence[Path], demo: Path, dataset: Path) -> list[str]:
    """Writes the picture of the worst merges and splits as a JPEG; a line about each."""
    import cv2

    from duskmatch.data import open_dataset
    from duskmatch.embedding.embedder import source_of
    from duskmatch.pictures.sheets import write_sheet

    given = people_of_seed(demo)
    calibration = fit_calibration(*map(people_of_seed, to_calibrate), camera_rule=CAMERA_RULE)
    groups, entries = ours(given, calibration)(MARGIN), as_seen(given)
    tracklets = {source_of(tracklet): tracklet for tracklet in open_dataset(dataset).test}
    rows = [*_worst(groups, given.pids, "merged")[:N_DRAWN], *_worst(given.pids, groups, "split")[:N_DRAWN]]
    lines = [_about(kind, members, groups, entries, given, calibration) for kind, members in rows]

    def page(axes: Any) -> None:
        for place, ((kind, members), line) in enumerate(zip(rows, lines, strict=True)):
            _strip(axes, 20 + place * ROW_PX, kind, members, line, groups, given, tracklets)

    width = 18 + max(len(members) for _, members in rows) * 98 + 18
    path = write_sheet(HERE / "linking.png", max(width, 760), 20 + len(rows) * ROW_PX, page, NOTE)
    cv2.imwrite(str(PICTURE), cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 68])
    path.unlink()
    return lines


N_DRAWN, ROW_PX = 3, 262
PICTURE = HERE.parent / "docs" / "pictures" / "linking_worst.jpg"
NOTE = (
    "SYNTHETIC people. Merged: the entries of one linked person; solid green frames are the person with most of them, "
    "dashed red ones somebody else. Split: all entries of one person; solid green frames are linked to the person with "
    "most of them, dashed red ones elsewhere, under the number in the last line."
)


def _worst(groups: Groups, others: Groups, kind: str) -> list[tuple[str, Groups]]:
    """Groups with most pairs whose `others` differ, the worst first."""

    def wrong(members: Groups) -> int:
        _, counts = np.unique(others[members], return_counts=True)
        return int(len(members) ** 2 - (counts**2).sum()) // 2

    found = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    return [(kind, members) for members in sorted(found, key=lambda members: (-wrong(members), members[0]))]


def _about(
    kind: str, members: Groups, groups: Groups, entries: Seen, given: Embeddings, calibration: Calibration
) -> str:
    """What the pairs that went wrong look like: their mean log ratio, and that of the right ones."""
    of = given.pids[members] if kind == "merged" else groups[members]
    some = take(entries, members)
    ratios = log_ratios(some, some, calibration)
    first, second = np.triu_indices(len(members), 1)
    alike = of[first] == of[second]
    right, wrong = (ratios[first[which], second[which]] for which in (alike, ~alike))
    words = "people" if kind == "merged" else "linked people"
    inside = f", {right.mean():.1f} within them" if len(right) else ""
    what = f"{kind}: {len(members)} entries, {len(np.unique(of))} {words}"
    return f"{what}; mean log ratio {wrong.mean():.1f} between them{inside}"


def _strip(
    axes: Any, top: int, kind: str, members: Groups, line: str, groups: Groups, given: Embeddings, tracklets: Any
) -> None:
    from duskmatch.pictures.charts import INK
    from duskmatch.pictures.sheets import RIGHT, WRONG, framed
    from duskmatch.pictures.thumbnails import middle_frame, thumbnail

    of = given.pids if kind == "merged" else groups
    values, counts = np.unique(of[members], return_counts=True)
    most = values[counts.argmax()]
    axes.text(18, top, line, size=9, weight="bold", color=INK, va="center")
    for place, i in enumerate(sorted(members.tolist(), key=lambda i: (of[i] != most, of[i], i))):
        left, colour = 18 + place * 98, RIGHT if of[i] == most else WRONG
        picture = thumbnail(middle_frame(tracklets[given.sources[i]]))
        framed(axes, picture, (left, top + 18, 80, 160), colour)
        words = (
            f"person {given.pids[i] % 1000}\n{given.modalities[i]}\ncamera {given.camids[i]}\nlinked: {groups[i] + 1}"
        )
        axes.text(left + 40, top + 186, words, ha="center", va="top", size=7.5, color=colour)


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
    elif words[0] == "draw":
        middle = words.index("--")
        print("\n".join(draw([Path(word) for word in words[1:middle]], *map(Path, words[middle + 1 :]))))
    elif words[0] == "speed":
        write("linking_speed", speed())
    else:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
