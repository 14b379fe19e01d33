"""Who is like whom: pools apart, twins alike in what they should share, colour free of infrared."""

import numpy as np

from duskmatch.synthetic.people import GAIT, make_person
from duskmatch.synthetic.streams import stream


def test_the_same_key_gives_the_same_numbers_and_any_other_gives_others():
    first = stream(7, "walk", 1, 2).random(4)
    np.testing.assert_array_equal(first, stream(7, "walk", 1, 2).random(4))
    for other in (stream(8, "walk", 1, 2), stream(7, "box", 1, 2), stream(7, "walk", 2, 1), stream(7, "walk", 1, 2, 0)):
        assert not np.array_equal(first, other.random(4))


def test_pools_and_people_differ():
    people = [make_person(1, pool, i) for pool in ("train", "val", "test") for i in range(4)]
    assert len({person.body.stature_m for person in people}) == len(people)
    assert make_person(1, "test", 2) == make_person(1, "test", 2)


def test_gait_twins_differ_in_gait_alone():
    group = [make_person(1, "test", i, "gait_twins") for i in range(4, 8)]
    assert len({person.body for person in group}) == 1
    assert len({person.look for person in group}) == 1
    assert len({person.gait for person in group}) == 4
    assert make_person(1, "test", 8, "gait_twins").look != group[0].look


def test_look_twins_share_their_gait_alone():
    group = [make_person(1, "test", i, "look_twins") for i in range(4, 8)]
    assert len({person.gait for person in group}) == 1
    assert len({person.look for person in group}) == len({person.body for person in group}) == 4


def test_part_twins_wear_the_same_materials_in_another_order():
    group = [make_person(1, "test", i, "part_twins") for i in range(4, 8)]
    slots = ("upper", "lower", "bag_material", "hat_material")
    worn = [[getattr(person.look, slot) for slot in slots] for person in group]
    assert len({tuple(materials) for materials in worn}) == 4
    assert len({frozenset(materials) for materials in worn}) == 1
    assert len({person.look.hair_style for person in group}) == len({person.gait for person in group}) == 1
    assert len({person.body for person in group}) == 4


def test_colour_tells_nothing_about_infrared_and_pattern_does():
    looks = [make_person(5, "train", i).look for i in range(1500)]
    plain = [look.upper for look in looks if look.upper.pattern == "plain"]
    brightness = np.array([material.colour for material in plain]) @ [0.2126, 0.7152, 0.0722]
    infrared = np.array([material.infrared for material in plain])
    assert abs(np.corrcoef(brightness, infrared)[0, 1]) < 0.12
    patterned = [look.upper for look in looks if look.upper.pattern != "plain"]
    day = [np.sign(sum(material.second_colour) - sum(material.colour)) for material in patterned]
    night = [np.sign(material.second_infrared - material.infrared) for material in patterned]
    assert np.mean(np.array(day) == np.array(night)) > 0.9


def test_people_vary_more_than_one_person_does_from_walk_to_walk():
    assert all(between >= 0.8 * within for _, between, within, _ in GAIT.values())
