"""What a film shows: material by night and not colour, one place in both lights, the person where one walks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.film import crop, draw, shoot
from duskmatch.synthetic.gait import pose
from duskmatch.synthetic.materials import dyed
from duskmatch.synthetic.people import make_person
from duskmatch.synthetic.presets import PRESETS
from duskmatch.synthetic.scenes import make_scene
from duskmatch.synthetic.streams import stream
from duskmatch.synthetic.variations import Change
from duskmatch.synthetic.walks import make_walk, plan_pool

PRESET = replace(PRESETS["tiny"], occluded=0.0)
TRACKS = list(plan_pool(PRESET, 2, "test"))


def light(person, infrared):
    track = TRACKS[0]
    walk = make_walk(2, track, person, PRESET).only([0, 7])
    view = crop(walk, person, PRESET, torch.device("cpu"))
    skeleton = pose(person.body, walk.gait, walk.phase)
    return draw(person, skeleton, walk.view_deg, make_camera(2, track.camid), view, PRESET, infrared)


def test_other_dyes_change_the_day_and_leave_the_night_to_the_bit():
    person = make_person(2, "test", 1)
    rng, look = stream(0, "test"), person.look
    other = replace(person, look=replace(look, upper=dyed(rng, look.upper), lower=dyed(rng, look.lower)))
    assert torch.equal(light(person, True).light, light(other, True).light)
    assert (light(person, False).light - light(other, False).light).abs().max() > 0.05
    assert torch.equal(light(person, True).cover, light(person, False).cover)


def test_day_and_night_share_the_edges_of_a_place():
    scene = make_scene(2, 1, 1, 96)
    day = scene.day.mean(0).numpy()
    night = scene.night[0].numpy()
    edges = [np.hypot(*np.gradient(np.log(picture + 0.02))) for picture in (day, night)]
    strong = [edge > np.quantile(edge, 0.9) for edge in edges]
    assert (strong[0] & strong[1]).sum() / strong[0].sum() > 0.4  # by chance it would be 0.1


def test_a_film_depends_on_its_arguments_alone():
    first = shoot(2, TRACKS[3], PRESET).frames
    for track in TRACKS[4:7]:
        shoot(2, track, PRESET)
    np.testing.assert_array_equal(first, shoot(2, TRACKS[3], PRESET).frames)


def test_the_person_is_in_the_middle_and_only_there():
    track = TRACKS[0]
    full, empty = (shoot(2, track, PRESET, with_person=there).frames.astype(float) for there in (True, False))
    changed = np.abs(full - empty).mean((0, 3)) > 12
    rows, columns = np.nonzero(changed)
    assert rows.max() - rows.min() > 0.7 * PRESET.size[0]
    assert abs(columns.mean() - PRESET.size[1] / 2) < 0.2 * PRESET.size[1]
    assert 0.05 < changed.mean() < 0.6


def test_the_background_moves_past_a_walker():
    track = next(
        t
        for t in TRACKS
        if abs(np.sin(np.deg2rad(make_walk(2, t, make_person(2, "test", t.person), PRESET).view_deg))) > 0.7
    )
    frames = shoot(2, track, PRESET, with_person=False).frames.astype(float)
    assert np.abs(frames[0] - frames[12]).mean() > 4


def test_an_occluder_hides_more_with_each_step():
    hidden = [
        np.mean(
            [
                shoot(2, t, PRESET, at=range(0, 24, 6), change=Change("occluder", k)).occluded_fraction
                for t in TRACKS[:12]
            ]
        )
        for k in range(5)
    ]
    assert hidden[0] == 0
    assert hidden == sorted(hidden)
    assert hidden[4] > 0.4


def test_wholly_in_the_other_light_a_day_is_grey():
    track = next(t for t in TRACKS if t.modality == "visible")
    frames = shoot(2, track, PRESET, change=Change("modality", 4)).frames.astype(int)
    day = shoot(2, track, PRESET).frames.astype(int)
    assert np.abs(frames - day).mean() > 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_films_the_same_within_two_grey_levels():
    cpu, gpu = (shoot(2, TRACKS[1], PRESET, device=device).frames.astype(int) for device in ("cpu", "cuda"))
    assert (np.abs(cpu - gpu) <= 2).mean() >= 0.999
