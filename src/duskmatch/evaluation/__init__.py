"""Protocols (who is compared with whom), metrics, and the document that holds a score with all it needs to be read."""

from duskmatch.evaluation.metrics import score, score_distances
from duskmatch.evaluation.ranking import rank

__all__ = ["rank", "score", "score_distances"]
