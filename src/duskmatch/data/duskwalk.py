"""The reader of Duskwalk: HITSZ-VCM's layout with a duskwalk.json at its root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duskmatch.data.dataset import Dataset, open_layout
from duskmatch.data.problems import Problem, Report
from duskmatch.errors import first_fault
from duskmatch.files import read_regular
from duskmatch.json_text import strict_json
from duskmatch.records import HITSZ_VCM, Protocol

MARKER = "duskwalk.json"
Whole = Annotated[int, Field(ge=0, lt=2**63)]


class Facts(BaseModel):
    """What duskwalk.json must hold for a set to be used; older sets lack some of it, and more may follow."""

    model_config = ConfigDict(strict=True)
    data_version: str
    preset: str | None = None
    seed: Whole | None = None
    vary: str | None = None
    severity: Whole | None = None
    twins: str | None = None
    test_people: Whole | None = None
    size: Annotated[list[Whole], Field(min_length=2, max_length=2)] | None = None
    pools: dict[str, dict[str, Whole]] | None = None


def open_duskwalk(root: Path, report: Report, protocol: Protocol = HITSZ_VCM) -> Dataset:
    """A generated set of walking people; always synthetic."""
    try:
        facts: dict[str, Any] = strict_json(read_regular(root / MARKER))
        version = facts["data_version"]
        Facts.model_validate(facts)
    except ValidationError as error:
        facts, version = {}, ""
        report(Problem("malformed", MARKER, None, f"it is damaged: {first_fault(error)}; write the set again"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        facts, version = {}, ""
        text = "it must be JSON with a data_version and is damaged; write the set again"
        report(Problem("malformed", MARKER, None, text))
    return open_layout(root, report, name="Duskwalk", version=version, synthetic=True, facts=facts)
