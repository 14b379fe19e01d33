"""Runs cells in parallel, each in its own process."""

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
    """Runs cells in this order, `at_once` at a time; returns folder of a failed cell -> why it failed.

    `on_step` gets a cell, its finished iterations and their total; `on_end` a cell, and why it failed or None. A cell
    that fails does not stop the others. On Ctrl-C and SIGTERM all save after their iteration and end.
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
    """(iterations done, total), or at the end "" or the reason of a failure."""
    try:
        message: tuple[int, int] | str = one.pipe.recv()
        return message
    except EOFError:
        one.process.join()
        return f"its process ended with status {one.process.exitcode}, most likely for lack of memory"


def _work(cell: Cell, scoring: Scoring, pipe: Connection, parent: int) -> None:
    """Runs a cell in its own process and sends progress and outcome through the pipe."""

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
