"""Embedding: a trained network that turns tracklets into vectors."""

from duskmatch.embedding.embedder import Account, Embedder
from duskmatch.embedding.loading import load_embedder

__all__ = ["Account", "Embedder", "load_embedder"]
