"""A run's log.csv, and the detector of collapsed embeddings."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from duskmatch.errors import SettingsError
from duskmatch.files import read_regular, refusal, write_csv
from duskmatch.models.network import Watched
from duskmatch.training.checkpoint import RESUME

logger = logging.getLogger("duskmatch")

BEFORE = ("step", "epoch", "stage", "seconds", "frames_per_s", "lr")
AFTER = ("width_over_people", "n_clipped", "validation_rank1", "validation_mAP")


class Log:
    """Writes log.csv: one row every `log_every` iterations."""

    def __init__(
        self, path: Path, logged: tuple[str, ...], *, keep_until: int, tensorboard: Path | None = None
    ) -> None:
        """`logged`: the method's own columns. Rows after iteration `keep_until`, the last saved one, are removed."""
        self.path, self.columns = path, (*BEFORE, *logged, *AFTER)
        self.board = _board(tensorboard, keep_until) if tensorboard is not None else None
        rows = [row for row in read_log(path) if row["step"] <= keep_until] if path.exists() else []
        write_csv(path, ({key: _short(row.get(key, "")) for key in self.columns} for row in rows), self.columns)
        try:
            self.file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise refusal(path, error, RESUME) from error
        self.writer = csv.DictWriter(self.file, self.columns, restval="", lineterminator="\n")

    def write(self, row: dict[str, Any]) -> None:
        try:
            self.writer.writerow({key: _short(value) for key, value in row.items() if key in self.columns})
            self.file.flush()
        except OSError as error:
            raise refusal(self.path, error, RESUME) from error
        if self.board is not None:
            for key, value in row.items():
                self.board.add_scalar(key, value, row["step"])

    def close(self) -> None:
        with suppress(OSError):  # each row was flushed, or reported, when it was written
            self.file.close()
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log.csv as numbers, empty cells left out; a row cut off by a killed process ends the list."""
    text = read_regular(path).decode(errors="replace")
    whole = text[: text.rfind("\n") + 1]  # a cut-off "12" may have been 120
    rows = []
    try:
        for row in csv.DictReader(io.StringIO(whole, newline="")):
            rows.append({key: float(value) for key, value in row.items() if key and value})
    except (TypeError, ValueError, csv.Error) as error:
        logger.debug("%s: %s", path, error)
    return [row for row in rows if "step" in row]


class CollapseDetector:
    """Detects that all embeddings have become the same point, while every number is still finite.

    The triplet loss then stays at its margin and each cross entropy at log M. Source: docs/method.md, row 15.
    """

    def __init__(
        self, n_pids: int, margin: float, *, modalities_summed: int, watched: Watched, window: int = 20
    ) -> None:
        self.chance_loss = modalities_summed * math.log(n_pids)
        self.margin, self.watched = margin, watched
        self.hits: deque[bool] = deque(maxlen=window)

    def update(self, values: dict[str, float]) -> str | None:
        """A message if all rows of the window look collapsed, else None."""
        identity, triplet = values.get(self.watched.identity), values.get(self.watched.triplet)
        if identity is None or triplet is None:
            return None
        at_margin = abs(triplet - self.margin) < 0.02 * max(self.margin, 1e-6)
        at_chance = abs(identity - self.chance_loss) < 0.02 * self.chance_loss
        self.hits.append(at_margin and at_chance)
        if len(self.hits) == self.hits.maxlen and all(self.hits):
            return (
                f"collapsed: for {len(self.hits)} logged iterations the triplet loss has been its margin "
                f"{self.margin:g} and the identity loss log M = {self.chance_loss:.3g}; lower train.lr, set "
                "loss.triplet to euclidean and loss.triplet_on to pooled, or load weights"
            )
        return None


def _board(folder: Path, keep_until: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SettingsError("train.tensorboard needs TensorBoard: pip install 'duskmatch[track]'") from error
    return SummaryWriter(str(folder), purge_step=keep_until + 1)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
