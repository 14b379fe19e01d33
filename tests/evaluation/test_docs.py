"""The examples in docs/evaluation.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from duskmatch.evaluation import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_python_examples_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert re.search(r"rank-1 0\.\d{3}, mAP 0\.\d{3}, mINP 0\.\d{3}\n40 queries, 0 left out, chance 0\.026", printed)


def test_every_key_of_the_document_is_in_its_table():
    text = PAGE.read_text(encoding="utf-8")
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        for key in part["properties"]:
            assert f"`{key}`" in text or key in ("rank5", "rank10"), key
