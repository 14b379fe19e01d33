"""The closed form of the ray caster against balls counted one by one."""

import numpy as np
import pytest
import torch

from duskmatch.synthetic.figure import Part
from duskmatch.synthetic.film import camera_axes
from duskmatch.synthetic.raycast import FAR, cast, prepare
from tests.oracle.raycast import depth_of_balls

XS = np.linspace(-0.5, 0.5, 15)
YS = np.linspace(0.6, -0.6, 17)


def part(a, b, ra, rb, flat=1.0, hem=False):
    points = [np.array([p], dtype=float) for p in (a, b)]
    return Part(*points, ra, rb, np.array([[0.1, 0.2, 1.0]]), 0, 0, flat=flat, hem=hem)


def seen(parts, axes):
    grid = [torch.from_numpy(values.astype(np.float32))[None] for values in (XS, YS)]
    return cast(prepare(parts, axes, torch.device("cpu")), *grid)


@pytest.mark.parametrize("view", [0.0, 37.0, 90.0, 181.0])
@pytest.mark.parametrize("flat", [1.0, 0.55, 1.4])
@pytest.mark.parametrize("radii", [(0.2, 0.2), (0.25, 0.08), (0.05, 0.3)])
def test_depth_is_the_envelope_of_the_balls(view, flat, radii):
    piece = part((0.05, 0.3, -0.1), (-0.1, -0.25, 0.15), *radii, flat=flat)
    axes = camera_axes(view, 14.0, 1)
    depth, number = seen([piece], axes)
    expected = depth_of_balls(piece, axes[0], XS, YS)
    both = (number[0].numpy() >= 0) & (expected > FAR)
    assert ((number[0].numpy() >= 0) != (expected > FAR)).sum() <= 1  # a ray that grazes the outline
    assert np.abs(depth[0].numpy() - expected)[both].max() < 2e-3
    assert both.sum() > 10


def test_a_ball_by_hand():
    """A ball of radius 0.3 in the middle: depth 0.3 at its centre, sqrt(0.09 - x^2 - y^2) elsewhere."""
    depth, number = seen([part((0, 0, 0), (0, -1e-4, 0), 0.3, 0.3)], camera_axes(0, 0, 1))
    y, x = np.meshgrid(YS, XS, indexing="ij")
    inside = x**2 + y**2 < 0.089
    np.testing.assert_allclose(depth[0].numpy()[inside], np.sqrt((0.09 - x**2 - y**2)[inside]), atol=1e-3)
    assert (number[0].numpy()[inside] == 0).all()


def test_the_nearer_part_is_seen_whatever_the_order():
    near, far = part((0, 0.2, 0.4), (0, -0.2, 0.4), 0.1, 0.1), part((0, 0.3, -0.4), (0, -0.3, -0.4), 0.2, 0.2)
    axes = camera_axes(0, 0, 1)
    middle = (0, len(YS) // 2, len(XS) // 2)
    assert seen([near, far], axes)[1][middle] == 0
    assert seen([far, near], axes)[1][middle] == 1


def test_a_hem_ends_level_where_a_limb_ends_round():
    below = (0, int(np.argmin(np.abs(YS + 0.3))), len(XS) // 2)
    limb, cloth = (part((0, 0.3, 0), (0, -0.2, 0), 0.2, 0.2, hem=hem) for hem in (False, True))
    axes = camera_axes(0, 0, 1)
    assert seen([limb], axes)[1][below] == 0
    assert seen([cloth], axes)[1][below] == -1
