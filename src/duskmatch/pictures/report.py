"""report.html: one file with a run's scores, everything they depend on, and pictures of who was found.

Pictures and styles are inside the page. It has no script and fetches nothing, and forbids both to the browser, so that
a name or picture from data cannot change that.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from duskmatch.evaluation import Evaluation
from duskmatch.evaluation.words import data_name
from duskmatch.files import write_text
from duskmatch.pictures.answers import answers_section
from duskmatch.pictures.charts import as_svg
from duskmatch.pictures.curves import Rows, training_charts
from duskmatch.pictures.gallery_views import has_pictures, people_section, samples_section, strips_section
from duskmatch.pictures.headline import cmc_chart, facts_list, notice, scores_section
from duskmatch.pictures.health import health_section
from duskmatch.pictures.html import Child, Html, element
from duskmatch.pictures.tables import breakdown_section

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    document: Mapping[str, Any],
    *,
    dataset: Any = None,
    log: Rows | None = None,
    facts: Mapping[str, Any] | None = None,
    n_strips: int = 8,
) -> None:
    """Writes the page; `document` is that of `scores_document`, `facts` the embedder's, `log` the rows of log.csv."""
    write_text(Path(path), report(evaluation, document, dataset=dataset, log=log, facts=facts or {}, n_strips=n_strips))


def report(
    evaluation: Evaluation,
    document: Mapping[str, Any],
    *,
    dataset: Any = None,
    log: Rows | None = None,
    facts: Mapping[str, Any],
    n_strips: int = 8,
) -> str:
    """The page as text."""
    walks = dataset.walks() if hasattr(dataset, "walks") else {}
    pictures = has_pictures(evaluation)
    sections: dict[str, list[Html]] = {
        "Scores": scores_section(document),
        "Health of the parts": health_section(document.get("health")),
        "How far down the list": [cmc_chart(evaluation, document)],
        "The same person, or somebody unknown": answers_section(evaluation, document),
        "Ranked strips": strips_section(evaluation, n_strips) if pictures else [],
        "Where it works and where it does not": breakdown_section(evaluation, walks),
        "The people found worst": people_section(evaluation) if pictures else [],
        "Training": training_section(log or []),
        "What the people look like": samples_section(evaluation) if pictures else [],
        "Cost, settings, versions": cost_section(facts, document),
    }
    shown = {title: parts for title, parts in sections.items() if parts}
    title = f"{data_in_title(document)}: people found between day and night"
    return page(title, page_header("report", title, document, list(shown)), shown)


def page(title: str, header: Child, sections: Mapping[str, list[Html]]) -> str:
    """A whole HTML document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(resources.files("duskmatch.pictures").joinpath("style.css").read_text("utf-8"))),
    )
    body = [element("section", element("h2", name, id=anchor(name)), *parts) for name, parts in sections.items()]
    return (
        "<!doctype html>\n" + element("html", head, element("body", element("main", header, *body)), lang="en") + "\n"
    )


def training_section(rows: Rows) -> list[Html]:
    """Every curve of the log."""
    charts = training_charts(rows)
    if not charts:
        return []
    last = rows[-1].get("step", len(rows))
    drawn = [as_svg(chart, f"{chart.title} over {last} steps") for chart in charts]
    return [element("div", *drawn, class_="columns")]


def cost_section(facts: Mapping[str, Any], document: Mapping[str, Any]) -> list[Html]:
    """Cost of a tracklet, settings and versions."""
    cost = {
        "parameters": _count(facts.get("parameters"), 1e6, "million"),
        "operations for a tracklet": _count(facts.get("flops"), 1e9, "GFLOP"),
        "time for a tracklet": _count(facts.get("ms_per_tracklet"), 1, "ms, reading its frames included"),
    }
    parts = [facts_list({what: how for what, how in cost.items() if how})]
    if facts.get("settings"):
        parts.append(
            _folded("Settings", yaml.safe_dump(_plain(facts["settings"]), sort_keys=False, allow_unicode=True))
        )
    parts.append(_folded("Versions", "\n".join(f"{name} {version}" for name, version in document["versions"].items())))
    return parts


def page_header(kind: str, title: str, document: Mapping[str, Any], sections: list[str]) -> Html:
    """The top of a page: its title, the notice on generated data, links to its sections."""
    links = [element("a", section, href=f"#{anchor(section)}") for section in sections]
    return element(
        "header",
        element("p", f"duskmatch {kind}", class_="soft small"),
        element("h1", title),
        notice(document),
        element("nav", *links, aria_label="Sections"),
    )


def data_in_title(document: Mapping[str, Any]) -> str:
    """The name of the data, marked if they are synthetic."""
    return f"{data_name(document['data'])}{' (SYNTHETIC)' if document['synthetic'] else ''}"


def anchor(title: str) -> str:
    return title.lower().replace(",", "").replace(" ", "-")


def _folded(title: str, text: str) -> Html:
    return element("details", element("summary", title), element("pre", text))


def _count(value: Any, unit: float, name: str) -> str:
    return f"{value / unit:,.1f} {name}" if isinstance(value, int | float) else ""


def _plain(value: Any) -> Any:
    """The value as YAML can write it: containers and scalars, the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
