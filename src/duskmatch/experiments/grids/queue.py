"""Cells run side by side, each in a process of its own, until none is left; what failed is named at the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from duskmatch.errors import DuskmatchError
from duskmatch.experiments.grids.cells import Cell, Scoring
from duskmatch.experiments.grids.running import run_cell
from duskmatch.interrupts import interrupts_blocked


class Running(NamedTuple):
    cell: Cell
    process: SpawnProcess
    pipe: Connection


def run_cells(
    cells: Sequence[Cell],
    scoring: Scoring,
    *,
    at_once: int,
    on_step: Callable[[Cell, int, int], None],
    on_end: Callable[[Cell, str | None], None],
) -> dict[str, str]:
    """Runs them in this order, `at_once` at a time; returns why a cell failed, by its folder's path.

    `on_step` hears a cell, its iterations done, and of how many. A cell that fails does not stop the others.
    Ctrl-C and SIGTERM end all of them after their iteration, saved.
    """
    waiting, running, failed = list(cells), [], {}  # type: list[Cell], list[Running], dict[str, str]
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_begin(waiting.pop(0), scoring))
            for pipe in wait([r.pipe for r in running]):
                one = next(r for r in running if r.pipe is pipe)
                message = _received(one)
                if isinstance(message, tuple):
                    on_step(one.cell, *message)
                    continue
                running.remove(one)
                one.process.join()
                if message:
                    failed[str(one.cell.folder)] = message
                on_end(one.cell, message or None)
    finally:
        for one in running:
            if one.process.pid and one.process.is_alive():
                os.kill(one.process.pid, signal.SIGTERM)  # training saves its iteration and leaves
        for one in running:
            one.process.join()
    return failed


def _begin(cell: Cell, scoring: Scoring) -> Running:
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's locks
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(cell, scoring, theirs, os.getpid()), name=f"{cell.row}, seed {cell.seed}"
    )
    with interrupts_blocked():
        process.start()
    theirs.close()
    return Running(cell, process, ours)


def _received(one: Running) -> tuple[int, int] | str:
    """Progress, "" for done, or why it failed."""
    try:
        message: tuple[int, int] | str = one.pipe.recv()
        return message
    except EOFError:
        one.process.join()
        return f"its process ended with status {one.process.exitcode}; want of memory, most likely"


def _work(cell: Cell, scoring: Scoring, pipe: Connection, parent: int) -> None:
    """In the cell's own process."""

    def on_step(done: int, total: int) -> None:
        if os.getppid() != parent:  # the parent was killed: save and end
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if done % 10 == 0 or done == total:
            pipe.send((done, total))

    try:
        run_cell(cell, scoring, on_step)
        pipe.send("")
    except (DuskmatchError, OSError) as error:
        pipe.send(" ".join(str(error).split()))
    except KeyboardInterrupt:
        pipe.send("stopped")
