"""duskmatch: find the person seen by day in the footage taken by night, and the other way round."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from duskmatch.data import open_dataset
    from duskmatch.embedding import load_embedder
    from duskmatch.evaluation import rank, score
    from duskmatch.gallery import Gallery
    from duskmatch.records import Clip, Embeddings, Ranking, Scores, Tracklet

# Name -> module, loaded at first use: `duskmatch --help` must not wait for torch.
_LAZY = {
    "open_dataset": "duskmatch.data",
    "load_embedder": "duskmatch.embedding",
    "score": "duskmatch.evaluation",
    "rank": "duskmatch.evaluation",
    "Gallery": "duskmatch.gallery",
    "Clip": "duskmatch.records",
    "Embeddings": "duskmatch.records",
    "Ranking": "duskmatch.records",
    "Scores": "duskmatch.records",
    "Tracklet": "duskmatch.records",
}

__all__ = [
    "Clip",
    "Embeddings",
    "Gallery",
    "Ranking",
    "Scores",
    "Tracklet",
    "__version__",
    "load_embedder",
    "open_dataset",
    "rank",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'duskmatch' has no attribute {name!r}")
