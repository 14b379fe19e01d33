"""compare.html: a comparison of several RUNs on the same people, with the same pictures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from duskmatch.evaluation import protocol_in_words
from duskmatch.evaluation.words import ARROWS, FIGURES, interval, percent
from duskmatch.files import write_text
from duskmatch.pictures.attention import attention_rows
from duskmatch.pictures.attention_maps import attention_page, attention_section
from duskmatch.pictures.compared import Compared, checkpoint, n_people, provenance, source
from duskmatch.pictures.distances import distances_section, save_distances, separations
from duskmatch.pictures.embedding_map import maps_section, panels_of, save_maps
from duskmatch.pictures.headline import NAMES, facts_list
from duskmatch.pictures.health import compared_health
from duskmatch.pictures.html import Child, Html, element, table
from duskmatch.pictures.part_weights import part_figures, parts_section, save_parts
from duskmatch.pictures.report import data_in_title, page, page_header
from duskmatch.pictures.side_by_side import compared_cases, strip_pages, strips_section
from duskmatch.records import DIRECTIONS

SHARED = ("protocol", "split", "camera rule", "sampling", "re-ranking", "test-time extras", "precision", "data",
          "fingerprint", "times these test people were read")  # fmt: skip

# Method -> its name as in docs/methods.md.
METHODS = {"lba": "LbA", "ddag": "DDAG", "cajl": "CAJL", "mpanet": "MPANet", "vsd": "VSD", "mitml": "MITML"}


def write_comparison(folder: Path, runs: Sequence[Compared], *, n_queries: int = 8) -> dict[str, Any]:
    """Writes compare.html and the pictures into `folder`; returns the figures and the files' names, ready for JSON."""
    cases = {direction: compared_cases(runs, direction, n_queries) for direction in DIRECTIONS}
    looks = attention_rows(runs, cases)
    separated = [separations(run.evaluation) for run in runs]
    maps = panels_of(runs)
    note = provenance(runs)
    pictures = [
        *strip_pages(folder, runs, cases, note),
        attention_page(folder / "attention.png", runs, looks, note),
        *save_parts(folder / "part-weights.png", runs, note),
        save_distances(folder / "distances.png", runs, separated, note),
        save_maps(folder / "embedding-maps.png", runs, maps, note),
    ]
    sections = {
        "Scores": scores_section(runs),
        "Health of the parts": compared_health(runs),
        "Who is found": strips_section(runs, cases),
        "Where they look": attention_section(runs, looks),
        "Which parts are kept": parts_section(runs),
        "How far apart people are": distances_section(runs, separated),
        "Maps of the embeddings": maps_section(runs, maps),
        "What the figures depend on": protocol_section(runs),
    }
    path, title = folder / "compare.html", _title(runs)
    write_text(path, page(title, page_header("comparison", title, runs[0].document, list(sections)), sections))
    figures = [
        {
            "name": run.name,
            "checkpoint": run.document["checkpoint"],
            "embedding": run.facts["embedding"],
            **{direction: run.document[direction] for direction in DIRECTIONS},
            "auc": {kind: of.auc for kind, of in of_run.items()},
            "part_weights": part_figures(run),
            "health": run.document.get("health"),
        }
        for run, of_run in zip(runs, separated, strict=True)
    ]
    return {
        "page": str(path),
        "pictures": [str(picture) for picture in pictures],
        "synthetic": runs[0].document["synthetic"],
        "data": runs[-1].document["data"],
        "split": runs[0].evaluation.split,
        "camera_rule": runs[0].evaluation.camera_rule,
        "people": n_people(runs[0].evaluation),
        "map": maps[0][1].map.method,
        "runs": figures,
    }


def scores_section(runs: Sequence[Compared]) -> list[Html]:
    """Method and checkpoint of each RUN, then every figure of both directions in per cent."""
    what = table(
        ["", "method", "searched by", "weights", "parameters at test"],
        [[run.name, _method(run), _searched_by(run), checkpoint(run), _parameters(run)] for run in runs],
        sentences=True,
    )
    rows = [_figures(run, direction) for direction in DIRECTIONS for run in runs]
    first = runs[0].document
    counted = "; ".join(
        f"{ARROWS[d]} {first[d]['n_queries']} queries, {first[d]['n_left_out']} of them left out (no match), "
        f"{first[d]['n_gallery']} in the gallery"
        for d in DIRECTIONS
    )
    head = ["per cent", "", *(NAMES.get(f, f) for f in FIGURES), "chance", "rank-1 95 %", "mAP 95 %"]
    figures = table(head, rows, caption=f"{source(runs)}{n_people(runs[0].evaluation)} people; {counted}.")
    note = (
        "95 %: over draws of these people. Variation between training seeds is not included: one run of each method "
        "does not show which method is better."
    )
    return [what, figures, element("p", note, class_="small soft")]


def protocol_section(runs: Sequence[Compared]) -> list[Html]:
    """Protocol and data that all RUNs share; the last document has the final count of readings of test people."""
    words = protocol_in_words(runs[-1].document)
    facts = {what: words[what] for what in SHARED}
    facts["people"] = str(n_people(runs[0].evaluation))
    return [facts_list({**facts, **{f"weights of {run.name}": checkpoint(run) for run in runs}})]


def _figures(run: Compared, direction: str) -> list[Child]:
    scores = run.document[direction]
    figures = [percent(scores[figure]) for figure in (*FIGURES, "chance")]
    return [run.name, ARROWS[direction], *figures, interval(scores["rank1_interval"]), interval(scores["mAP_interval"])]


def _method(run: Compared) -> str:
    """The parts of the paper's method that the network has, or the name of another method."""
    model = run.embedder.settings.model
    if model.name != "self_attack":
        return METHODS.get(model.name, model.name)
    head = model.sequence if model.sequence.startswith("pooled") else f"FRM-STIG ({model.sequence})"
    parts = {"ASAM": model.attack, "ADM": model.defense, head: model.sequence != "none"}
    return " + ".join([name for name, there in parts.items() if there]) or "Baseline"


def _searched_by(run: Compared) -> str:
    words = {"sequence": "j_d", "defense": "f_d", "both": "j_d and f_d", "attack": "f^l"}
    embedding, comma, width = str(run.facts["embedding"]).partition(", ")
    return words.get(embedding, embedding) + comma + width


def _parameters(run: Compared) -> str:
    return f"{run.facts['parameters']['test'] / 1e6:,.2f} million"


def _title(runs: Sequence[Compared]) -> str:
    names = [run.name for run in runs]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{data_in_title(runs[0].document)}: {listed}{' side by side' if len(names) > 1 else ''}"
