"""Learning rate and stage as pure functions of the iteration, so that a resumed run needs no history."""

from __future__ import annotations

import math
from dataclasses import dataclass

from duskmatch.config import TrainSettings


@dataclass(frozen=True)
class Schedule:
    """How long a run is and what is due at each of its iterations (counted from 0)."""

    train: TrainSettings
    steps_per_epoch: int

    @property
    def n_steps(self) -> int:
        return self.train.n_epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def stage(self, step: int) -> int:
        """1 in Algorithm 1's step I (training the attack), 2 in its step II (training the defense), 0 before both."""
        epoch = self.epoch(step) - self.train.stage0_epochs
        return 0 if epoch < 0 else 1 if epoch < self.train.stage1_epochs else 2

    @property
    def warmup(self) -> float:
        """How many iterations the rate rises."""
        train = self.train
        return train.warmup_steps if train.warmup_steps is not None else train.warmup_epochs * self.steps_per_epoch

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant, drops at `decay_epochs`, or half a cosine to zero.

        Source: paper, IV-A ("warm-up ... linearly", no decay is mentioned); drops as in the group's code.
        """
        train = self.train
        base = train.stage2_lr if train.stage2_lr is not None and self.stage(step) == 2 else train.lr
        if step < self.warmup:
            return base * (step + 1) / self.warmup
        if train.decay == "steps":
            return base * train.decay_factor ** sum(self.epoch(step) >= drop for drop in train.decay_epochs)
        if train.decay == "cosine":
            done = (step - self.warmup) / max(self.n_steps - self.warmup, 1)
            return base * 0.5 * (1 + math.cos(math.pi * done))
        return base
