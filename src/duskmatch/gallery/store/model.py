"""Comparable vectors: made by the same network, of one width and length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from duskmatch.errors import GalleryError
from duskmatch.gallery.store.reading import SharedFacts
from duskmatch.records import Embeddings, Floats

# Of the header of a RUN's weights, what two different networks differ in.
IDENTITY = ("settings", "n_pids", "step", "selection", "seed", "data", "machine", "versions")
UNIT_WITHIN = 1e-3  # of length 1; bf16 engines round
SHOWN = 12  # hexadecimal digits of the hash


def fingerprint(meta: Mapping[str, Any]) -> str:
    """The name of the network that made vectors, method and hash; "" if their facts do not say it.

    `meta` is that of Embeddings, or the header of a RUN's weights. Other programs may name theirs under "model".
    """
    if isinstance(name := meta.get("model"), str):
        return name
    if not isinstance(settings := meta.get("settings"), dict):
        return ""
    known = {key: meta.get(key) for key in IDENTITY}
    if "compacted" in meta:  # not in IDENTITY: galleries keep the names of RUNs without it
        known["compacted"] = meta["compacted"]
    facts = json.dumps(known, sort_keys=True)
    method = (settings.get("model") or {}).get("name", "model")
    return f"{method}-{hashlib.sha256(facts.encode()).hexdigest()[:SHOWN]}"


def check_comparable(embeddings: Embeddings, facts: SharedFacts, role: str) -> str:
    """The fingerprint of vectors that may be added to a gallery, or searched for in it.

    GalleryError if they are of another width, normalisation or model.
    """
    if embeddings.vectors.shape[1] != facts.width:
        raise GalleryError(
            f"{role} must have the gallery's width, {facts.width}; got {embeddings.vectors.shape[1]}; "
            "embed them with the gallery's model"
        )
    if facts.normalisation == "unit":
        _check_unit(embeddings.vectors, role)
    model = fingerprint(embeddings.meta)
    check_model(model, facts.model, role)
    return model


def check_model(model: str, of_gallery: str | None, role: str) -> None:
    """Refuses another model than the gallery's; one that has no entries yet takes any."""
    if of_gallery is not None and model != of_gallery:
        expected, got = (name or "one without a name" for name in (of_gallery, model))
        raise GalleryError(
            f"{role} must be of the gallery's model, {expected}; got {got}; embed them with the same RUN, or make a "
            "gallery of this model with `duskmatch gallery reembed`"
        )


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
