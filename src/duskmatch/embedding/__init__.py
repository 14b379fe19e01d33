"""Embedding: a trained network that turns tracklets into vectors."""

from duskmatch.embedding.embedder import Embedder, load_embedder

__all__ = ["Embedder", "load_embedder"]
