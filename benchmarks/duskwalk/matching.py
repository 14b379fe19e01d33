"""Rank-1 of any description of tracks, from infrared to visible: what oracles and probes are scored with.

The rules are the benchmark's own: a gallery track of the query's person in the query's camera is left out. Where
several gallery tracks are equally near, each is taken to come first equally often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from duskmatch.synthetic.walks import Track

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """Share of queries whose nearest gallery track is the same person, beside chance."""

    rank1: float
    chance: float
    n_queries: int

    @property
    def limit(self) -> float:
        """What a short cut may reach. Source: DESIGN, Duskwalk, oracles and probes."""
        return max(2 * self.chance, self.chance + 0.03)


def match(tracks: Sequence[Track], vectors: npt.ArrayLike) -> Match:
    """Infrared tracks looked for among visible ones by the Euclidean distance of their vectors."""
    values = np.asarray(vectors, dtype=np.float64).reshape(len(tracks), -1)
    infrared = np.array([track.modality == "infrared" for track in tracks])
    pids, camids = np.array([track.pid for track in tracks]), np.array([track.camid for track in tracks])
    query, gallery = values[infrared], values[~infrared]
    dist = np.stack([((one - gallery) ** 2).sum(-1) for one in query])  # (q g)
    same = pids[infrared][:, None] == pids[~infrared][None]
    allowed = ~(same & (camids[infrared][:, None] == camids[~infrared][None]))
    dist = np.where(allowed, dist, np.inf)
    nearest = dist <= dist.min(1, keepdims=True) * (1 + 1e-9) + 1e-12
    scored = (same & allowed).any(1)
    hit = (nearest & same).sum(1) / nearest.sum(1)
    chance = (same & allowed).sum(1) / allowed.sum(1)
    return Match(float(hit[scored].mean()), float(chance[scored].mean()), int(scored.sum()))


def pooled(matches: Sequence[Match]) -> Match:
    """Several data sets as one: means over all queries."""
    n = np.array([one.n_queries for one in matches])
    return Match(
        float(np.average([one.rank1 for one in matches], weights=n)),
        float(np.average([one.chance for one in matches], weights=n)),
        int(n.sum()),
    )


def standardised(tracks: Sequence[Track], vectors: npt.ArrayLike) -> Floats:
    """Each column to mean 0 and spread 1 within its modality, so that brightness or size of files can be compared."""
    values = np.array(vectors, dtype=np.float64).reshape(len(tracks), -1)
    for word in ("infrared", "visible"):
        own = np.array([track.modality == word for track in tracks])
        values[own] = (values[own] - values[own].mean(0)) / np.maximum(values[own].std(0), 1e-9)
    return values


def learn_discriminant(vectors: Floats, pids: Sequence[int], n_axes: int = 40) -> tuple[Floats, Floats]:
    """Mean and projection (d, n_axes) that shrink what varies within a person: a linear discriminant analysis."""
    labels = np.asarray(pids)
    mean, spread = vectors.mean(0), np.maximum(vectors.std(0), 1e-9)
    scaled = (vectors - mean) / spread
    within = np.concatenate([scaled[labels == pid] - scaled[labels == pid].mean(0) for pid in np.unique(labels)])
    centres = np.stack([scaled[labels == pid].mean(0) for pid in np.unique(labels)])
    noise = within.T @ within / len(within) + 0.05 * np.eye(scaled.shape[1])
    values, axes = np.linalg.eigh(noise)
    whiten = axes / np.sqrt(values)
    _, strengths, turned = np.linalg.svd((centres - centres.mean(0)) @ whiten, full_matrices=False)
    signal = strengths**2 / len(centres)
    weights = np.sqrt(np.clip((signal - 0.2) / np.maximum(signal, 1e-9), 0, 1))[:n_axes]
    return mean, (whiten / spread[:, None]) @ (turned[:n_axes].T * weights)
