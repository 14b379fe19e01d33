"""From an experiment's JSON: Markdown, CSV, and a page. All say synthetic where the data are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from duskmatch.evaluation.words import ARROWS, origin
from duskmatch.experiments.grids.charts import grid_charts, grid_svgs
from duskmatch.files import write_csv, write_json, write_text
from duskmatch.pictures.dots import save_dots
from duskmatch.pictures.headline import facts_list, notice
from duskmatch.pictures.html import Html, element, table
from duskmatch.pictures.report import page

Document = Mapping[str, Any]
SHOWN = ("rank1", "rank5", "rank10", "rank20", "mAP")
NAMES = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20", "mAP": "mAP"}
CSV_COLUMNS = (
    "name", "seed", "direction", "status", *SHOWN, "mINP", "rank1_low", "rank1_high", "mAP_low", "mAP_high", "chance",
    "n_queries", "n_gallery", "parameters", "parameters_at_test", "flops", "seconds", "synthetic", "split",
)  # fmt: skip
Cells = list[list[str]]


def write_experiment(folder: Path, name: str, document: Document, *, charts: Sequence[Html] = ()) -> dict[str, Path]:
    """NAME.json, .md, .csv, .html and, once a cell is done, .png in a folder; returns their paths."""
    paths = {kind: folder / f"{name}.{kind}" for kind in ("json", "md", "csv", "html")}
    write_json(paths["json"], document)
    write_text(paths["md"], markdown(document))
    write_csv(paths["csv"], csv_rows(document), CSV_COLUMNS)
    write_text(paths["html"], html_page(document, charts))
    drawn = grid_charts(document)
    if drawn:
        paths["png"] = folder / f"{name}.png"
        save_dots(drawn, paths["png"], columns=1)
    return paths


def csv_rows(document: Document) -> list[dict[str, Any]]:
    """One row for each line of the document."""
    rows = []
    for line in document["rows"]:
        row = {key: line.get(key) for key in CSV_COLUMNS if key in line}
        for figure in ("rank1", "mAP"):
            low, high = line[f"{figure}_interval"] or (None, None)
            row |= {f"{figure}_low": low, f"{figure}_high": high}
        rows.append({**row, "synthetic": document["synthetic"], "split": document["split"]})
    return rows


def markdown(document: Document) -> str:
    """Tables and what they depend on, as text."""
    parts = [f"**{origin(document)}.**", "", *(f"- {what}: {how}" for what, how in facts(document).items()), ""]
    for direction, arrow in ARROWS.items():
        head, rows = figures_table(document, direction)
        parts += [f"### {arrow}{_word(document)}", "", *_markdown_table(head, rows), ""]
    head, rows = differences_table(document)
    if rows:
        parts += [
            f"### Differences on the same people{_word(document)}",
            "",
            *_markdown_table(head, rows),
            "",
            HOW_TO_READ,
        ]
    return "\n".join(parts) + "\n"


TITLES = {"table1": "Table I", "table2": "Table II"}
HOW_TO_READ = (
    "Points, both directions averaged, mean over the seeds that both rows have; 95 % interval over people and seeds "
    "(over people alone where there is one seed). Detectable: the least true difference such a test finds four times "
    "in five. A difference below it gets no verdict."
)


def html_page(document: Document, charts: Sequence[Html] = ()) -> str:
    """The same as one self-contained page."""
    sections: dict[str, list[Html]] = {"Curves": list(charts)} if charts else {}
    tables = [element("div", *grid_svgs(document), class_="columns")]
    for direction, arrow in ARROWS.items():
        head, rows = figures_table(document, direction)
        tables.append(table(head, rows, caption=f"{arrow}, per cent{_word(document)}"))
    sections["Scores"] = tables
    head, rows = differences_table(document)
    if rows:
        sections["Differences"] = [
            element("p", HOW_TO_READ, class_="small soft"),
            *(table([*head[:3], *head[i : i + 4]], [[*r[:3], *r[i : i + 4]] for r in rows]) for i in (3, 7)),
        ]
    sections["What the figures depend on"] = [facts_list(facts(document))]
    data = " ".join(filter(None, (document["data"]["name"], document["data"]["version"])))
    title = f"{TITLES.get(document['experiment'], document['experiment'])}, {data}{_word(document)}"
    header = element("header", element("p", "duskmatch", class_="soft small"), element("h1", title), notice(document))
    return page(title, header, sections)


def facts(document: Document) -> dict[str, str]:
    """What all rows share."""
    budget = document["budget"]
    per_step = 2 * budget["pids_per_batch"] * budget["tracklets_per_pid"]
    iterations = (
        f"{budget['iterations']} iterations" if budget["iterations"] else "the data set's own number of iterations"
    )
    seeds = sorted({line["seed"] for line in document["rows"]})
    done = {(line["name"], line["seed"]) for line in document["rows"] if line["status"] == "done"}
    asked = {(line["name"], line["seed"]) for line in document["rows"]}
    reads = document["data"]["test_reads"]
    return {
        "split": document["split"],
        "budget of a cell": (
            f"{iterations} of {per_step} clips x {budget['training_frames']} frames at "
            f"{budget['size'][0]}x{budget['size'][1]}, preset {budget['preset']}, schedule {budget['schedule']}"
            + (f", {' '.join('--' + o for o in budget['overrides'])}" if budget["overrides"] else "")
        ),
        "seeds": ", ".join(map(str, seeds)),
        "cells done": f"{len(done)} of {len(asked)}",
        "selection": selection_in_words(document["selection"]),
        "camera rule": document["camera_rule"],
        "times these people were read": "not counted" if reads is None else str(reads),
        "machine": f"{document['machine']}, {document['threads']} thread(s) a cell",
        "torch": document["versions"]["torch"],
        "fingerprint": document["data"]["fingerprint"][:16],
    }


def selection_in_words(selection: str) -> str:
    if selection == "test_best_legacy":
        return "last; beside it, flagged, the best checkpoint on the test people for each figure (no honest score)"
    return {"last": "the last checkpoint", "validation": "best on validation people"}[selection]


def figures_table(document: Document, direction: str) -> tuple[list[str], Cells]:
    """A line for each row: means over seeds with their spread, and what it costs."""
    printed = any(line["printed"] for line in document["rows"])
    legacy = any(line["test_best_legacy"] for line in document["rows"])
    head = [
        "row",
        "seeds",
        *NAMES.values(),
        "rank-1 95 %",
        *(["paper rank-1, mAP", "ours less paper's"] if printed else []),
    ]
    head += ["rank-1, mAP picked on TEST"] if legacy else []
    head += ["M parameters (at test)", "GFLOP", "s"]
    rows = []
    for name in document["settings"]:
        own = [line for line in document["rows"] if line["name"] == name and line["direction"] == direction]
        rows.append(_figures_row(name, own, printed=printed, legacy=legacy))
    return head, rows


def _figures_row(name: str, own: Sequence[Mapping[str, Any]], *, printed: bool, legacy: bool) -> list[str]:
    done = [line for line in own if line["status"] == "done"]
    width = 3 + printed * 2 + legacy + len(SHOWN)
    if not done:
        why = "; ".join(dict.fromkeys(line["status"] for line in own))
        return [name, "0", why, *[""] * width]
    cells = [name, str(len(done)), *(_mean(done, figure) for figure in SHOWN), _interval(done)]
    if printed:
        beside = done[0]["printed"] or {}
        ours = {f: 100 * statistics.mean(line[f] for line in done) for f in ("rank1", "mAP")}
        known = all(f in beside for f in ours)
        cells.append(f"{beside['rank1']:.2f}, {beside['mAP']:.2f}" if known else "")
        cells.append(", ".join(f"{ours[f] - beside[f]:+.2f}" for f in ours) if known else "")
    if legacy:
        best = [line["test_best_legacy"] for line in done if line["test_best_legacy"]]
        means = [100 * statistics.mean(b[f] for b in best) for f in ("rank1", "mAP")] if best else []
        cells.append(", ".join(f"{mean:.1f}" for mean in means))
    some = done[0]
    cells.append(f"{some['parameters'] / 1e6:.2f} ({some['parameters_at_test'] / 1e6:.2f})")
    cells += [f"{some['flops'] / 1e9:.2f}", f"{statistics.mean(line['seconds'] for line in done):.0f}"]
    return cells


def differences_table(document: Document) -> tuple[list[str], Cells]:
    """Each row against the one it builds on, then against the first, both directions together."""
    head = ["row", "against", "seeds"]
    for figure in ("rank-1", "mAP"):
        head += [f"{figure} difference", "95 %", "detectable", "verdict"]
    pairs: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for seen in document["differences"]:
        if seen["direction"] == "both":
            pairs.setdefault((seen["row"], seen["against"]), {})[seen["figure"]] = seen
    rows = []
    for (row, against), seen in pairs.items():
        cells = [row, against, str(len(seen["rank1"]["seeds"]))]
        for figure in ("rank1", "mAP"):
            one = seen[figure]
            cells += [f"{100 * one['difference']:+.1f}", f"{100 * one['low']:+.1f} to {100 * one['high']:+.1f}"]
            cells += [f"{100 * one['detectable']:.1f}", one["verdict"]]
        rows.append(cells)
    return head, rows


def _mean(done: Sequence[Mapping[str, Any]], figure: str) -> str:
    values = [100 * line[figure] for line in done]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _interval(done: Sequence[Mapping[str, Any]]) -> str:
    """The mean interval over people of one seed's score."""
    low, high = (100 * statistics.mean(line["rank1_interval"][i] for line in done) for i in (0, 1))
    return f"{low:.1f} to {high:.1f}"


def _markdown_table(head: Sequence[str], rows: Cells) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def _word(document: Document) -> str:
    return " (SYNTHETIC data)" if document["synthetic"] else ""
