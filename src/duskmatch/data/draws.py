"""Galleries drawn at random in each trial: some images of each person and camera."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from duskmatch.data.dataset import DirectionPair, FindPair
from duskmatch.data.layout import Split
from duskmatch.records import PairName, Tracklet

Drawn = list[Tracklet]
Draw = Callable[[Sequence[Tracklet], int], Drawn]  # (tracklets, trial) -> those drawn
Groups = dict[tuple[int, int], list[Tracklet]]


def drawn_pairs(infrared: list[Tracklet], visible: list[Tracklet], draw: Draw) -> FindPair:
    """Finds pairs with all of one modality as queries and a gallery drawn from the other."""

    def find(name: PairName, split: Split, trial: int) -> DirectionPair:
        query, gallery = DirectionPair(infrared, visible).in_direction(name)
        return DirectionPair(query, draw(gallery, trial))

    return find


def by_person_and_camera(tracklets: Sequence[Tracklet]) -> Groups:
    """(pid, camid) -> its tracklets, ordered by person, then camera, each group sorted by name.

    Names are sorted as text, 10.jpg before 2.jpg: the public loaders draw by index from lists in this order.
    """
    groups: Groups = {}
    for tracklet in tracklets:
        groups.setdefault((tracklet.pid, tracklet.camid), []).append(tracklet)
    return {key: sorted(groups[key], key=lambda t: t.frames[0].name) for key in sorted(groups)}


def draw_by_seed(tracklets: Sequence[Tracklet], trial: int, n_shots: int = 1) -> Drawn:
    """`n_shots` of each person and camera, or all there are, drawn by python's own generator seeded with the trial.

    Source: the public loaders of DDAG, CAJL and LbA: people, then cameras, of the sorted names; one shot gives their
    galleries. Differs: for ten shots public programs draw differently, some without a seed; here it is one sample
    without replacement from the same generator.
    """
    rng = random.Random(trial)
    drawn: Drawn = []
    for own in by_person_and_camera(tracklets).values():
        drawn += [rng.choice(own)] if n_shots == 1 else rng.sample(own, min(n_shots, len(own)))
    return drawn
