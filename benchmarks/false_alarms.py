"""Do promised false alarms and probabilities hold for people whom nothing was fitted to? A study on generated people.

python -m benchmarks.false_alarms measure DIR 71,72,73,74 75,76,77,78 79,80,81,82  # then fills the page
python -m benchmarks.false_alarms page  # fills the tables of docs/probabilities.md from the JSON

DIR holds run52-SEED-query.safetensors (infrared) and run52-SEED-gallery.safetensors (visible) of each seed, made by
`duskmatch embed`. Calibrated on the people of the first seeds, asked about those of each other group. Thresholds
come from the calibration alone; on held-out people every gallery that can be drawn is counted, and some are really
made and searched.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.errors import GalleryError
from duskmatch.evaluation import load_embeddings
from duskmatch.evaluation.calibration import pair_of, probability, reliability
from duskmatch.evaluation.intervals import bootstrap_interval
from duskmatch.gallery import Gallery
from duskmatch.gallery.calibrated import Calibrated
from duskmatch.gallery.fitting import MODALITY_PAIRS, Judged, goodness, pairs_of, put_together
from duskmatch.gallery.model import fingerprint
from duskmatch.gallery.strangers import Strangers, _blocks, _side, _turns, none_drawn
from duskmatch.machine import describe, versions
from duskmatch.records import MODALITIES, Embeddings, Modality

HERE = Path(__file__).parent
RESULT = HERE / "results" / "false_alarms.json"
PAGE = HERE.parent / "docs" / "probabilities.md"
PICTURE = HERE.parent / "docs" / "pictures" / "probabilities_reliability.png"
SIZES, RATES = (50, 150, 300), (0.1, 0.01)
RULE = "same-pid-same-camera"
REAL_DRAWS = 4  # galleries that are really made, for each size
MOST_ASKED = 100  # strangers asked about in each of them, or fewer
NORMAL = 1.96  # standard errors to each side
CURVE_BINS = 40
CURVE_PEOPLE = 150  # of the galleries whose reliability is drawn
Document = dict[str, Any]


def people_of(folder: Path, seeds: Sequence[str]) -> list[Embeddings]:
    """The people of each seed, by night and by day."""
    found = []
    for seed in seeds:
        sides = [load_embeddings(folder / f"run52-{seed}-{side}.safetensors") for side in ("query", "gallery")]
        found.append(
            Embeddings(
                np.concatenate([side.vectors for side in sides]),
                np.concatenate([side.pids for side in sides]),
                np.concatenate([side.camids for side in sides]),
                [word for side in sides for word in side.modalities],
                meta={**sides[0].meta, "synthetic": True},
            )
        )
    return found


def sizes_of(people: Embeddings) -> list[int]:
    """The sizes of galleries that leave somebody out, to be asked about."""
    return [n for n in SIZES if n < len(np.unique(people.pids))]


def borne(strangers: Strangers, n: int, each: int) -> list[float]:
    """The rates that the labelled people bear in galleries of n people."""
    return [rate for rate in RATES if rate >= strangers.least_rate(np.full(n, each))]


class Galleries:
    """All galleries of some held-out people: what each query of a stranger finds at a threshold."""

    def __init__(self, people: Embeddings, query: Modality, entries: Modality) -> None:
        queries, side = _side(people, query), _side(people, entries)
        n_each = np.diff([*side.starts, len(side.whose)])
        sims = np.concatenate([block for _, block in _blocks(queries, side, 512)])
        self.whose, self.n_queries = queries.whose, len(queries.pids)
        self.own = np.searchsorted(side.pids, queries.pids[queries.whose])
        self.sims_several = [np.maximum.reduceat(sims, side.starts, axis=1)]  # (q people)
        self.sims_one = [sims[:, turn] for turn in _turns(side, n_each)]

    def at(self, threshold: float) -> Galleries:
        """Counts what is at or above the threshold."""
        self.several, self.one = ([sims >= threshold for sims in kind] for kind in (self.sims_several, self.sims_one))
        return self

    def interval(self, n: int, *, several: bool) -> list[float]:
        """The rate's 95 % interval over people, who are queries and entries alike: normal, by the jackknife.

        If there was no false alarm at all, up to 3 / people (the rule of three). A bootstrap would hold people twice,
        who look like one, and so find too few false alarms.
        """
        p = self.n_queries
        without_one = self.rate(n, several=several, draws=1 - np.eye(p, dtype=np.int64))
        half = NORMAL * float(np.sqrt((p - 1) / p * ((without_one - without_one.mean()) ** 2).sum()))
        (rate,) = self.rate(n, several=several)
        return [max(0.0, float(rate) - half), max(float(rate) + half, 0.0 if rate > 0 else 3 / p)]

    def rate(self, n: int, *, several: bool, draws: np.ndarray | None = None) -> np.ndarray:
        """The false-alarm rate of everybody, or in each draw of people as queries and entries (draws: r people)."""
        draws = np.ones((1, self.n_queries), np.int64) if draws is None else draws
        asked = draws[:, self.own].T  # (q r): how often each query's person was drawn
        weight = asked / np.bincount(self.whose)[self.whose][:, None] / draws.sum(axis=1)
        of_kind = self.several if several else self.one
        total = np.zeros(len(draws))
        for found in of_kind:
            n_found = np.rint(found.astype(np.float32) @ draws.T.astype(np.float32)).astype(np.int64)  # (q r)
            total += (weight * (1 - none_drawn(n_found, draws.sum(axis=1) - asked, n))).sum(axis=0)
        return np.asarray(total / len(of_kind))


def drawn_rates(calibrated: Calibrated, people: Embeddings, group: str) -> Iterator[Document]:
    """Promised against measured, every gallery counted: one entry of each person, and all of them."""
    for strangers in calibrated.strangers:
        everyone = Galleries(people, strangers.query, strangers.entries)
        for several in (False, True):
            for n in sizes_of(people):
                each = strangers.several.n_entries if several else 1
                for rate in borne(strangers, n, each):
                    limit = strangers.limit(np.full(n, each), rate)
                    galleries = everyone.at(limit.similarity)
                    yield {
                        "held_out": group,
                        "query": strangers.query,
                        "entries": strangers.entries,
                        "entries_of_each": each,
                        "people": n,
                        "promised": rate,
                        "threshold": limit.similarity,
                        "extrapolated": limit.extrapolated,
                        "measured": float(galleries.rate(n, several=several)[0]),
                        "interval": galleries.interval(n, several=several),
                    }


def ways_to_count(calibrated: Calibrated, people: Embeddings, group: str) -> Iterator[Document]:
    """What comes of counting the entries of galleries with all entries of each person in another way."""
    for strangers in [calibrated.among("infrared", "visible")]:
        everyone = Galleries(people, strangers.query, strangers.entries)
        each = strangers.several.n_entries
        for n in sizes_of(people):
            for rate in borne(strangers, n, each):
                for way, sizes in (
                    ("entries as people", np.full(n * each, 1)),
                    ("people, as if one entry each", np.full(n, 1)),
                    ("people with their entries", np.full(n, each)),
                ):
                    limit = only(strangers, way).limit(sizes, rate)
                    galleries = everyone.at(limit.similarity)
                    yield {
                        "held_out": group,
                        "query": strangers.query,
                        "entries": strangers.entries,
                        "people": n,
                        "promised": rate,
                        "way": way,
                        "extrapolated": limit.extrapolated,
                        "measured": float(galleries.rate(n, several=True)[0]),
                    }


def only(strangers: Strangers, way: str) -> Strangers:
    """With the counts of one entry of each person alone, where a way of counting knows no others."""
    from dataclasses import replace

    return replace(strangers, several=strangers.one) if way != "people with their entries" else strangers


def real_searches(calibrated: Calibrated, people: Embeddings, group: str, model: str) -> Iterator[Document]:
    """Galleries that are made and searched: of visible entries, and of both modalities, asked about everybody else."""
    pids = np.unique(people.pids)
    for entries in (("visible",), MODALITIES):
        for n in sizes_of(people):
            alarms: dict[tuple[float, str], list[np.ndarray]] = {}
            for draw in range(REAL_DRAWS):
                inside = np.random.default_rng(draw).choice(pids, n, replace=False)
                known = np.isin(people.pids, inside)
                side = people.take(known & np.isin(people.modalities, entries))
                strangers = _asked(people.take(~known), draw)
                for rate, found in _found(calibrated, side, strangers, model):
                    for word in MODALITIES:
                        these = np.array(strangers.modalities) == word
                        whose = strangers.pids[these].astype(float)
                        alarms.setdefault((rate, word), []).append(np.stack([found[these], whose]))
            for (rate, word), parts in alarms.items():
                found, whose = np.concatenate(parts, axis=1)
                low, high = bootstrap_interval(found, whose.astype(np.int64))
                if not found.any():
                    high = 3 / len(np.unique(whose))  # the rule of three
                yield {
                    "held_out": group,
                    "query": word,
                    "entries": " and ".join(entries),
                    "people": n,
                    "promised": rate,
                    "galleries": REAL_DRAWS,
                    "measured": float(found.mean()),
                    "interval": [low, high],
                }


def _asked(people: Embeddings, draw: int) -> Embeddings:
    """One tracklet in each modality of every person, or of every second, third, ... if they are many."""
    some = people.take(np.random.default_rng(draw).permutation(len(people)))
    step = 1 + len(some) // 6 // MOST_ASKED
    chosen = []
    for word in MODALITIES:
        rows = np.flatnonzero(np.array(some.modalities) == word)
        _, first = np.unique(some.pids[rows], return_index=True)
        chosen.append(rows[first[::step]])
    return some.take(np.sort(np.concatenate(chosen)))


def _found(
    calibrated: Calibrated, side: Embeddings, strangers: Embeddings, model: str
) -> Iterator[tuple[float, np.ndarray]]:
    """For each rate, 1 for the strangers' queries that a gallery of `side` has a hit for."""
    with (
        tempfile.TemporaryDirectory() as place,
        Gallery.create(Path(place) / "g", width=side.vectors.shape[1], model=model) as gallery,
    ):
        gallery.add(_named(side))
        gallery._store.write(lambda db: _keep(db, calibrated))
        for rate in RATES:
            try:
                hits = gallery.search(strangers, top=1, false_alarms=rate)
            except GalleryError:  # too few labelled people for this rate
                continue
            yield rate, np.array([bool(line[0]) for line in hits.ids], float)


def _keep(db: Any, calibrated: Calibrated) -> None:
    from duskmatch.gallery.calibrated import replace

    replace(db, calibrated)


def _named(side: Embeddings) -> Embeddings:
    from dataclasses import replace

    return replace(side, sources=[f"{i:05}" for i in range(len(side))])


def qualities(calibrated: Calibrated, people: Embeddings, group: str) -> Iterator[Document]:
    """ECE, Brier score and log loss before and after, and the curve, of pairs of held-out people."""
    for a, b in MODALITY_PAIRS:
        pair = pair_of(a, b)
        pairs, ratio = pairs_of(people, a, b, RULE), calibrated.calibration.ratios[pair]
        assert pairs is not None
        judged = Judged(*pairs, ratio(pairs.same), ratio(pairs.others))
        for n in sizes_of(people):
            first = first_hits(calibrated, people, a, b, n)
            yield {
                "held_out": group,
                "pair": pair,
                "people": n,
                **judged.quality(pair, n).model_dump(include={"before", "after"}),
                "curve": curve(judged, n),
                "first_hits": first,
            }


def curve(judged: Judged, n: int) -> Document:
    """Promised and true probability of the entries among the first ten, in bins; before and after."""
    p = judged.shown(n)
    found = {}
    for name, values in (("before", p.before), ("after", p.after)):
        bins = reliability(values, p.truth, p.weight, bins=CURVE_BINS)
        found[name] = {"promised": bins.promised.tolist(), "true": bins.true.tolist(), "weight": bins.weight.tolist()}
    return found


def first_hits(calibrated: Calibrated, people: Embeddings, a: Modality, b: Modality, n: int) -> Document:
    """The same figures of the first hit alone: galleries of `n` people with one entry each, asked about those people.

    A query is of one of the n people, or, with chance 1 / (n + 1), of somebody else.
    """
    rng = np.random.default_rng(0)
    ratio = calibrated.calibration.ratios[pair_of(a, b)]
    words, pids = np.array(people.modalities), np.unique(people.pids)
    queries, side = people.take(words == a), people.take(words == b)
    sims = queries.vectors.astype(np.float64) @ side.vectors.T.astype(np.float64)
    same_camera = (queries.pids[:, None] == side.pids) & (queries.camids[:, None] == side.camids)
    if a == b:
        np.fill_diagonal(same_camera, True)
    sims[same_camera] = -np.inf
    tops, truths, weights = [], [], []
    for _ in range(40):
        inside = rng.choice(pids, n, replace=False)
        order = rng.permutation(len(side))
        _, first = np.unique(side.pids[order], return_index=True)
        chosen = order[first][np.isin(side.pids[order[first]], inside)]
        some = sims[:, chosen]
        known = np.isin(queries.pids, inside)
        best = some.argmax(axis=1)
        tops.append(some[np.arange(len(some)), best])
        truths.append(side.pids[chosen][best] == queries.pids)
        weights.append(np.where(known, n / (n + 1) / known.sum(), 1 / (n + 1) / max(1, (~known).sum())))
    sim, truth, weight = (np.concatenate(part) for part in (tops, truths, weights))
    there = np.isfinite(sim)
    found = goodness(probability(ratio(sim[there]), 1 / (n + 1)), truth[there], weight[there])
    return found.model_dump()


def measure(folder: Path, calibrated_on: Sequence[str], held_out: Sequence[Sequence[str]]) -> Document:
    """The whole study as a JSON document."""
    began = time.time()
    labelled = people_of(folder, calibrated_on)
    model = fingerprint(labelled[0].meta)
    with (
        tempfile.TemporaryDirectory() as place,
        Gallery.create(Path(place) / "g", width=labelled[0].vectors.shape[1], model=model) as gallery,
    ):
        names = [f"demo, seed {seed}" for seed in calibrated_on]
        calibrated = gallery.calibrate(*labelled, names=names, camera_rule=RULE)
    document: Document = {
        "schema_version": 1,
        "synthetic": True,
        "run": {"preset": "small", "seed": 52, "trained_on": "Duskwalk demo, seed 52"},
        "calibrated_on": list(calibrated_on),
        "held_out": ["+".join(seeds) for seeds in held_out],
        "n_people": calibrated.facts["n_people"],
        "ratios": {
            pair: {"kind": r.kind, "n_same": r.n_same, "n_others": r.n_others}
            for pair, r in calibrated.calibration.ratios.items()
        },
        "machine": describe(),
        "versions": versions(),
    }
    kinds: dict[str, list[Document]] = {"drawn": [], "ways": [], "real": [], "quality": []}
    n_held_out = []
    for seeds, group in zip(held_out, document["held_out"], strict=True):
        people = put_together(people_of(folder, seeds))
        people = Embeddings(people.vectors, people.pids, people.camids, people.modalities, meta=labelled[0].meta)
        n_held_out.append(len(np.unique(people.pids)))
        kinds["quality"] += list(qualities(calibrated, people, group))
        kinds["drawn"] += list(drawn_rates(calibrated, people, group))
        kinds["ways"] += list(ways_to_count(calibrated, people, group))
        kinds["real"] += list(real_searches(calibrated, people, group, model))
    return {**document, "n_held_out": n_held_out, **kinds, "seconds": round(time.time() - began, 1)}


BLOCK = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def filled(text: str, document: Document) -> str:
    """The page with every table made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]](document)}{found[3]}", text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _measured(one: Document) -> str:
    low, high = one["interval"]
    inside = "" if low <= one["promised"] <= high else " **<**" if high < one["promised"] else " **>**"
    mark = " *" if one.get("extrapolated") else ""
    return f"{one['measured']:.3f} ({low:.3f} to {high:.3f}){inside}{mark}".replace(
        " to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"
    )


def _by_rate(
    rows: Sequence[Document], keys: Sequence[str], document: Document, cell: Callable[[Document], str]
) -> list[list[str]]:
    """A line for each value of the keys, a cell for each rate and group of held-out people."""
    lines: dict[tuple[str, ...], dict[tuple[float, str], str]] = {}
    for one in rows:
        lines.setdefault(tuple(str(one[key]) for key in keys), {})[one["promised"], one["held_out"]] = cell(one)
    columns = [(rate, group) for rate in RATES for group in document["held_out"]]
    return [[*line, *(cells.get(column, "") for column in columns)] for line, cells in lines.items()]


def _rates_head(document: Document) -> list[str]:
    return [f"promised {rate:g}, seeds {group}" for rate in RATES for group in document["held_out"]]


def _inside(rows: Sequence[Document]) -> str:
    """For each rate, how many promises lie in their interval, below and above it."""
    words = []
    for rate in RATES:
        these = [one for one in rows if one["promised"] == rate]
        below = sum(one["interval"][1] < rate for one in these)
        above = sum(one["interval"][0] > rate for one in these)
        words.append(
            f"Of {len(these)} promises of {rate:g}, {len(these) - below - above} lie in the measured interval, {below} "
            f"were kept with room (**<**), {above} were broken (**>**)."
        )
    return f"SYNTHETIC people. {' '.join(words)}\n\n"


def drawn_table(document: Document) -> str:
    rows = document["drawn"]
    keys = ("query", "entries", "entries_of_each", "people")
    head = ["queries (SYNTHETIC)", "entries", "entries of each person", "people", *_rates_head(document)]
    return _inside(rows) + table(head, _by_rate(rows, keys, document, _measured))


def real_table(document: Document) -> str:
    rows = document["real"]
    head = ["queries (SYNTHETIC)", "entries", "people", *_rates_head(document)]
    return _inside(rows) + table(head, _by_rate(rows, ("query", "entries", "people"), document, _measured))


def ways_table(document: Document) -> str:
    rows = document["ways"]

    def cell(one: Document) -> str:
        return f"{one['measured']:.3f}{' *' if one['extrapolated'] else ''}"

    head = ["what is counted (SYNTHETIC)", "people", *_rates_head(document)]
    return table(head, _by_rate(rows, ("way", "people"), document, cell))


def quality_table(document: Document) -> str:
    groups: dict[tuple[str, int], list[Document]] = {}
    for one in document["quality"]:
        groups.setdefault((one["pair"], one["people"]), []).append(one)

    def change(both: Sequence[Document], key: str) -> str:
        before, after = (", ".join(f"{one[time][key]:.3f}" for one in both) for time in ("before", "after"))
        return f"{before} → {after}"

    rows = [
        [pair, str(n), *(change(both, key) for key in ("ece", "brier", "log_loss")),
         ", ".join(f"{one['first_hits']['ece']:.3f}" for one in both)]
        for (pair, n), both in groups.items()
    ]  # fmt: skip
    seeds = " and ".join(document["held_out"])
    head = [
        "modalities (SYNTHETIC)",
        "people",
        f"ECE, seeds {seeds}",
        "Brier",
        "log loss",
        "ECE of the first hit alone",
    ]
    largest = max(one["after"]["ece"] for one in document["quality"])
    return f"SYNTHETIC people. The largest calibration error (ECE) after calibration is {largest:.3f}.\n\n" + table(
        head, rows
    )


def people_words(document: Document) -> str:
    """Who was calibrated on, and who was held out."""
    asked = " and ".join(
        f"{n} others (seeds {group})" for n, group in zip(document["n_held_out"], document["held_out"], strict=True)
    )
    seeds = "+".join(document["calibrated_on"])
    return (
        f"SYNTHETIC: {document['n_people']} generated people (Duskwalk `demo`, seeds {seeds}) calibrate, "
        f"{asked} are asked about. The model was trained on another seed ({document['run']['seed']}).\n"
    )


TABLES: dict[str, Callable[[Document], str]] = {
    "people": people_words,
    "drawn": drawn_table,
    "real": real_table,
    "ways": ways_table,
    "quality": quality_table,
}


def draw(document: Document) -> None:
    """The reliability curves of each pair of modalities, before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    pairs = [pair_of(a, b) for a, b in MODALITY_PAIRS]
    n = max(q["people"] for q in document["quality"] if q["people"] <= CURVE_PEOPLE)
    for axes, pair in zip(figure.subplots(1, len(pairs)), pairs, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="what is promised comes true")
        for group, style in zip(document["held_out"], ("-", "--"), strict=True):
            (one,) = [q for q in document["quality"] if (q["pair"], q["people"], q["held_out"]) == (pair, n, group)]
            for name, colour, words in (
                ("before", "#c0504d", "similarity taken for a probability"), ("after", "#1f5fa8", "calibrated"),
            ):  # fmt: skip
                found = one["curve"][name]
                label = f"{words}, seeds {group}"
                axes.plot(
                    found["promised"], found["true"], style, color=colour, marker="o", markersize=3.5, label=label
                )
        axes.set(title=pair, xlabel="probability that was said", ylabel="share that was the person", xlim=(-0.02, 1.02))
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(f"SYNTHETIC people, held out: entries among the first ten, galleries of {n} people", fontsize=11)
    figure.savefig(PICTURE, dpi=110)


def main(words: list[str]) -> None:
    if words[:1] == ["measure"] and len(words) > 3:
        seeds, *held_out = [word.split(",") for word in words[2:]]
        text = json.dumps(measure(Path(words[1]), seeds, held_out), indent=1)
        RESULT.write_text(re.sub(r"\[\s+(-?\d[^\[\]{}\"]*?)\s+\]", _on_one_line, text) + "\n", encoding="utf-8")
    elif words != ["page"]:
        raise SystemExit("say `measure DIR SEEDS SEEDS ...`, the first to calibrate on, or `page`")
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    draw(document)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", found[1]) + "]"


if __name__ == "__main__":
    main(sys.argv[1:])
