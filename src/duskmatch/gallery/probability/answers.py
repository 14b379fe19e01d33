"""The probability of each hit, and which hits a promised rate of false alarms lets through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64

from duskmatch.errors import GalleryError
from duskmatch.evaluation.calibration import pair_of, probability
from duskmatch.gallery.probability.calibrated import Calibrated
from duskmatch.gallery.probability.strangers import Strangers
from duskmatch.gallery.search.search import Found
from duskmatch.gallery.store.reading import Snapshot
from duskmatch.records import MODALITIES, Ints, Modality

LEAST_SHARE = 1 / 3  # of the rate, for the smaller of two modalities: what the rule of three lets be told from zero


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least similarity at which an entry of one modality is a hit for a query of another (or the same) one.

    Of `n_people` with `n_entries` together. false_alarms: the part of the promised rate that is for them; extrapolated:
    the labelled people were too few to draw such a gallery from.
    """

    query: Modality
    entries: Modality
    similarity: float
    false_alarms: float
    n_entries: int
    n_people: int
    extrapolated: bool


def thresholds(
    calibrated: Calibrated, sizes: Mapping[Modality, Ints], queries: Iterable[Modality], rate: float
) -> list[Threshold]:
    """For each modality of queries and of entries the threshold; together they keep `rate`.

    sizes: the number of entries of each person that may be found, by modality. A query that looks among both raises an
    alarm with a chance of at most 1 - (1 - part) (1 - part), since what is found in one makes a find in the other
    more likely. GalleryError where the labelled people are too few for the rate.
    """
    found = []
    for query in sorted(set(queries), key=MODALITIES.index):
        parts = {entries: calibrated.among(query, entries) for entries in sizes}
        _check_borne(parts, sizes, rate)
        for entries, share in _shares(parts, sizes).items():
            of_them = sizes[entries]
            part = 1 - (1 - rate) ** share
            limit = parts[entries].limit(of_them, part)
            found.append(
                Threshold(query, entries, limit.similarity, part, int(of_them.sum()), len(of_them), limit.extrapolated)
            )
    return found


def _check_borne(parts: Mapping[Modality, Strangers], sizes: Mapping[Modality, Ints], rate: float) -> None:
    """Refuses a rate that cannot be told from zero, and says which can."""
    if not parts:
        return
    n_labelled = min(part.n_queries for part in parts.values())
    kept = 1.0  # the chance of no alarm in the parts that are extrapolated, at their least rates
    for word, part in parts.items():
        if part.extrapolated(sizes[word]):
            kept *= 1 - part.least_rate(sizes[word])
    least = max(3 / n_labelled, 1 - kept)
    if rate < least:
        n_people = max(len(of_them) for of_them in sizes.values())
        promise = f"the least that can be promised is {_up(least)}" if least < 1 else "none can be promised"
        raise GalleryError(
            f"false alarms of {rate:g} among {n_people} people cannot be promised after a calibration with "
            f"{n_labelled} people; {promise}; ask for more, or calibrate with more people"
        )


def _up(rate: float) -> str:
    """Two digits, rounded up, so that asking for what is said is not refused."""
    text = f"{rate:.1e}"
    if float(text) < rate:
        mantissa, exponent = text.split("e")
        text = f"{float(mantissa) + 0.1:.1f}e{exponent}"
    return f"{float(text):g}"


def _shares(parts: Mapping[Modality, Strangers], sizes: Mapping[Modality, Ints]) -> dict[Modality, float]:
    """How the rate is parted between modalities: by their numbers of people, a third at least for each of two."""
    if len(parts) < 2:
        return dict.fromkeys(parts, 1.0)
    drawn = {word: min(n for _, n in part.drawn(sizes[word])) for word, part in parts.items()}
    return {word: float(np.clip(n / sum(drawn.values()), LEAST_SHARE, 1 - LEAST_SHARE)) for word, n in drawn.items()}


def merged(
    parts: Mapping[Modality, Found], limits: Sequence[Threshold], modalities: Sequence[Modality], top: int
) -> Found:
    """The first `top` hits of each query that reach their threshold, of what was found in each modality."""
    least = {(limit.query, limit.entries): limit.similarity for limit in limits}
    n = len(modalities)
    found = Found(np.full((n, top), -1), np.full((n, top), np.nan), [])
    for i, query in enumerate(modalities):
        hits = sorted(
            (-float(similarity), id, int(row))
            for entries, part in parts.items()
            for row, similarity, id in zip(part.rows[i], part.similarity[i], part.ids[i], strict=True)
            if row >= 0 and similarity >= least[query, entries]
        )[:top]
        found.rows[i, : len(hits)] = [row for _, _, row in hits]
        found.similarity[i, : len(hits)] = [-negated for negated, _, _ in hits]
        found.ids.append([*(id for _, id, _ in hits), *[""] * (top - len(hits))])
    return found


def probabilities(
    calibrated: Calibrated, found: Found, modalities: Sequence[Modality], snapshot: Snapshot, prior: float
) -> Float64[np.ndarray, "q k"]:
    """The chance that each hit is the query's person; NaN where there is no hit, and in pairs not calibrated."""
    result = np.full(found.rows.shape, np.nan)
    of_query = np.array([MODALITIES.index(word) for word in modalities])[:, None]
    of_hit = _modalities(found.rows, snapshot)
    for a, query in enumerate(MODALITIES):
        for b, entries in enumerate(MODALITIES):
            these: Bool[np.ndarray, "q k"] = (of_query == a) & (of_hit == b)
            if these.any() and (ratio := calibrated.calibration.ratios.get(pair_of(query, entries))):
                result[these] = probability(ratio(found.similarity[these]), prior)
    return result


def _modalities(rows: Ints, snapshot: Snapshot) -> npt.NDArray[np.int64]:
    """The place in MODALITIES of each row; -1 where there is none."""
    known, where = np.unique(rows, return_inverse=True)
    query = "SELECT modality FROM entries WHERE row = ?"
    words = [snapshot.db.execute(query, (row,)).get if row >= 0 else None for row in known.tolist()]
    places = np.array([-1 if word is None else MODALITIES.index(word) for word in words], np.int64)
    return np.asarray(places[where.reshape(rows.shape)])
