"""A grid's document as Markdown, CSV, HTML and pictures, all marked if the data are synthetic."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from duskmatch.evaluation.words import ARROWS, data_name, origin
from duskmatch.experiments.grids.charts import grid_charts, grid_svgs
from duskmatch.experiments.grids.comparison import Comparison
from duskmatch.experiments.grids.document import GridDocument, RowScores, grid_document
from duskmatch.experiments.grids.facts import facts, settings_table
from duskmatch.experiments.grids.grid import Study
from duskmatch.experiments.publish import Content, Table, markdown, publish
from duskmatch.files import write_csv
from duskmatch.pictures.charts import Chart, as_svg, save_png
from duskmatch.pictures.dots import save_dots
from duskmatch.pictures.headline import facts_list, notice
from duskmatch.pictures.html import Html, breakable, element, table
from duskmatch.pictures.report import page

SHOWN = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20", "mAP": "mAP"}
CSV_COLUMNS = (
    "name", "seed", "direction", "status", *SHOWN, "mINP", "rank1_low", "rank1_high", "mAP_low", "mAP_high", "chance",
    "n_queries", "n_gallery", "parameters", "parameters_at_test", "flops", "seconds", "health", "synthetic", "split",
)  # fmt: skip
Curves = Callable[[GridDocument], list[Chart]]


def publish_study(study: Study, failed: Mapping[str, str], curves: Curves = lambda _: []) -> GridDocument:
    """Writes all files of the study so far and returns its document."""
    document = grid_document(study, failed)
    publish(study.out, study.name, document, grid_files(study.name, document, curves(document)))
    return document


def file_names(name: str) -> list[str]:
    """Of all files that a study may write."""
    return [f"{name}.{kind}" for kind in ("json", "md", "csv", "html", "png")] + [f"{name}_curves.png"]


def grid_files(name: str, document: GridDocument, curves: Sequence[Chart] = ()) -> dict[str, Content]:
    """The content of NAME.md, .csv and .html; also of .png if a cell is done, and of the curves if there are any."""
    drawn, rows = grid_charts(document), csv_rows(document)
    return {
        f"{name}.md": in_markdown(document),
        f"{name}.csv": lambda path: write_csv(path, rows, CSV_COLUMNS),
        f"{name}.html": html_page(document, [as_svg(chart, chart.title) for chart in curves]),
        f"{name}.png": partial(save_dots, drawn, columns=1) if drawn else None,
        f"{name}_curves.png": partial(save_png, curves) if curves else None,
    }


def csv_rows(document: GridDocument) -> list[dict[str, Any]]:
    """One row for each row, seed and direction."""
    rows = []
    for one in document.rows:
        ends = {
            f"{figure}_{end}": value
            for figure, interval in (("rank1", one.rank1_interval), ("mAP", one.mAP_interval))
            for end, value in zip(("low", "high"), interval or (None, None), strict=True)
        }
        own = {key: getattr(one, key) for key in CSV_COLUMNS if key in RowScores.model_fields}
        rows.append({**own, **ends, "synthetic": document.synthetic, "split": document.split})
    return rows


def in_markdown(document: GridDocument) -> str:
    """The tables and everything they depend on, as Markdown."""
    parts = [f"**{_origin(document)}.**", "\n".join(f"- {what}: {how}" for what, how in facts(document).items())]
    scores = [figures_table(document, direction) for direction in ARROWS]
    parts += [one.markdown("###") for one in (*settings_table(document), *scores)]
    compared, left_out = differences_table(document), not_comparable(document)
    if compared.rows or left_out:
        parts.append(f"### {compared.title}")
    if compared.rows:
        parts += [markdown(compared.head, compared.rows), how_to_read(document)]
    if left_out:
        parts.append("\n".join(f"- {line}" for line in left_out))
    return "\n\n".join(parts) + ("\n" if compared.rows or left_out else "\n\n")


TITLES = {"table1": "Table I", "table2": "Table II"}
HOW_TO_READ = (
    "Points, both directions averaged, mean over the seeds that both rows have; 95 % interval over people and seeds "
    "(over people alone where there is one seed). Detectable: the least true difference such a test finds four times "
    "in five. A difference below it gets no verdict."
)
STUDENT = "Intervals are Student's t: two or three seeds show their own spread badly, which makes an interval wide."
COLUMNS_SAID = "±: deviation from seed to seed; M: million; GFLOP: of one tracklet; s: seconds of training."
ONE_SEED = "'One seed': the luck of the training seed is not in the interval; another seed may say otherwise."


def how_to_read(document: GridDocument) -> str:
    """The explanation below the differences, with those sentences that apply."""
    texts = [HOW_TO_READ]
    if any(one.degrees for one in document.differences):
        texts.append(STUDENT)
    if any(one.verdict.endswith("one seed") for one in document.differences):
        texts.append(ONE_SEED)
    return " ".join(texts)


def html_page(document: GridDocument, curves: Sequence[Html] = ()) -> str:
    """The same as a self-contained HTML page."""
    sections: dict[str, list[Html]] = {"Curves": list(curves)} if curves else {}
    sections["Scores"] = [element("div", *grid_svgs(document), class_="columns")]
    for direction, arrow in ARROWS.items():
        found = figures_table(document, direction)
        caption = f"{arrow}, per cent{document.word}. {COLUMNS_SAID}"
        named = [[breakable(name), *cells] for name, *cells in found.rows]
        sections["Scores"].append(table(found.head, named, caption=caption))
    compared = differences_table(document)
    head = compared.head
    rows = [[breakable(name), breakable(against), *cells] for name, against, *cells in compared.rows]
    left_out = not_comparable(document)
    if rows or left_out:
        halves = (table([*head[:3], *head[i : i + 4]], [[*r[:3], *r[i : i + 4]] for r in rows]) for i in (3, 7))
        sections["Differences"] = [
            *((element("p", how_to_read(document), class_="small soft"), *halves) if rows else ()),
            *(element("p", line) for line in left_out),
        ]
    own = [table(one.head, one.rows, caption=one.title) for one in settings_table(document)]
    sections["What the figures depend on"] = [facts_list(facts(document)), *own]
    title = f"{TITLES.get(document.experiment, document.experiment)}, {data_name(document.data)}{document.word}"
    warning = notice({"synthetic": document.synthetic, "data": document.data})
    header = element("header", element("p", "duskmatch", class_="soft small"), element("h1", title), warning)
    return page(title, header, sections)


def _origin(document: GridDocument) -> str:
    return origin({"synthetic": document.synthetic, "data": document.data})


def figures_table(document: GridDocument, direction: str) -> Table:
    """A line for each row: means over seeds with their spread, the paper's figures, cost, and health."""
    columns: dict[str, Callable[[list[RowScores]], str]] = {
        **{name: partial(_mean, figure) for figure, name in SHOWN.items()},
        "rank-1 95 %": _interval,
    }
    if any(one.printed for one in document.rows):
        columns |= {"paper rank-1, mAP": _printed, "ours less paper's": _less_printed}
    if any(one.test_best_legacy for one in document.rows):
        columns[f"rank-1, mAP picked on {document.split.upper()}"] = _picked
    columns |= {
        "M parameters (at test)": lambda d: (
            f"{(d[0].parameters or 0) / 1e6:.2f} ({(d[0].parameters_at_test or 0) / 1e6:.2f})"
        ),
        "GFLOP": lambda d: f"{(d[0].flops or 0) / 1e9:.2f}",
        "s": lambda d: f"{statistics.mean(one.seconds or 0 for one in d):.0f}",
    }
    if any(one.health for one in document.rows):
        columns["health of its parts"] = _health
    rows = []
    for name in document.settings:
        done = document.done(name, direction)
        own = [one.status for one in document.rows if one.name == name and one.direction == direction]
        why = ["; ".join(dict.fromkeys(own)), *[""] * (len(columns) - 1)]
        rows.append([name, str(len(done)), *([of(done) for of in columns.values()] if done else why)])
    return Table(f"{ARROWS[direction]}{document.word}", ["row", "seeds", *columns], rows)


def _mean(figure: str, done: Sequence[RowScores]) -> str:
    values = [one.percent(figure) for one in done]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _interval(done: Sequence[RowScores]) -> str:
    """The interval of rank-1 over people, its ends averaged over seeds."""
    ends = zip(*(one.rank1_interval for one in done if one.rank1_interval), strict=True)
    low, high = (100 * statistics.mean(end) for end in ends)
    return f"{low:.1f} to {high:.1f}"


def _printed(done: Sequence[RowScores]) -> str:
    beside = done[0].printed or {}
    return f"{beside['rank1']:.2f}, {beside['mAP']:.2f}" if beside else ""


def _less_printed(done: Sequence[RowScores]) -> str:
    beside = done[0].printed or {}
    ours = {figure: 100 * statistics.mean(getattr(one, figure) for one in done) for figure in ("rank1", "mAP")}
    return ", ".join(f"{value - beside[figure]:+.2f}" for figure, value in ours.items()) if beside else ""


def _picked(done: Sequence[RowScores]) -> str:
    """Rank-1 and mAP of the checkpoints chosen on the test people."""
    best = [one.test_best_legacy for one in done if one.test_best_legacy]
    means = [statistics.mean(b.rank1 for b in best), statistics.mean(b.mAP for b in best)] if best else []
    return ", ".join(f"{100 * mean:.1f}" for mean in means)


def _health(done: Sequence[RowScores]) -> str:
    """The health of the parts; if it differs between seeds, each verdict with its number of seeds."""
    texts = [one.health for one in done if one.health]
    counts = {words: texts.count(words) for words in dict.fromkeys(texts)}
    return " / ".join(words if n == len(texts) else f"{words} ({n} of {len(texts)})" for words, n in counts.items())


def differences_table(document: GridDocument) -> Table:
    """The differences of each row to the one it builds on and to the first, both directions averaged."""
    head = ["row", "against", "seeds"]
    for figure in ("rank-1", "mAP"):
        head += [f"{figure} difference", "95 %", "detectable", "verdict"]
    rows: dict[tuple[str, str], list[str]] = {}  # of each pair first rank-1, then mAP
    for one in document.differences:
        if one.direction == "both":
            cells = rows.setdefault((one.row, one.against), [one.row, one.against, str(len(one.seeds))])
            cells += [f"{100 * one.difference:+.1f}", *_detectable(one), one.verdict]
    return Table(f"Differences on the same people{document.word}", head, list(rows.values()))


def _detectable(one: Comparison) -> tuple[str, str]:
    if one.detectable is None or one.low is None or one.high is None:
        return "not known", "not known"
    return f"{100 * one.low:+.1f} to {100 * one.high:+.1f}", f"{100 * one.detectable:.1f}"


def not_comparable(document: GridDocument) -> list[str]:
    """A line for each pair without differences, with the reason."""
    return [f"{one.row} less {one.against}: not comparable: {one.why}" for one in document.not_comparable]
