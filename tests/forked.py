"""Processes of their own that have torch at once: forked from one that has imported it and done nothing else.

A new Python needs six seconds of a processor until it trains; such a fork needs none, and shares as little with the
process that asks for it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

LOADED = ["torch", "lightning_fabric", "numba", "pytest", "duskmatch.cli", "duskmatch.training", "duskmatch.synthetic"]
LOADED += ["duskmatch.embedding", "duskmatch.experiments.grids.running"]


class Forked(ForkServerProcess):
    """As if it had been spawned: in the environment of its starter, which it takes for its parent."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._environment, self._starter = dict(os.environ), os.getpid()

    def run(self) -> None:
        import torch

        os.environ.clear()
        os.environ.update(self._environment)
        os.getppid = lambda: self._starter
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        super().run()


class Context(ForkServerContext):
    """In the place of `multiprocessing.get_context("spawn")`."""

    Process = Forked  # type: ignore[assignment]


CONTEXT = Context()
CONTEXT.set_forkserver_preload(LOADED)


class Done(NamedTuple):
    returncode: int
    output: str


class Program:
    """A program that runs as `python -c SOURCE WORDS...` would, with more in its environment."""

    def __init__(self, source: str, *words: object, **environment: object) -> None:
        file, output = tempfile.mkstemp()
        os.close(file)
        self._output = Path(output)
        more = {name: str(value) for name, value in environment.items()}
        arguments = (source, [str(word) for word in words], more, output)
        self.process = CONTEXT.Process(target=_execute, args=arguments, daemon=True)  # it does not outlive the tests
        self.process.start()

    def wait(self) -> Done:
        self.process.join()
        output = self._output.read_text()
        self._output.unlink()
        return Done(self.process.exitcode or 0, output)


def run(source: str, *words: object) -> Done:
    """What a program printed, and its return code: below 0 the signal that killed it."""
    return Program(source, *words).wait()


def _execute(source: str, words: list[str], environment: dict[str, str], output: str) -> None:
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.argv = ["-c", *words]
    exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
