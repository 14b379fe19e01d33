"""Walking: periodic, on the ground, with joints at fixed distances."""

import numpy as np
import pytest

from duskmatch.synthetic.gait import joint_angles, pose, speed_m_s
from duskmatch.synthetic.people import make_person

PHASE = np.linspace(0, 1, 25)


@pytest.fixture(params=range(5))
def person(request):
    return make_person(3, "train", request.param)


def test_a_cycle_ends_where_it_began(person):
    for angle in joint_angles(person.gait, np.array([0.13, 1.13])).values():
        np.testing.assert_allclose(angle[0], angle[1], atol=1e-9)


def test_bones_keep_their_length(person):
    joints = pose(person.body, person.gait, PHASE).joints
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        for side in ("left", "right"):
            length = np.linalg.norm(joints[f"{a}_{side}"] - joints[f"{b}_{side}"], axis=1)
            np.testing.assert_allclose(length, length[0], rtol=1e-9)


def test_the_lower_foot_is_on_the_ground(person):
    joints = pose(person.body, person.gait, PHASE).joints
    lowest = np.min(
        [joints[f"{point}_{side}"][:, 1] for point in ("heel", "toe") for side in ("left", "right")], axis=0
    )
    assert np.abs(lowest).max() < 0.04  # the bounce lifts and lowers by a finger's breadth


def test_a_left_heel_strikes_ahead_and_the_left_arm_is_back(person):
    joints = pose(person.body, person.gait, np.array([0.0])).joints
    assert joints["ankle_left"][0, 2] > joints["ankle_right"][0, 2]
    assert joints["wrist_left"][0, 2] < joints["wrist_right"][0, 2] + 0.05


def test_people_walk_at_a_walking_pace(person):
    assert 0.7 < speed_m_s(person.body, person.gait) < 2.0


def test_the_standing_foot_stays_where_it_is():
    """Speed by stride and speed of the standing foot under the body agree within a fifth."""
    person = make_person(3, "train", 1)
    joints = pose(person.body, person.gait, np.array([0.10, 0.40])).joints
    slid = joints["ankle_left"][0, 2] - joints["ankle_left"][1, 2]
    seconds = 0.30 / person.gait.cadence_hz
    assert slid / seconds == pytest.approx(speed_m_s(person.body, person.gait), rel=0.2)
