"""What an iteration of each row costs, and how many make equal seconds: python -m benchmarks.step_seconds DATASET

One thread on a quiet core. Rows take turns, so that what else the machine does meets all of them; medians. Writes
benchmarks/results/step_seconds.json, by which docs/studies.md fixes each row's iterations before anything is trained.
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

from benchmarks.harness import RESULTS

ROUNDS = 9
PRESET = "small"


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
        whole = sum(each[stage] * n for stage, n in self.n_steps.items())
        return {
            "seconds_an_iteration": {str(stage): round(value, 4) for stage, value in each.items()},
            "iterations": {str(stage): n for stage, n in self.n_steps.items()},
            "seconds": round(whole, 1),
            "steps_per_epoch": self.steps_per_epoch,
        }


def main(data: str) -> None:
    import torch

    from duskmatch.data import open_dataset
    from duskmatch.embedding.machine import describe, keep_memory, versions

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
    found = {name: row.figures() for name, row in timed.items()}
    longest = found["Baseline+ASAM+ADM+FRM-STIG"]["seconds"]
    for figures in found.values():
        figures["steps_per_epoch_for_equal_seconds"] = max(
            1, round(figures["steps_per_epoch"] * longest / figures["seconds"])
        )
    document = {
        "what": "one iteration of each stage, one thread, medians of rounds in turns",
        "rounds": ROUNDS,
        "rows": found,
        "machine": describe(),
        "versions": versions(),
    }
    (RESULTS / "step_seconds.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, figures in found.items():
        print(f"{name:28} {figures['seconds']:7.0f} s  {figures['steps_per_epoch_for_equal_seconds']} an epoch")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("python -m benchmarks.step_seconds DATASET")
    main(sys.argv[1])
