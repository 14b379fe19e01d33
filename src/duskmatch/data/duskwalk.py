"""The reader of Duskwalk: HITSZ-VCM's layout with a duskwalk.json at its root."""

from __future__ import annotations

import json
from pathlib import Path

from duskmatch.data.dataset import Dataset, open_layout
from duskmatch.data.problems import Problem, Report
from duskmatch.files import read_regular
from duskmatch.records import HITSZ_VCM, Protocol

MARKER = "duskwalk.json"


def open_duskwalk(root: Path, report: Report, protocol: Protocol = HITSZ_VCM) -> Dataset:
    """A generated set of walking people; always synthetic."""
    try:
        facts = json.loads(read_regular(root / MARKER))
        version = str(facts["data_version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        facts, version = {}, ""
        text = "it must be JSON with a data_version and is damaged; write the set again"
        report(Problem("malformed", MARKER, None, text))
    return open_layout(root, report, name="Duskwalk", version=version, synthetic=True, facts=facts)
