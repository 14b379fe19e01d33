"""Paired measurement: ours and what a user would run instead, in turns, each in a fresh process.

A script of this folder lists its `WORKS`; `python -m benchmarks.harness ranking` measures them, `--work NAME` one of
them, and writes benchmarks/results/bench_NAME.json, which `python -m benchmarks.performance_page` makes into the
table and the picture of docs/performance.md. Only ratios of one run mean something: the machines are shared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SCHEMA_VERSION = 1
MIB = 2**20
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What is to be reached; any of the three, and the words of the table."""

    words: str
    ratio: float | None = None  # alternative's seconds / ours, for the same amount of work, at least
    rate: float | None = None  # ours, amount per second, at least
    peak_mib: float | None = None  # ours, at most


@dataclass(frozen=True)
class Work:
    """One row of the table. `ours` and `alternative` set up, then measure inside `meter` and return its numbers."""

    name: str
    what: str
    unit: str  # of `amount`: what is done so many of, per second
    ours: Callable[[], Numbers]
    alternative: Callable[[], Numbers]
    ours_is: str
    alternative_is: str
    goal: Goal
    rounds: int = 5
    # (unit of the limit, how much of it one `amount` costs); the units are those of LIMITS
    cost: tuple[str, float] | None = None
    same: tuple[str, ...] = ()  # names in the returned numbers that must agree between both
    notes: list[str] = field(default_factory=list)


@contextmanager
def meter(amount: float = 1.0) -> Iterator[Numbers]:
    """Fills in seconds, amount and the peak of resident memory above the level at entry."""
    numbers: Numbers = {"amount": amount}
    _reset_peak()
    level = memory_mib("VmRSS")
    begin = time.perf_counter()
    yield numbers
    numbers["seconds"] = time.perf_counter() - begin
    numbers["peak_mib"] = max(memory_mib("VmHWM") - level, 0.0)


def _reset_peak() -> None:
    """Linux: the high-water mark starts again from here. Elsewhere the figure is the whole process's peak."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def memory_mib(field_name: str) -> float:
    """A line of the process's memory status, in MiB; 0 where the system has none."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    line = next((line for line in text.splitlines() if line.startswith(field_name + ":")), None)
    return float(line.split()[1]) / 1024 if line else 0.0


def limit(unit: str) -> dict[str, float]:
    """What this machine does a second of that unit at its best; nothing where it cannot be measured here."""
    value = LIMITS[unit]()
    return {} if value is None else {unit: value}


def _product(dtype: str, size: int = 2048) -> float:
    import torch

    a, b = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / 1e9 / _best(lambda: a @ b)


def _copied() -> float:
    import torch

    source = torch.ones(64 * MIB // 4)
    target = torch.empty_like(source)
    return 2 * source.nbytes / 1e9 / _best(lambda: target.copy_(source))


def _register_peak() -> float | None:
    """GFLOP/s of bf16 between registers, where the CPU has AVX-512's and there is a compiler."""
    from duskmatch.machine import describe

    compiler = shutil.which("cc")
    if not compiler or "AVX-512 bf16" not in describe():  # with AMX another unit is the faster one
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("peak_bf16.c")
        command = [compiler, "-O3", "-mavx512f", "-mavx512bf16", str(source), "-o", str(program)]
        if subprocess.run(command, capture_output=True).returncode:
            return None
        said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return float(said.split()[0])


def _decoded(way: str) -> float:
    """600x300 pictures by OpenCV's decoder alone."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8), (300, 600))
    noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return 1 / _best(lambda: cv2.imdecode(data, getattr(cv2, way)), 40)


# Unit -> how it is measured.
LIMITS: dict[str, Callable[[], float | None]] = {
    "fp32 GFLOP": lambda: _product("float32"),
    "bf16 GFLOP": lambda: _product("bfloat16"),
    "bf16 peak GFLOP": _register_peak,
    "GB copied": _copied,  # read and written
    "JPEG decoded": lambda: _decoded("IMREAD_COLOR"),
    "half JPEG decoded": lambda: _decoded("IMREAD_REDUCED_COLOR_2"),
}


def _best(function: Callable[[], Any], repeats: int = 7) -> float:
    function()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def run_rounds(script: str, work: Work) -> dict[str, Any]:
    """Alternating rounds, each contender in a process of its own; the result in the schema of the folder."""
    found: dict[str, list[Numbers]] = {"ours": [], "alternative": []}
    peaks = in_fresh_process(script, work.name, "limit") if work.cost else {}
    for number in range(work.rounds):
        for who in ("ours", "alternative") if number % 2 == 0 else ("alternative", "ours"):
            found[who].append(in_fresh_process(script, work.name, who))
            print(f"  {work.name} round {number + 1} {who}: {found[who][-1]['seconds']:.3f} s", flush=True)
    for name in work.same:
        values = {json.dumps(numbers[name]) for side in found.values() for numbers in side}
        if len(values) > 1:
            raise SystemExit(f"{work.name}: {name} must be the same for both; got {', '.join(sorted(values))}")
    return result(work, found, peaks)


def in_fresh_process(script: str, work: str, who: str) -> Numbers:
    command = [sys.executable, "-m", "benchmarks.harness", script, "--work", work, "--only", who]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{script} {work} {who} failed:\n{done.stderr[-3000:]}")
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    return numbers


def result(work: Work, found: dict[str, list[Numbers]], peaks: dict[str, float]) -> dict[str, Any]:
    import torch

    from duskmatch.machine import describe, versions

    sides = {who: side(numbers) for who, numbers in found.items()}
    pairs = zip(found["ours"], found["alternative"], strict=True)
    ratios = [per_amount(theirs) / per_amount(own) for own, theirs in pairs]
    limit = None
    if work.cost and work.cost[0] in peaks:
        unit, cost = work.cost
        limit = {"unit": unit, "per_second": peaks[unit], "cost": cost}
        limit["share"] = sides["ours"]["per_second"]["median"] * cost / peaks[unit]
        limit["share_alternative"] = sides["alternative"]["per_second"]["median"] * cost / peaks[unit]
    return {
        "schema_version": SCHEMA_VERSION,
        "work": work.name,
        "what": work.what,
        "unit": work.unit,
        "ours": {"name": work.ours_is, **sides["ours"]},
        "alternative": {"name": work.alternative_is, **sides["alternative"]},
        "ratio": spread(ratios),
        "goal": work.goal.words,
        "met": met(work.goal, spread(ratios)["median"], sides["ours"]),
        "limit": limit,
        "rounds": work.rounds,
        "notes": [*work.notes, *sorted({n["note"] for side in found.values() for n in side if "note" in n})],
        "machine": describe(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def per_amount(numbers: Numbers) -> float:
    return float(numbers["seconds"] / numbers["amount"])


def side(rounds: list[Numbers]) -> dict[str, Any]:
    return {
        "seconds": spread([n["seconds"] for n in rounds]),
        "per_second": spread([n["amount"] / n["seconds"] for n in rounds]),
        "peak_mib": max(n["peak_mib"] for n in rounds),
        **{k: v for k, v in rounds[-1].items() if k not in ("seconds", "amount", "peak_mib", "note")},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def met(goal: Goal, ratio: float, ours: dict[str, Any]) -> bool:
    """Whether every part of the goal that is set is reached."""
    return (
        (goal.ratio is None or ratio >= goal.ratio)
        and (goal.rate is None or ours["per_second"]["median"] >= goal.rate)
        and (goal.peak_mib is None or ours["peak_mib"] <= goal.peak_mib)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", help="a file of this folder, without .py")
    parser.add_argument("--work", help="one of its works; all without")
    parser.add_argument("--rounds", type=int, help="other than each work's own")
    parser.add_argument("--only", choices=("ours", "alternative", "limit"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    works: dict[str, Work] = {work.name: work for work in importlib.import_module(f"benchmarks.{args.script}").WORKS}
    if args.only:
        work = works[args.work]
        print(json.dumps(limit(work.cost[0]) if args.only == "limit" and work.cost else getattr(work, args.only)()))
        return
    if args.work and args.work not in works:
        raise SystemExit(f"--work must be one of {', '.join(works)}; got {args.work}")
    RESULTS.mkdir(exist_ok=True)
    for name in [args.work] if args.work else works:
        from dataclasses import replace

        work = replace(works[name], rounds=args.rounds) if args.rounds else works[name]
        print(f"{name}: {work.what}", flush=True)
        document = run_rounds(args.script, work)
        path = RESULTS / f"bench_{name}.json"
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        ratio = document["ratio"]
        share = f", {100 * document['limit']['share']:.0f} % of the limit" if document["limit"] else ""
        print(
            f"  ratio {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f}){share}, "
            f"{document['ours']['peak_mib']:.0f} MiB; goal {document['goal']}: "
            f"{'reached' if document['met'] else 'MISSED'}",
            flush=True,
        )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
