"""What makes vectors comparable: the network that made them, their width and their length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.errors import GalleryError
from duskmatch.gallery.reading import Facts
from duskmatch.records import Embeddings, Floats

# Of the header of a RUN's weights, what two different networks differ in.
IDENTITY = ("settings", "n_pids", "step", "selection", "seed", "data", "machine", "versions")
UNIT_WITHIN = 1e-3  # of length 1; bf16 engines round
SHOWN = 12  # hexadecimal digits of the hash


def fingerprint(meta: Mapping[str, Any]) -> str:
    """The name of the network that made vectors, method and hash; "" where their facts do not say it.

    `meta` is that of Embeddings, or the header of a RUN's weights. Other programs may name theirs under "model".
    """
    if isinstance(name := meta.get("model"), str):
        return name
    if not isinstance(settings := meta.get("settings"), dict):
        return ""
    facts = json.dumps({key: meta.get(key) for key in IDENTITY}, sort_keys=True)
    method = (settings.get("model") or {}).get("name", "model")
    return f"{method}-{hashlib.sha256(facts.encode()).hexdigest()[:SHOWN]}"


def check_comparable(embeddings: Embeddings, facts: Facts, role: str) -> str:
    """The fingerprint of vectors that may stand in a gallery, or be looked for in it.

    Raises GalleryError where they are of another width, normalisation or model.
    """
    if embeddings.vectors.shape[1] != facts.width:
        raise GalleryError(
            f"{role} must have the gallery's width, {facts.width}; got {embeddings.vectors.shape[1]}; "
            "embed them with the gallery's model"
        )
    if facts.normalisation == "unit":
        _check_unit(embeddings.vectors, role)
    model = fingerprint(embeddings.meta)
    if facts.model is not None and model != facts.model:
        raise GalleryError(
            f"{role} must be of the gallery's model, {named(facts.model)}; got {named(model)}; embed them with the "
            "same RUN, or make a gallery of this model with `duskmatch gallery reembed`"
        )
    return model


def named(model: str) -> str:
    """A fingerprint in words."""
    return model or "one without a name"


def unit(vectors: Floats) -> Floats:
    """The vectors at length 1; GalleryError where one is zero."""
    lengths = _lengths(vectors)
    if len(zero := np.flatnonzero(lengths == 0)):
        raise GalleryError(f"a zero vector has no direction; row {zero[0]} is one; leave it out")
    return np.asarray(vectors / lengths[:, None], np.float32)


def _check_unit(vectors: Floats, role: str) -> None:
    lengths = _lengths(vectors)
    if len(wrong := np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_WITHIN))):
        row = wrong[0]
        raise GalleryError(
            f"{role} must have length 1, as the gallery's; row {row} has {lengths[row]:.6g}; divide each vector by its "
            "length, or make a gallery with normalisation none"
        )


def _lengths(vectors: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))
