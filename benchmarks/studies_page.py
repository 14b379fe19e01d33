"""Fills the tables of docs/studies.md and docs/studies/ from benchmarks/results/study_*.json: none is typed by hand.

python -m benchmarks.studies_page                             # after the files have changed
python -m benchmarks.studies_page record NAME DIR/table1.json  # first keeps an experiment's JSON as study_NAME.json
                                                               # and its picture as docs/pictures/study_NAME.png
python -m benchmarks.studies_page keep DIR                     # keeps the finished cells of a grid; the same command
                                                               # goes on after cp -r benchmarks/results/cells DIR
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PAGES = [DOCS / "studies.md", *sorted((DOCS / "studies").glob("*.md"))]
PICTURES = DOCS / "pictures"
BESIDE = {"counterfactual": "shift.png"}  # the picture of several that a person looks at first
BLOCK = re.compile(r"(<!-- begin: (\w+)( differences)? -->\n).*?(<!-- end -->\n)", re.DOTALL)
Document = dict[str, Any]


def record(name: str, source: Path) -> Path:
    """The document as benchmarks/results/study_NAME.json."""
    target = RESULTS / f"study_{name}.json"
    target.write_text(folded_numbers(source), encoding="utf-8")
    return target


def keep(grid: Path) -> list[Path]:
    """The results of a grid's finished cells, under benchmarks/results/cells as they lie in GRID/cells."""
    kept = []
    for source in sorted((grid / "cells").glob("*/seed*/*.json")):
        target = RESULTS / "cells" / source.relative_to(grid / "cells")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(folded_numbers(source), encoding="utf-8")
        kept.append(target)
    return kept


def folded_numbers(source: Path) -> str:
    """A JSON file's text with each list of numbers on one line."""
    text = json.dumps(json.loads(source.read_text(encoding="utf-8")), indent=1)
    numbers = re.compile(r"\[\s+(-?\d[^\[\]{}\"]*?)\s+\]")
    return numbers.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n"


def draw(name: str, source: Path, document: Document) -> None:
    """The picture that a page shows of it: a grid's rank-1 and differences, of others the one beside their JSON."""
    from duskmatch.experiments.grids.charts import grid_charts
    from duskmatch.experiments.grids.document import GridDocument
    from duskmatch.pictures.dots import save_dots

    picture = PICTURES / f"study_{name}.png"
    if not any(picture.name in page.read_text(encoding="utf-8") for page in PAGES):
        return
    if name in KINDS:
        shutil.copyfile(source.parent / BESIDE.get(name, f"{name}.png"), picture)
    else:
        save_dots(grid_charts(GridDocument.model_validate(document)), picture, columns=1)


def grid(document: Document) -> str:
    """An experiment of rows and seeds: what it depends on, its tables, its differences."""
    from duskmatch.experiments.grids.document import GridDocument
    from duskmatch.experiments.grids.tables import in_markdown

    return re.sub(r"^#+ (.*)$", r"**\1**", in_markdown(GridDocument.model_validate(document)), flags=re.M)


def counterfactual(document: Document) -> str:
    from duskmatch.experiments.counterfactual.document import Counterfactual
    from duskmatch.experiments.counterfactual.words import in_words

    return below_title(in_words(Counterfactual.model_validate(document)))


def motion(document: Document) -> str:
    from duskmatch.experiments.motion.document import MotionDocument
    from duskmatch.experiments.motion.words import motion_table

    return below_title(motion_table(MotionDocument.model_validate(document)))


def probes(document: Document) -> str:
    from duskmatch.experiments.probes.document import ProbesDocument
    from duskmatch.experiments.probes.words import probes_table

    return below_title(probes_table(ProbesDocument.model_validate(document)))


def below_title(text: str) -> str:
    """Without the title, for the page has its own; the other headings as bold lines."""
    return re.sub(r"^#+ (.*)$", r"**\1**", text.split("\n", 1)[1], flags=re.M)


INTERVAL = re.compile(r"(?<=\d) to (?=[-+−\d])")  # kept on one line
HEADED = re.compile(r"^\*\*(.+)\*\*\n\n((?:^(?!\||\*\*).*\n)*(?:^\|.*\n)+)", re.M)


def folded(text: str) -> str:
    """Every table under a bold line of its own is opened by a click on that line; differences stay open."""

    def fold(found: re.Match[str]) -> str:
        if found[1].startswith("Differences"):
            return found[0]
        return f"<details>\n<summary>{found[1]}</summary>\n\n{found[2]}\n</details>\n"

    return HEADED.sub(fold, INTERVAL.sub("\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}", text))


KINDS: dict[str, Callable[[Document], str]] = {
    "counterfactual": counterfactual,
    "motion": motion,
    "probes": probes,
}


DIFFERENCES = re.compile(r"^\*\*(Differences.*?)\*\*\n.*?(?=^\*\*|\Z)", re.M | re.S)


def filled(text: str) -> str:
    """The page with every block made anew; a study that has no file says so. `differences`: those of a grid alone."""

    def block(found: re.Match[str]) -> str:
        path = RESULTS / f"study_{found[2]}.json"
        if not path.is_file():
            return f"{found[1]}*Not run.*\n{found[4]}"
        document = json.loads(path.read_text(encoding="utf-8"))
        kind = next((k for k in KINDS if found[2].startswith(k)), None)
        body = KINDS[kind](document) if kind else grid(document)
        if found[3]:
            body = "\n".join(piece[0].strip() + "\n" for piece in DIFFERENCES.finditer(body))
        return f"{found[1]}{folded(body.strip() + chr(10))}{found[4]}"

    return BLOCK.sub(block, text)


def main(words: list[str]) -> None:
    if words[:1] == ["record"]:
        if len(words) != 3:
            raise SystemExit("record takes a name and a JSON file")
        kept = record(words[1], Path(words[2]))
        draw(words[1], Path(words[2]), json.loads(kept.read_text(encoding="utf-8")))
        print(kept)
    if words[:1] == ["keep"]:
        if len(words) != 2:
            raise SystemExit("keep takes the folder of a grid")
        print(*keep(Path(words[1])), sep="\n")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
