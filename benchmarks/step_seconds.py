"""What an iteration of each row costs, and how many make equal seconds: python -m benchmarks.step_seconds DATASET

One thread on a quiet core. Rows take turns, so that what else the machine does meets all of them; medians. Writes
benchmarks/results/step_seconds.json and the rows that follow from it, before anything is trained:
benchmarks/studies/equal_seconds.yaml, long.yaml and table2.yaml. `python -m benchmarks.step_seconds` writes the rows
from the figures that are there.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from benchmarks.harness import RESULTS

STUDIES = Path(__file__).parent / "studies"
FIGURES = RESULTS / "step_seconds.json"
ROUNDS = 9
PRESET = "small"
FULL, SHORT_NAME = "Baseline+ASAM+ADM+FRM-STIG", "Full"
LONGER = 4  # times Full's seconds
ALONE = {"train.stage0_epochs": 0, "train.stage1_epochs": 44, "train.stage2_epochs": 22}  # Full without stage 0

Rows = dict[str, dict[str, Any]]


def rows() -> dict[str, tuple[str, list[str]]]:
    """Name -> preset and overrides: Table I, and the methods of Table II."""
    from duskmatch.experiments.grids.variants import TABLE1, TABLE2

    found = {name: (PRESET, list(row.overrides)) for name, row in TABLE1.items()}
    return found | {name: (f"{row.method}-{PRESET}", []) for name, row in TABLE2.items() if row.method}


class Timed:
    """One row in memory, an iteration of any of its stages at a time."""

    def __init__(self, preset: str, overrides: list[str], dataset: Any, folder: Path) -> None:
        from duskmatch.config import load_settings
        from duskmatch.training import Watcher
        from duskmatch.training.iteration import epoch_batches
        from duskmatch.training.trainer import prepare

        settings = load_settings(preset, overrides=[*overrides, "train.log_every=1000000"])
        self.trainer = prepare(settings, dataset, folder, device="cpu", watcher=Watcher())
        self.trainer.model.train()
        self.trainer.progress.update(n_clipped=0, defense_accuracy=1.0)
        train = settings.train
        epochs = {0: train.stage0_epochs, 1: train.stage1_epochs, 2: train.stage2_epochs}
        self.steps_per_epoch = self.trainer.schedule.steps_per_epoch
        self.n_steps = {stage: n * self.steps_per_epoch for stage, n in epochs.items() if n}
        first = {0: 0, 1: train.stage0_epochs, 2: train.stage0_epochs + train.stage1_epochs}
        self.at = {stage: first[stage] * self.steps_per_epoch + 1 for stage in self.n_steps}
        self.batches = {stage: list(islice(epoch_batches(self.trainer, first[stage], 0), 2)) for stage in self.n_steps}
        self.seconds: dict[int, list[float]] = {stage: [] for stage in self.n_steps}

    def turn(self, number: int) -> None:
        from duskmatch.training.iteration import one_iteration

        for stage, batches in self.batches.items():
            self.trainer.step = self.at[stage]
            begin = time.perf_counter()
            one_iteration(self.trainer, batches[number % len(batches)], begin)
            if number:
                self.seconds[stage].append(time.perf_counter() - begin)

    def figures(self) -> dict[str, Any]:
        each = {stage: statistics.median(found) for stage, found in self.seconds.items()}
        return {
            "seconds_an_iteration": {str(stage): round(value, 4) for stage, value in each.items()},
            "iterations": {str(stage): n for stage, n in self.n_steps.items()},
            "steps_per_epoch": self.steps_per_epoch,
        }


def measured(data: str) -> dict[str, Any]:
    """The document of step_seconds.json."""
    import torch

    from duskmatch.data import open_dataset
    from duskmatch.machine import describe, keep_memory, versions

    torch.set_num_threads(1)
    keep_memory()
    dataset = open_dataset(data)
    with tempfile.TemporaryDirectory() as folder:
        timed = {}
        for name, (preset, overrides) in rows().items():
            timed[name] = Timed(preset, overrides, dataset, Path(folder) / str(len(timed)))
        for number in range(ROUNDS + 1):
            for row in timed.values():
                row.turn(number)
            print(f"round {number} of {ROUNDS}", flush=True)
    return {
        "what": "one iteration of each stage, one thread, medians of rounds in turns",
        "rounds": ROUNDS,
        "rows": {name: row.figures() for name, row in timed.items()},
        "machine": describe(),
        "versions": versions(),
    }


def steps_for(seconds: float, cost: dict[str, float], epochs: dict[str, int]) -> dict[str, int]:
    """The iterations of an epoch with which these epochs take that many seconds, of one cost a stage."""
    return {"train.steps_per_epoch": max(1, round(seconds / sum(n * cost[stage] for stage, n in epochs.items())))}


def costs_of(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds of an iteration of each row and stage; Table I's rows have stage 0 in common, the median of all eight."""
    from duskmatch.experiments.grids.variants import TABLE1

    found = {name: dict(figures["seconds_an_iteration"]) for name, figures in document["rows"].items()}
    common = statistics.median(found[name]["0"] for name in TABLE1)
    return {name: cost | {"0": common} if name in TABLE1 else cost for name, cost in found.items()}


def studies_of(document: dict[str, Any]) -> dict[str, tuple[str, Rows]]:
    """The files of rows by name, each with its first line."""
    from duskmatch.experiments.grids.variants import TABLE1, TABLE2

    found, costs = document["rows"], costs_of(document)
    epochs = {
        name: {stage: n // figures["steps_per_epoch"] for stage, n in figures["iterations"].items()}
        for name, figures in found.items()
    }
    whole = sum(n * costs[FULL][stage] for stage, n in found[FULL]["iterations"].items())

    def row(name: str, times: float = 1) -> dict[str, Any]:
        given = {key: yaml.safe_load(value) for key, value in (o.split("=", 1) for o in TABLE1[name].overrides)}
        return given | ({} if (name, times) == (FULL, 1) else steps_for(whole * times, costs[name], epochs[name]))

    equal = {"Baseline": row("Baseline"), SHORT_NAME: row(FULL)}
    equal |= {name: row(f"Baseline+{name}") | {"builds_on": "Baseline"} for name in ("ASAM+ADM", "FRM-STIG")}
    alone = row(FULL, LONGER) | ALONE
    its_epochs = {"1": ALONE["train.stage1_epochs"], "2": ALONE["train.stage2_epochs"]}
    alone |= steps_for(whole * LONGER, costs[FULL], its_epochs)
    long = {
        "Baseline": row("Baseline"),
        SHORT_NAME: row(FULL),
        f"Baseline, {LONGER} times": row("Baseline", LONGER),
        f"{SHORT_NAME}, {LONGER} times": row(FULL, LONGER) | {"builds_on": SHORT_NAME},
        f"{SHORT_NAME} without stage 0, {LONGER} times": alone | {"builds_on": f"{SHORT_NAME}, {LONGER} times"},
    }
    table2: Rows = {"Baseline": row("Baseline")}
    for name, line in TABLE2.items():
        if line.method:
            table2[name] = {"method": line.method} | steps_for(whole, costs[name], epochs[name])
    table2["Proposed"] = row(FULL)
    return {
        "equal_seconds": ("Full, and rows without some of its parts for as many seconds of one core.", equal),
        "long": (f"As many seconds as Full, and {LONGER} times as many.", long),
        "table2": ("The compared methods of Table II for as many seconds as Full; none of them is tuned.", table2),
    }


def write_studies(document: dict[str, Any]) -> None:
    for name, (line, found) in studies_of(document).items():
        text = yaml.safe_dump(found, sort_keys=False, width=1000)
        head = f"# {line}\n# Written by benchmarks/step_seconds.py from benchmarks/results/{FIGURES.name}.\n"
        (STUDIES / f"{name}.yaml").write_text(head + text, encoding="utf-8")
        print(f"{name}.yaml")


def main(arguments: list[str]) -> None:
    if arguments:
        document = measured(arguments[0])
        FIGURES.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    document = json.loads(FIGURES.read_text(encoding="utf-8"))
    for name, cost in costs_of(document).items():
        seconds = sum(n * cost[stage] for stage, n in document["rows"][name]["iterations"].items())
        print(f"{name:28} {seconds:7.0f} s  {cost}")
    write_studies(document)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        raise SystemExit("python -m benchmarks.step_seconds [DATASET]")
    main(sys.argv[1:])
