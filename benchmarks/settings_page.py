"""Fills docs/training.md's table from the settings' own descriptions: python -m benchmarks.settings_page"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from duskmatch.config import Settings, described_keys

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
BLOCK = re.compile(r"(<!-- begin: settings -->\n).*?(<!-- end -->\n)", re.DOTALL)


def table() -> str:
    """Every setting with its default and what it means, in the order of --print_config."""
    defaults = Settings().model_dump(mode="json")
    lines = ["| Setting | Default | Meaning |", "|---|---|---|"]
    for key, text in described_keys().items():
        value = defaults
        for part in key.split("."):
            value = value[part]
        lines.append(f"| `{key}` | `{as_yaml(value)}` | {text} |")
    return "\n".join(lines) + "\n"


def as_yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def filled(text: str) -> str:
    return BLOCK.sub(lambda found: found[1] + table() + found[2], text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
