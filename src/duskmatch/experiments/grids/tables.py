"""From an experiment's JSON: Markdown, CSV, and a page. All say synthetic where the data are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from duskmatch.evaluation.words import ARROWS, origin
from duskmatch.experiments import words
from duskmatch.experiments.grids.charts import grid_charts, grid_svgs
from duskmatch.experiments.grids.facts import facts, settings_table
from duskmatch.files import sync, write_csv, write_json, write_text
from duskmatch.pictures.dots import save_dots
from duskmatch.pictures.headline import facts_list, notice
from duskmatch.pictures.html import Html, element, table
from duskmatch.pictures.report import page

Document = Mapping[str, Any]
SHOWN = ("rank1", "rank5", "rank10", "rank20", "mAP")
NAMES = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20", "mAP": "mAP"}
CSV_COLUMNS = (
    "name", "seed", "direction", "status", *SHOWN, "mINP", "rank1_low", "rank1_high", "mAP_low", "mAP_high", "chance",
    "n_queries", "n_gallery", "parameters", "parameters_at_test", "flops", "seconds", "health", "synthetic", "split",
)  # fmt: skip
Cells = list[list[str]]


def write_experiment(folder: Path, name: str, document: Document, *, charts: Sequence[Html] = ()) -> dict[str, Path]:
    """NAME.md, .csv, .html, once a cell is done .png, and NAME.json last, so where it is all are whole; their paths."""
    paths = {kind: folder / f"{name}.{kind}" for kind in ("json", "md", "csv", "html", "png")}
    text, rows, markup, drawn = (
        markdown(document),
        csv_rows(document),
        html_page(document, charts),
        grid_charts(document),
    )
    if paths["json"].exists():  # an older one never stands beside new tables
        paths["json"].unlink()
        sync(folder)
    write_text(paths["md"], text)
    write_csv(paths["csv"], rows, CSV_COLUMNS)
    write_text(paths["html"], markup)
    if drawn:
        save_dots(drawn, paths["png"], columns=1)
    else:
        paths.pop("png").unlink(missing_ok=True)
    write_json(paths["json"], document)
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
    own = settings_table(document)
    if own:
        parts += ["### Settings that differ by row", "", words.markdown(*own), ""]
    for direction, arrow in ARROWS.items():
        parts += [f"### {arrow}{_word(document)}", "", words.markdown(*figures_table(document, direction)), ""]
    head, rows = differences_table(document)
    left_out = not_comparable(document)
    if rows or left_out:
        parts += [f"### Differences on the same people{_word(document)}", ""]
    if rows:
        parts += [words.markdown(head, rows), "", how_to_read(document)]
    if left_out:
        parts += [*([""] if rows else []), *(f"- {line}" for line in left_out)]
    return "\n".join(parts) + "\n"


TITLES = {"table1": "Table I", "table2": "Table II"}
HOW_TO_READ = (
    "Points, both directions averaged, mean over the seeds that both rows have; 95 % interval over people and seeds "
    "(over people alone where there is one seed). Detectable: the least true difference such a test finds four times "
    "in five. A difference below it gets no verdict."
)
STUDENT = "Intervals are Student's t: two or three seeds show their own spread badly, which makes an interval wide."
ONE_SEED = "'One seed': the luck of the training seed is not in the interval; another seed may say otherwise."


def how_to_read(document: Document) -> str:
    """The words below the differences, as far as these differences need them."""
    said = [HOW_TO_READ]
    if any(one.get("degrees") for one in document["differences"]):
        said.append(STUDENT)
    if any(one["verdict"].endswith("one seed") for one in document["differences"]):
        said.append(ONE_SEED)
    return " ".join(said)


def html_page(document: Document, charts: Sequence[Html] = ()) -> str:
    """The same as one self-contained page."""
    sections: dict[str, list[Html]] = {"Curves": list(charts)} if charts else {}
    tables = [element("div", *grid_svgs(document), class_="columns")]
    for direction, arrow in ARROWS.items():
        head, rows = figures_table(document, direction)
        tables.append(table(head, rows, caption=f"{arrow}, per cent{_word(document)}"))
    sections["Scores"] = tables
    head, rows = differences_table(document)
    left_out = not_comparable(document)
    if rows or left_out:
        halves = (table([*head[:3], *head[i : i + 4]], [[*r[:3], *r[i : i + 4]] for r in rows]) for i in (3, 7))
        sections["Differences"] = [
            *((element("p", how_to_read(document), class_="small soft"), *halves) if rows else ()),
            *(element("p", line) for line in left_out),
        ]
    own = settings_table(document)
    by_row = [table(*own, caption="Settings that differ by row")] if own else []
    sections["What the figures depend on"] = [facts_list(facts(document)), *by_row]
    data = " ".join(filter(None, (document["data"]["name"], document["data"]["version"])))
    title = f"{TITLES.get(document['experiment'], document['experiment'])}, {data}{_word(document)}"
    header = element("header", element("p", "duskmatch", class_="soft small"), element("h1", title), notice(document))
    return page(title, header, sections)


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
    head += [f"rank-1, mAP picked on {document['split'].upper()}"] if legacy else []
    health = any(line.get("health") for line in document["rows"])
    head += ["M parameters (at test)", "GFLOP", "s", *(["health of its parts"] if health else [])]
    rows = []
    for name in document["settings"]:
        own = [line for line in document["rows"] if line["name"] == name and line["direction"] == direction]
        cells = _figures_row(name, own, printed=printed, legacy=legacy)
        rows.append([*cells, *([_health(own)] if health else [])])
    return head, rows


def _health(own: Sequence[Mapping[str, Any]]) -> str:
    """What the seeds' parts are, each said once with how many seeds say so where not all do."""
    said = [line["health"] for line in own if line.get("health")]
    counts = {words: said.count(words) for words in dict.fromkeys(said)}
    return " / ".join(words if n == len(said) else f"{words} ({n} of {len(said)})" for words, n in counts.items())


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
            known = one["detectable"] is not None
            cells.append(f"{100 * one['difference']:+.1f}")
            cells.append(f"{100 * one['low']:+.1f} to {100 * one['high']:+.1f}" if known else "not known")
            cells += [f"{100 * one['detectable']:.1f}" if known else "not known", one["verdict"]]
        rows.append(cells)
    return head, rows


def not_comparable(document: Document) -> list[str]:
    """A line for each pair that gets no differences."""
    return [
        f"{one['row']} less {one['against']}: not comparable: {one['why']}"
        for one in document.get("not_comparable", ())
    ]


def _mean(done: Sequence[Mapping[str, Any]], figure: str) -> str:
    values = [100 * line[figure] for line in done]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _interval(done: Sequence[Mapping[str, Any]]) -> str:
    """The mean interval over people of one seed's score."""
    low, high = (100 * statistics.mean(line["rank1_interval"][i] for line in done) for i in (0, 1))
    return f"{low:.1f} to {high:.1f}"


def _word(document: Document) -> str:
    return " (SYNTHETIC data)" if document["synthetic"] else ""
