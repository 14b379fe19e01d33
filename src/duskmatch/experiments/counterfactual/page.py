"""counterfactual.html: one file with curves, a sample of each change, tables, and everything they depend on."""

from __future__ import annotations

from pathlib import Path

from duskmatch.data import Dataset
from duskmatch.experiments.counterfactual.charts import SEARCHES, SHIFT, Shown, charts_of, pictures
from duskmatch.experiments.counterfactual.document import Counterfactual
from duskmatch.experiments.counterfactual.films import FilmStore, Take, sample_frames
from duskmatch.experiments.counterfactual.words import facts, in_words, origin_of, sentences, tables
from duskmatch.experiments.publish import Content, publish
from duskmatch.pictures.charts import as_svg
from duskmatch.pictures.headline import facts_list
from duskmatch.pictures.html import Html, element, table
from duskmatch.pictures.report import page
from duskmatch.pictures.thumbnails import data_uri, thumbnail
from duskmatch.records import Modality


def write_outputs(out: Path, document: Counterfactual, dataset: Dataset, films: FilmStore) -> None:
    """Writes the pictures, the tables and the page, then the JSON."""
    files: dict[str, Content] = {**pictures(document), "counterfactual.md": in_words(document)}
    files["counterfactual.html"] = html(document, sample_pictures(document, dataset, films))
    publish(out, "counterfactual", document, files)


def html(document: Counterfactual, samples: list[Html]) -> str:
    """The page as text."""
    found = [table(one.head, one.rows, caption=one.title) for one in tables(document)]
    listed = "\n".join(f"{name} {version}" for name, version in document.versions.items())
    versions = element("details", element("summary", "Versions"), element("pre", listed))
    folded = element("details", element("summary", "All tables"), *found)
    sections = {
        "How far embeddings move": _charts(document, SHIFT),
        "Who is still found": [part for shown in SEARCHES for part in _charts(document, shown, title=True)],
        "What the changes look like": samples,
        "Figures": [folded],
        "What the figures depend on": [facts_list(facts(document)), versions],
    }
    links = [element("a", name, href=f"#{name.lower().replace(' ', '-')}") for name in sections]
    header = element(
        "header",
        element("p", "duskmatch counterfactuals", class_="soft small"),
        element("h1", "SYNTHETIC people, one factor changed at a time"),
        element("p", element("strong", origin_of(document)), ".", class_="notice", role="note"),
        *(element("p", sentence) for sentence in sentences(document)),
        *(element("p", f"{note}.", class_="notice", role="note") for note in document.notes),
        element("nav", *links, aria_label="Sections"),
    )
    return page("Counterfactuals (SYNTHETIC)", header, sections)


def sample_pictures(document: Counterfactual, dataset: Dataset, films: FilmStore) -> list[Html]:
    """One moment of a visible and of an infrared walk, under every change."""
    parts: list[Html] = []
    for modality, unchanged in sample_frames(dataset.test).items():
        for factor in document.factors:
            rest = [(s, films.sample(Take(factor, s), modality)) for s in document.severities[1:]]
            tiles = [_tile(path, factor, severity, modality) for severity, path in [(0, unchanged), *rest]]
            caption = element("figcaption", element("b", factor), f", {modality}, severity 0 to the left")
            parts.append(element("figure", caption, element("ul", *tiles, class_="tiles frames")))
    return [element("div", *parts, class_="columns")]


def _tile(path: Path, factor: str, severity: int, modality: Modality) -> Html:
    picture = thumbnail(path)
    words = f"generated person, {modality}, {factor}, severity {severity}"
    image = element("img", src=data_uri(picture), alt=words, width=picture.shape[1], height=picture.shape[0])
    return element("li", image, str(severity))


def _charts(document: Counterfactual, shown: Shown, *, title: bool = False) -> list[Html]:
    unit = "%" if shown.percent else "of the distance between people"
    drawn = [
        as_svg(chart, f"SYNTHETIC data: {shown.title} by severity of {chart.title}, {unit}", width=3.6, height=2.6)
        for chart in charts_of(document, shown)
    ]
    head = element("h3", shown.title) if title else None
    note = f"{unit[0].upper() + unit[1:]}, by severity; SYNTHETIC data. Bands: 95 % over people."
    caption = element("p", note, class_="small soft")
    return [part for part in (head, caption, element("div", *drawn, class_="columns")) if part]
