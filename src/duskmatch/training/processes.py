"""One process or many: device, precision and collectives through Lightning Fabric.

Many processes are started by torchrun; each holds its share of a batch's people, gradients are averaged after each
sub-step's backward, and what a process mines and normalises stays its own.
"""

from __future__ import annotations

import importlib
import logging
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor


class Processes:
    """This process among its fellows."""

    def __init__(self, device: torch.device, precision: Literal["fp32", "bf16", "auto"]) -> None:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.fabric = _fabric()(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=here if here > 1 else ([device.index or 0] if device.type == "cuda" else 1),
            num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            strategy="ddp" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )
        self.fabric.launch()
        self.rank, self.world = self.fabric.global_rank, self.fabric.world_size
        self.device: torch.device = self.fabric.device

    @property
    def first(self) -> bool:
        return bool(self.rank == 0)

    def autocast(self) -> AbstractContextManager[Any]:
        return self.fabric.autocast()  # type: ignore[no-any-return]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return self.fabric.all_reduce(value, reduce_op="mean")  # type: ignore[no-any-return]

    def mean_of(self, number: float) -> float:
        """The mean of a number over all processes."""
        if self.world == 1:
            return number
        return float(self.mean(torch.tensor(number, dtype=torch.float64, device=self.device)))

    def wait(self) -> None:
        self.fabric.barrier()


def _fabric() -> Any:
    """Fabric from the small package, or from the big one where only that is installed; it keeps its notes to itself."""
    try:
        module = importlib.import_module("lightning_fabric")
    except ImportError:
        module = importlib.import_module("lightning.fabric")
    for name in ("lightning_fabric", "lightning.fabric"):  # after the import, which sets its own level
        logging.getLogger(name).setLevel(logging.WARNING)
    return module.Fabric
