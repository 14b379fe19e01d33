"""Attention of each model on a few queries: frames, heat over them, and the hit whose similarity the heat explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from duskmatch.data import SAMPLINGS, decode_frame
from duskmatch.embedding.saliency import SaliencyMaps, saliency_maps
from duskmatch.pictures.compared import Compared
from duskmatch.pictures.overlays import overlay
from duskmatch.pictures.sheets import RIGHT, SIGN, WRONG
from duskmatch.pictures.side_by_side import Cases
from duskmatch.pictures.thumbnails import fitted, middle_frame, thumbnail
from duskmatch.records import DIRECTIONS, Direction, Tracklet

HEIGHT_PX, WIDTH_PX = 192, 96


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame of a query as one model sees it, and the hit whose similarity is explained."""

    frame: UInt8[np.ndarray, "h w 3"]
    activation: Float[np.ndarray, "h2 w2"]
    grad_cam: Float[np.ndarray, "h2 w2"]
    sim: float
    hit: Tracklet
    match: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One query as every model sees it."""

    kind: str
    direction: Direction
    query: Tracklet
    seen: Sequence[Seen]


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture with its caption; `match` is None unless it shows a hit."""

    column: str
    picture: UInt8[np.ndarray, "h w 3"]
    words: str = ""
    match: bool | None = None


def attention_rows(runs: Sequence[Compared], cases: dict[Direction, Cases]) -> list[Row]:
    """The first query of each kind and direction, as every model sees it."""
    return [
        Row(kind, direction, runs[0].evaluation.query[direction].tracklets[rows[0]], seen(runs, direction, rows[0]))
        for direction in DIRECTIONS
        for kind, rows in cases[direction].items()
    ]


def seen(runs: Sequence[Compared], direction: Direction, row: int) -> list[Seen]:
    """One query as each model sees it: one frame for all, or one for each model if their clips differ in length."""
    looks = [_look(run, direction, row) for run in runs]
    peaks = [found.grad_cam.max(axis=(1, 2)) for found in looks]  # of each frame
    if len({len(of) for of in peaks}) == 1:
        peaks = [np.min(peaks, axis=0)] * len(runs)
    return [
        _seen(run, direction, row, found, int(p.argmax())) for run, found, p in zip(runs, looks, peaks, strict=True)
    ]


def _look(run: Compared, direction: Direction, row: int) -> SaliencyMaps:
    evaluation, embedder = run.evaluation, run.embedder
    query, gallery = evaluation.query[direction].tracklets[row], evaluation.gallery[direction].embeddings
    clip = embedder.reader.read(query).clip
    assert clip is not None, "it was embedded before"
    return saliency_maps(embedder, clip, gallery.vectors[evaluation.rankings[direction].indices[row, 0]])


def _seen(run: Compared, direction: Direction, row: int, looks: SaliencyMaps, t: int) -> Seen:
    evaluation, ranking = run.evaluation, run.evaluation.rankings[direction]
    query = evaluation.query[direction].tracklets[row]
    draw = SAMPLINGS[run.embedder.settings.data.sampling]
    chosen = draw(len(query), len(looks.activation), None)[t]
    hit = evaluation.gallery[direction].tracklets[ranking.indices[row, 0]]
    frame = decode_frame(query.frames[chosen])
    return Seen(frame, looks.activation[t], looks.grad_cam[t], looks.sim, hit, bool(ranking.matches[row, 0]))


def tiles_of(row: Row, frames_differ: bool) -> list[list[Tile]]:
    """The tiles of each model from left to right; a frame that all share is among those of the first model only."""
    groups = []
    for place, seen in enumerate(row.seen):
        frame = fitted(seen.frame, HEIGHT_PX, WIDTH_PX)
        activation, grad_cam = (overlay(frame, heat) for heat in (seen.activation, seen.grad_cam))
        hit = thumbnail(middle_frame(seen.hit), height=HEIGHT_PX, width=WIDTH_PX)
        sign = SIGN[RIGHT if seen.match else WRONG]
        group = [Tile("frame", frame)] if frames_differ or not place else []
        group += [Tile("activation", activation), Tile("Grad-CAM", grad_cam, f"sim {seen.sim:.3f}")]
        groups.append([*group, Tile("first hit", hit, f"{sign} person {seen.hit.pid}", seen.match)])
    return groups


def frames_differ(rows: Sequence[Row]) -> bool:
    """True if the models are shown by different frames, as their clips differ in length."""
    return any(not np.array_equal(seen.frame, row.seen[0].frame) for row in rows for seen in row.seen)
