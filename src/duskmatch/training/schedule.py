"""Learning rate and stage as pure functions of the iteration, so that a resumed run needs no history."""

from __future__ import annotations

import math
from dataclasses import dataclass

from duskmatch.config import Settings, TrainSettings


@dataclass(frozen=True)
class Schedule:
    """The length of a run, and stage and learning rate of each iteration (counted from 0)."""

    train: TrainSettings
    steps_per_epoch: int

    @property
    def n_steps(self) -> int:
        return self.train.n_epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def stage(self, step: int) -> int:
        """1 in Algorithm 1's step I (training the attack), 2 in its step II (training the defense), 0 before both."""
        return self.stage_of(self.epoch(step))

    def stage_of(self, epoch: int) -> int:
        epoch -= self.train.stage0_epochs
        return 0 if epoch < 0 else 1 if epoch < self.train.stage1_epochs else 2

    @property
    def warmup(self) -> float:
        """The number of iterations of the linear warm-up."""
        train = self.train
        return train.warmup_steps if train.warmup_steps is not None else train.warmup_epochs * self.steps_per_epoch

    @property
    def stage0_steps(self) -> int:
        return self.train.stage0_epochs * self.steps_per_epoch

    @property
    def parts_judged_from(self) -> float:
        """The iteration after which the method's own parts are judged: a warm-up's length into stage I."""
        return self.stage0_steps + self.warmup

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant, drops at `decay_epochs`, or half a cosine to zero.

        With `stage0_lr`, stage 0 has a warm-up and a cosine of its own, and stage I begins with a new warm-up.

        Source: paper, IV-A ("warm-up ... linearly", no decay is mentioned); drops as in the group's code.
        """
        train, stage = self.train, self.stage(step)
        own = {0: train.stage0_lr, 2: train.stage2_lr}.get(stage)
        base = train.lr if own is None else own
        begin, end = 0, self.n_steps
        if train.stage0_lr is not None:
            begin, end = (0, self.stage0_steps) if stage == 0 else (self.stage0_steps, end)
        if step - begin < self.warmup:
            return base * (step - begin + 1) / self.warmup
        if train.decay == "steps":
            return base * train.decay_factor ** sum(self.epoch(step) >= drop for drop in train.decay_epochs)
        if train.decay == "cosine":
            done = (step - begin - self.warmup) / max(end - begin - self.warmup, 1)
            return base * 0.5 * (1 + math.cos(math.pi * done))
        return base


def stage_frames(stage: int, settings: Settings) -> int:
    """The number of frames of a training clip in this stage."""
    own = settings.train.stage0_frames if stage == 0 else None
    return own or settings.data.training_frames
