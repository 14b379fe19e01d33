"""docs/motion.md and docs/probes.md: their commands parse, their tables name every key of the documents."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from duskmatch.embedding.layers import LAYERS
from duskmatch.experiments.motion.document import MotionDocument
from duskmatch.experiments.motion.orders import ORDERS
from duskmatch.experiments.probes.document import ProbesDocument
from duskmatch.experiments.probes.nuisances import PROBES
from tests.experiments.conftest import parsed

DOCS = Path(__file__).parents[2] / "docs"
TEXTS = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("motion", "probes")}


@pytest.mark.parametrize("name", TEXTS)
def test_commands_parse(name: str) -> None:
    lines = re.findall(rf"^duskmatch reproduce {name} (.*?)(?:  +#.*)?$", TEXTS[name], re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        args = parsed(name, *shlex.split(line))
        assert args.runs and args.out == Path("DIR") and args.split in ("test", "validation")


@pytest.mark.parametrize(("name", "schema"), [("motion", MotionDocument), ("probes", ProbesDocument)])
def test_every_key_of_the_document_is_named(name: str, schema: type[MotionDocument | ProbesDocument]) -> None:
    found = schema.model_json_schema()
    shared = [key for key in ("RunFacts", "SetFacts", "MotionSet") if key in found["$defs"]]
    assert len(shared) == 2
    parts = {key: part for key, part in found["$defs"].items() if key not in shared}
    keys = {key for part in (found, *parts.values()) for key in part.get("properties", ())}
    facts = {key for part in shared for key in found["$defs"][part]["properties"]}
    assert not [key for key in keys if f"`{key}`" not in TEXTS[name]]
    assert not [key for key in facts if f"`{key}`" not in TEXTS["motion"]]


def test_orders_layers_and_probes_are_those_of_the_code() -> None:
    rows = [line.split("|")[1].strip() for line in TEXTS["motion"].splitlines() if line.startswith("| ")]
    assert rows[1:5] == list(ORDERS.values())
    rows = [line.split("|")[1].strip() for line in TEXTS["probes"].splitlines() if line.startswith("| ")]
    assert rows[1:5] == list(LAYERS.values())
    said = [word for row in rows[6:11] for word in row.split("; ")]
    assert said == [words.split(",")[0] for words in PROBES.values()]
