"""Training: the loop, Algorithm 1's updates, checkpoints."""

from duskmatch.training.loop import train
from duskmatch.training.trainer import Watcher

__all__ = ["Watcher", "train"]
