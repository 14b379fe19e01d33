"""The folder of a counterfactual test: which films it is for, and what must not be counted or checked twice.

DIR/plan.json is written first. A folder with other files but no plan.json is refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from duskmatch.data import Dataset
from duskmatch.errors import OutputError
from duskmatch.evaluation import count_test_reads, note_test_read
from duskmatch.experiments.counterfactual.cast import film_again
from duskmatch.experiments.counterfactual.films import Cast
from duskmatch.files import check_folder, only_writer, prepare_folder, write_json

FILE = "plan.json"
BUSY = "is being written by another process; wait for it or choose another DIR"


class Plan(BaseModel):
    """plan.json. `reads`: SHA-256 of a RUN's weights -> count of readings of the test people, this one included."""

    model_config = ConfigDict(extra="forbid")
    fingerprint: str
    preset: str
    seed: int
    twins: str | None
    n_people: int
    refilmed: dict[str, int] = {}
    reads: dict[str, int | None] = {}


def prepare(out: Path, dataset: Dataset, cast: Cast, *, overwrite: bool, inputs: Sequence[Path]) -> None:
    """Prepares an empty folder, or one of the same test to continue; any other is refused."""
    if overwrite:
        check_folder(out, overwrite=True, inputs=inputs)
        if out.is_dir():
            with only_writer(out, BUSY):
                prepare_folder(out, overwrite=True)
    plan = read(out)
    if plan is None:
        if not out.is_dir() or any(not path.name.startswith(f".{FILE}.") for path in out.iterdir()):
            prepare_folder(out)
        return
    own, asked = plan.model_dump(include=set(_facts(dataset, cast))), _facts(dataset, cast)
    wrong = next((key for key, value in asked.items() if own[key] != value), None)
    if wrong:
        rule = f"holds a counterfactual test of other films: {wrong} must be {asked[wrong]}; got {own[wrong]}"
        raise OutputError(f"{out} {rule}; choose another DIR or pass --overwrite")


def begin(out: Path, dataset: Dataset, cast: Cast) -> Plan:
    """The plan, written, after a check that this duskmatch generates the pictures of DATASET."""
    plan = read(out) or Plan(**_facts(dataset, cast))
    write(out, plan)
    if not plan.refilmed:
        plan.refilmed = film_again(dataset, cast, out / "check")._asdict()
        write(out, plan)
    shutil.rmtree(out / "check", ignore_errors=True)  # of a run that was killed
    return plan


def note_reading(out: Path, plan: Plan, dataset: Dataset, weights: str) -> None:
    """Counts one reading of the test people for these weights, only once even if the command is killed and repeated.

    The expected count is written to the plan before the reading is counted, so a repeated command knows if it was.
    """
    before = count_test_reads(dataset.fingerprint)
    if weights not in plan.reads:
        plan.reads[weights] = None if before is None else before + 1
        write(out, plan)
    wanted = plan.reads[weights]
    if wanted is not None and before is not None and before < wanted:
        note_test_read(dataset.fingerprint, dataset.name)


def read(out: Path) -> Plan | None:
    path = out / FILE
    if not path.is_file():
        return None
    try:
        return Plan.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise OutputError(f"{path} is damaged; choose another DIR or pass --overwrite") from error


def write(out: Path, plan: Plan) -> None:
    write_json(out / FILE, plan.model_dump(mode="json"))


def _facts(dataset: Dataset, cast: Cast) -> dict[str, Any]:
    return {
        "fingerprint": dataset.fingerprint, "preset": cast.preset, "seed": cast.seed, "twins": cast.twins,
        "n_people": cast.n_people,
    }  # fmt: skip
