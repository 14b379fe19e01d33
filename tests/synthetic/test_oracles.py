"""Duskwalk as an instrument: motion, material and outline carry identity, and nothing beside the person does."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.duskwalk.matching import Match, match, pooled
from benchmarks.duskwalk.oracles import angle_oracles, material_oracle, outline_oracle, test_frames
from benchmarks.duskwalk.probes import run_probes

from duskmatch.synthetic.presets import PRESETS
from duskmatch.synthetic.walks import Track

test_frames.__test__ = False  # a function of the library, no test


def tracks(*rows):
    return [Track("test", pid, pid, camid, modality, 1, 24) for modality, pid, camid in rows]


def test_match_by_hand():
    """Query 1 finds its person; query 2's own camera is left out, so a stranger is nearest; query 3 has no match."""
    plan = tracks(
        ("infrared", 1, 1), ("infrared", 2, 2), ("infrared", 3, 1),
        ("visible", 1, 3), ("visible", 2, 2), ("visible", 2, 1), ("visible", 9, 1),
    )  # fmt: skip
    found = match(plan, [[0.0], [5.0], [9.0], [0.1], [5.0], [9.0], [6.0]])
    assert found.n_queries == 2
    assert found.rank1 == 0.5
    assert found.chance == pytest.approx((1 / 4 + 1 / 3) / 2)


def test_ties_count_for_their_share():
    plan = tracks(("infrared", 1, 1), ("visible", 1, 2), ("visible", 2, 2), ("visible", 3, 2), ("visible", 4, 2))
    found = match(plan, np.zeros((5, 2)))
    assert found.rank1 == found.chance == 0.25


def test_pooling_weighs_by_queries():
    assert pooled([Match(1.0, 0.1, 30), Match(0.0, 0.3, 10)]) == Match(0.75, pytest.approx(0.15), 40)


@pytest.mark.parametrize(
    ("n", "frames"), [(24, [0, 4, 8, 12, 16, 20]), (13, [0, 3, 6, 9, 12, 12]), (12, [0, 2, 4, 6, 8, 10])]
)
def test_six_frames_as_the_protocol_takes_them(n, frames):
    assert test_frames(n) == frames


@pytest.mark.slow
def test_order_beats_shuffle_beats_one_frame():
    preset = replace(PRESETS["demo"], people=(150, 0, 64), train_frames=None)
    found = [angle_oracles(seed, preset) for seed in (101, 102)]
    ordered, shuffled, single = (pooled([one[name] for one in found]) for name in found[0])
    assert ordered.n_queries >= 200
    assert ordered.rank1 > shuffled.rank1 + 0.03
    assert shuffled.rank1 > single.rank1 + 0.2
    assert single.rank1 > 2 * single.chance


def test_materials_tell_people_apart_until_they_share_them():
    preset = PRESETS["demo"]
    assert material_oracle(101, preset).rank1 > 0.9
    assert material_oracle(101, preset, "gait_twins").rank1 < 0.35  # four wear the same


@pytest.mark.slow
def test_outlines_tell_something():
    preset = replace(PRESETS["demo"], people=(60, 0, 24), supersample=1)
    found = outline_oracle(101, preset)
    assert found.rank1 > 3 * found.chance


@pytest.mark.slow
def test_short_cuts_stay_at_chance():
    preset = replace(PRESETS["demo"], people=(0, 0, 24), supersample=1)
    for name, found in run_probes((201, 202, 203), preset).items():
        assert found.n_queries >= 200, name
        assert found.rank1 <= found.limit, f"{name}: {found}"
