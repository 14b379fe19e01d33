"""The tiny data set that training tests share."""

from tests.training.conftest import dataset, tree

__all__ = ["dataset", "tree"]
