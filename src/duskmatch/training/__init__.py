"""Training: the loop, Algorithm 1's updates, checkpoints."""

from duskmatch.training.loop import Watcher, train

__all__ = ["Watcher", "train"]
