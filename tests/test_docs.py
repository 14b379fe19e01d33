"""The pages of docs/ against the code: every function, setting, test and link that they name is there."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from benchmarks import settings_page

from duskmatch.config import LossSettings, SelfAttackSettings, TrainSettings, known_keys
from duskmatch.models import SelfAttackDefense
from duskmatch.models.algorithm1 import ATTACK, SEQUENCE, STEMS, sub_steps
from duskmatch.training.monitor import AFTER, BEFORE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])
EQUATIONS = [str(n) for n in range(1, 18)]
LINES = [str(n) for n in range(1, 13)]
ROWS = [str(n) for n in range(1, 37)]
ROWS[21:21] = ["21b", "21c"]
LETTERS = {
    "S": STEMS,
    "D": ("defense_encoder",),
    "C": ("cross_attention3", "cross_attention4"),
    "N": ("defense_neck",),
    "W": ("defense_classifier",),
    "Q": SEQUENCE,
    "A": ATTACK,
}


def table(page: str, first_column: str) -> list[dict[str, str]]:
    """The rows below the header whose first cell reads so; a page may have several, which follow one another."""
    rows: list[dict[str, str]] = []
    header: list[str] | None = None
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = None
        elif header is None:
            header = cells if cells[0] == first_column else []
        elif header and not set(line) <= set("|- "):
            rows.append(dict(zip(header, cells, strict=True)))
    assert rows, f"{page} has no table of {first_column}"
    return rows


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


METHOD = {name: table("method.md", name) for name in ("Eq.", "Line", "Hyper-parameter", "Row", "Option")}
EVERY_ROW = [*(row for rows in METHOD.values() for row in rows), *table("methods.md", "Term")]


@pytest.mark.parametrize(("name", "expected"), [("Eq.", EQUATIONS), ("Line", LINES), ("Row", ROWS)])
def test_no_equation_line_or_row_is_missing(name: str, expected: list[str]) -> None:
    assert [row[name] for row in METHOD[name]] == expected


def test_every_row_names_a_setting_a_test_and_its_code() -> None:
    for row in EVERY_ROW:
        checks = quoted(row["Checked by"])
        assert checks and all(re.fullmatch(r"tests/[\w/]+\.py::test_\w+", check) for check in checks), row
        assert quoted(row.get("Settings") or row["Setting"]), row
        assert "Hyper-parameter" in row or quoted(row["Where"]), row


def test_every_function_named_is_there() -> None:
    for name in {name for row in EVERY_ROW for name in quoted(row.get("Where", ""))}:
        found(name)


def found(name: str) -> object:
    """The object of a dotted name below duskmatch."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(["duskmatch", *parts[:n]]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[n:]:
            thing = getattr(thing, attribute)
        return thing
    raise AssertionError(f"duskmatch has no {name}")


def test_every_setting_named_is_there() -> None:
    named = {key for row in EVERY_ROW for key in quoted(row.get("Settings") or row["Setting"])}
    assert named <= set(known_keys()), named - set(known_keys())


@cache
def named_tests(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("page", [page for page in PAGES if "::" in page.read_text(encoding="utf-8")], ids=str)
def test_every_test_named_is_there(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    missing = [f"{file}::{name}" for file, name in named if name not in named_tests(file)]
    assert not missing


def test_the_table_of_rows_says_what_the_code_trains() -> None:
    flags = {row["Row of Table I"]: row for row in table("method.md", "Row of Table I") if "`model.attack`" in row}
    trained = [row for row in table("method.md", "Row of Table I") if "Stage" in row]
    assert len(flags) == 8 and len(trained) == 16
    for row in trained:
        chosen = flags[row["Row of Table I"]]
        options = {"attack": chosen["`model.attack`"] == "true", "defense": chosen["`model.defense`"] == "true"}
        with torch.device("meta"):
            sequence = chosen["`model.sequence`"]
            model = SelfAttackDefense(
                4, SelfAttackSettings(backbone="resnet18", width=0.125, sequence=sequence, **options)
            )
        there = {name for name, _ in model.named_children()} - {"sequence_neck"}  # off in every row
        steps = sub_steps(model, LossSettings(), TrainSettings(), {"I": 1, "II": 2}[row["Stage"]])
        got = {step.name: set(step.trains) & there for step in steps}
        said = {"defense": row["Eqs. 9, 10"], "sequence": row["Eq. 16"], "attack": row["Eqs. 3, 5"]}
        expected = {
            name: {module for letter in cell.split() for module in LETTERS[letter]} - {"sequence_neck"}
            for name, cell in said.items()
            if cell != "-"
        }
        assert got == expected, row
        assert model.embedding == ("sequence" if chosen["Searched by"] == "j_d" else "defense")
        assert model.has_defense or chosen["Searched by"] != "f_d"


def test_the_table_of_settings_is_what_the_settings_say_of_themselves() -> None:
    page = settings_page.PAGE.read_text(encoding="utf-8")
    assert settings_page.filled(page) == page, "run python -m benchmarks.settings_page"
    rows = table("training.md", "Setting")
    assert [quoted(row["Setting"])[0] for row in rows] == known_keys()
    assert all(row["Meaning"] for row in rows)


def test_the_table_of_log_columns_is_complete() -> None:
    assert [name for row in table("training.md", "Column") for name in quoted(row["Column"])] == [
        *BEFORE,
        *SelfAttackDefense.logged,
        *AFTER,
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = {target for target in targets if not (page.parent / target).exists()}
    assert not missing


def test_pages_hold_no_place_of_a_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w~.])/(?:home|work|tmp|root|opt)/", text), page
