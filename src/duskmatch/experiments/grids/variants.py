"""The rows of the paper's Tables I and II, and rows from a user's YAML file.

Source: paper, sections IV-B and IV-C and both tables; which parts each row has: docs/method.md, rows 26, 27, 31.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from duskmatch.errors import SettingsError, nearest
from duskmatch.files import read_regular
from duskmatch.records import DIRECTIONS, Direction
from duskmatch.yaml_text import load_yaml, shortened

LONGEST_NAME = 100  # of a row
FIGURES = ("rank1", "rank5", "rank10", "rank20", "mAP")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: settings as `section.key=value`, and the row it is compared with (None for the first row).

    method: another method than the main one; the row then starts from that method's preset, if it has one.
    """

    name: str
    overrides: tuple[str, ...] = ()
    builds_on: str | None = None
    method: str | None = None


def _parts(attack: bool, defense: bool, sequence: str) -> tuple[str, ...]:
    parts = (f"model.attack={attack}".lower(), f"model.defense={defense}".lower(), f"model.sequence={sequence}")
    return (*parts, "model.embedding=auto")  # as in the paper: j_d, or f_d without it


TABLE1: dict[str, Row] = {
    row.name: row
    for row in (
        Row("Baseline", _parts(False, False, "none")),
        Row("Baseline+ASAM", _parts(True, False, "none"), "Baseline"),
        Row("Baseline+ADM", _parts(False, True, "none"), "Baseline"),
        Row("Baseline+FRM-STIG", _parts(False, False, "full"), "Baseline"),
        Row("Baseline+ASAM+ADM", _parts(True, True, "none"), "Baseline+ADM"),
        Row("Baseline+ASAM+ADM+FR-E-TI", _parts(True, True, "temporal"), "Baseline+ASAM+ADM"),
        Row("Baseline+ASAM+ADM+FRM-STIG*", _parts(True, True, "no_spatial"), "Baseline+ASAM+ADM"),
        Row("Baseline+ASAM+ADM+FRM-STIG", _parts(True, True, "full"), "Baseline+ASAM+ADM+FRM-STIG*"),
    )
}

# Table II's methods, between the Baseline that both tables share and the main method without and with FRM-STIG.
TABLE2: dict[str, Row] = {
    row.name: row
    for row in (
        TABLE1["Baseline"],
        Row("LbA", method="lba"),
        Row("MPANet", method="mpanet"),
        Row("DDAG", method="ddag"),
        Row("VSD", method="vsd"),
        Row("CAJL", method="cajl"),
        Row("MITML", method="mitml"),
        Row("Proposed*", TABLE1["Baseline+ASAM+ADM"].overrides, "CAJL"),
        Row("Proposed", TABLE1["Baseline+ASAM+ADM+FRM-STIG"].overrides, "MITML"),
    )
}

COMPARED_METHODS = tuple(name for name, row in TABLE2.items() if row.method)
# Both tables as printed, per cent: for each row infrared to visible, then visible to infrared, in order of FIGURES.
_PRINTED = {
    "Baseline": ((58.05, 72.45, 78.49, 83.90, 43.23), (61.01, 74.98, 80.41, 83.92, 45.59)),
    "Baseline+ASAM": ((43.65, 62.37, 70.38, 77.55, 30.66), (46.01, 66.58, 74.17, 81.39, 30.63)),
    "Baseline+ADM": ((58.92, 73.01, 78.42, 83.77, 44.50), (62.58, 77.03, 81.88, 86.27, 46.55)),
    "Baseline+FRM-STIG": ((61.13, 76.00, 81.17, 85.89, 44.80), (63.74, 78.05, 83.02, 87.43, 46.34)),
    "Baseline+ASAM+ADM": ((60.27, 74.78, 80.63, 85.51, 46.09), (63.01, 77.19, 82.21, 86.41, 48.05)),
    "Baseline+ASAM+ADM+FR-E-TI": ((63.92, 77.47, 82.61, 87.04, 48.56), (66.42, 79.92, 84.53, 88.78, 50.40)),
    "Baseline+ASAM+ADM+FRM-STIG*": ((64.07, 77.44, 83.25, 87.35, 48.79), (65.78, 79.60, 84.60, 88.66, 50.57)),
    "Baseline+ASAM+ADM+FRM-STIG": ((65.31, 77.86, 82.66, 87.35, 49.49), (67.66, 80.74, 85.13, 89.14, 51.76)),
    "LbA": ((46.38, 65.29, 72.23, 79.41, 30.69), (49.30, 69.27, 75.90, 82.21, 32.38)),
    "MPANet": ((46.51, 63.07, 70.51, 77.77, 35.26), (50.32, 67.31, 73.56, 79.66, 37.80)),
    "DDAG": ((54.62, 69.79, 76.05, 81.50, 39.26), (59.03, 74.64, 79.53, 84.04, 41.50)),
    "VSD": ((54.53, 70.01, 76.28, 82.01, 41.18), (57.52, 73.66, 79.38, 83.61, 43.35)),
    "CAJL": ((56.59, 73.49, 79.52, 84.05, 41.49), (60.13, 74.62, 79.86, 84.53, 42.81)),
    "MITML": ((63.74, 76.88, 81.72, 86.28, 45.31), (64.54, 78.96, 82.98, 87.10, 47.69)),
}
PRINTED: dict[str, dict[Direction, dict[str, float]]] = {
    name: {d: dict(zip(FIGURES, values, strict=True)) for d, values in zip(DIRECTIONS, both, strict=True)}
    for name, both in _PRINTED.items()
}
PRINTED["Proposed*"], PRINTED["Proposed"] = PRINTED["Baseline+ASAM+ADM"], PRINTED["Baseline+ASAM+ADM+FRM-STIG"]


def rows_of(table: Mapping[str, Row], names: Sequence[str] | None = None) -> list[Row]:
    """The rows with these names, in the table's order; all rows if none is named."""
    for name in names or ():
        if name not in table:
            raise SettingsError(f"--rows must be of {', '.join(table)}; got {name}{nearest(name, table)}")
    return [row for name, row in table.items() if not names or name in names]


def read_rows(path: Path) -> list[Row]:
    """Rows from a YAML file, `name: {section.key: value, ..., builds_on: name, method: name}`.

    Without `builds_on` a row is compared with the first only; with `method` it starts from that method's preset.
    """
    try:
        tree = load_yaml(read_regular(path).decode())
    except SettingsError as error:
        raise SettingsError(f"{path}, {error}") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read as rows: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as rows: {' '.join(str(error).split())}") from error
    if not isinstance(tree, Mapping) or not tree:
        raise SettingsError(f"{path}: must hold rows, `name: {{section.key: value}}`; got {type(tree).__name__}")
    rows: list[Row] = []
    for name, changes in tree.items():
        if not isinstance(changes, Mapping | None):
            raise SettingsError(f"{path}: row {name} must hold section.key: value; got {type(changes).__name__}")
        rows.append(_row(path, _name(path, name), dict(changes or {}), rows))
    return rows


def _name(path: Path, name: Any) -> str:
    """A row's name as text that stands in one line of a table."""
    text = shortened(name) if isinstance(name, int) else str(name)
    if not text or len(text) > LONGEST_NAME or text != text.strip() or not text.isprintable():
        raise SettingsError(
            f"{path}: a row's name must be one line of 1 to {LONGEST_NAME} characters without blanks at its ends; "
            f"got {shortened(text)}"
        )
    return text


def _row(path: Path, name: str, changes: dict[Any, Any], before: Sequence[Row]) -> Row:
    base = changes.pop("builds_on", before[0].name if before else None)
    base = None if base is None else str(base)
    if base is not None and base not in {row.name for row in before}:
        raise SettingsError(f"{path}: row {name} builds on {base}, which must be a row above it; there is no such row")
    method = changes.pop("method", None)
    for key, instead in (("seed", "pass --seeds"), ("preset", "pass --preset, or name the row's method")):
        if key in changes:
            raise SettingsError(f"{path}: row {name}: {key} must be left out of a row; {instead}")
    try:
        overrides = tuple(f"{key}={_flow(value)}" for key, value in changes.items())
    except ValueError as error:  # Python writes out no whole number of thousands of digits
        raise SettingsError(f"{path}: row {name}: a value cannot be written out: {error}") from error
    return Row(name, overrides, base, None if method is None else str(method))


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("...").strip()
