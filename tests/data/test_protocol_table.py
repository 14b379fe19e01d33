"""The table of protocols in docs/datasets.md is that of the records."""

from __future__ import annotations

from pathlib import Path

from duskmatch.data import DATASETS
from duskmatch.data.own import OWN
from duskmatch.data.regdb import REGDB
from duskmatch.evaluation.words import ARROWS, FURTHER
from duskmatch.records import COUNTED, REMOVED, Protocol

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
HEAD = (
    "| data | `--protocol` | pair | query | gallery | removed | CMC counts | trials | frames |",
    "|---|---|---|---|---|---|---|---|---|",
)


def rows_of(kind: str, protocol: Protocol) -> list[str]:
    """One line for each pair of a protocol; a set of splits, each trained apart, is one protocol."""
    variant, trials = protocol.variant, len(protocol.trials)
    if protocol.trained_apart:
        variant, trials = "`split-1` to `split-10`", len(REGDB.trials)
    else:
        variant = f"`{variant}`"
    return [
        f"| {kind} | {variant} | {(ARROWS | FURTHER)[pair.name]}{'' if pair.published else ' *'} | {pair.query} "
        f"| {pair.gallery} | {REMOVED[protocol.camera_rule]} | {COUNTED[protocol.cmc]} "
        f"| {trials}: {protocol.trial_definition} | {'as set' if protocol == OWN else protocol.frames_per_clip} |"
        for pair in protocol.pairs
    ]


def table() -> list[str]:
    """All lines of the table."""
    lines = list(HEAD)
    for kind, reader in DATASETS.items():
        for protocol in reader.protocols[:1] if reader.protocols[0].trained_apart else reader.protocols:
            lines += rows_of(kind, protocol)
    return lines


def test_the_page_has_the_table_of_the_records() -> None:
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8"), "\n" + "\n".join(table())
