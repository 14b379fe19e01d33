"""Embedding: a trained network that turns tracklets into vectors."""

from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.loading import load_embedder

__all__ = ["Embedder", "load_embedder"]
