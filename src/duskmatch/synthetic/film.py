"""Rendering of one walk before one camera: the figure, the place behind it, occluders, the lens and the sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from duskmatch.synthetic.cameras import Camera, make_camera
from duskmatch.synthetic.canvas import HEIGHT_M, WIDTH_M
from duskmatch.synthetic.figure import build
from duskmatch.synthetic.gait import Skeleton, pose
from duskmatch.synthetic.occluders import occluder_layer
from duskmatch.synthetic.optics import blurred, developed, lamp_spot, vignette
from duskmatch.synthetic.people import Person, make_person
from duskmatch.synthetic.presets import Preset
from duskmatch.synthetic.raycast import cast, prepare
from duskmatch.synthetic.scenes import Scene, make_scene
from duskmatch.synthetic.shading import daylight, lamplight, reflect, scatter, surface
from duskmatch.synthetic.streams import stream
from duskmatch.synthetic.textures import material_table
from duskmatch.synthetic.variations import NO_CHANGE, Change
from duskmatch.synthetic.walks import Track, Walk, make_walk

PERSPECTIVE = 0.35  # growth of the figure per metre that it moves down in the scene


@dataclass(frozen=True, slots=True)
class Film:
    """The pictures of one track (t h w c) uint8, c = 1 for infrared, and their ground truth."""

    frames: np.ndarray
    walk: Walk
    occluded_fraction: float


@dataclass(frozen=True, slots=True)
class Layer:
    """The light of an object, multiplied by its coverage (t 1 h w)."""

    light: Float[Tensor, "t c h w"]
    cover: Float[Tensor, "t 1 h w"]


@dataclass(frozen=True, slots=True)
class View:
    """The position of each pixel of the crop, in metres from the walker's feet; fine: before averaging down."""

    xs: Float[Tensor, "t w"]
    ys: Float[Tensor, "t h"]
    fine_xs: Float[Tensor, "t fw"]
    fine_ys: Float[Tensor, "t fh"]
    pixel_m: float


def shoot(
    seed: int, track: Track, preset: Preset, *, twins: str | None = None, change: Change = NO_CHANGE,
    with_person: bool = True, at: Sequence[int] | None = None, device: str = "cpu",
) -> Film:  # fmt: skip
    """The pictures of one track, a pure function of the arguments.

    `at` renders these frames only (with other sensor noise), `with_person=False` the empty place.
    """
    person = make_person(seed, track.pool, track.person, twins)
    camera = make_camera(seed, track.camid)
    walk = change.walk(make_walk(seed, track, person, preset))
    if at is not None:
        walk = walk.only(at)
    place = torch.device(device)
    view = crop(walk, person, preset, place)
    infrared = track.modality == "infrared"
    light, covered = _scene_light(seed, walk, camera, person, view, preset, infrared, with_person)
    if change.other_light:
        other, _ = _scene_light(seed, walk, camera, person, view, preset, not infrared, with_person)
        light = _mixed(light, other, change.other_light)
    frames = _sensor(seed, track, camera, walk, change, preset, light)
    return Film(frames.cpu().numpy(), walk, covered)


def crop(walk: Walk, person: Person, preset: Preset, device: torch.device) -> View:
    """The view of the box around the walker in each frame."""
    h, w = preset.size
    metres = person.body.stature_m * 1.02 / (walk.fill * h)  # (t,) per pixel
    foot_row = h * (0.5 + 0.5 * 0.9 + walk.shift_y + 0.45 * (walk.fill - 0.9))

    def grid(n: int, zero: np.ndarray, sign: float, fine: int) -> Tensor:
        places = (np.arange(n * fine) + 0.5) / fine
        return torch.from_numpy((sign * (places - zero[:, None]) * metres[:, None]).astype(np.float32)).to(device)

    middle = w / 2 + walk.shift_x * h
    fine = preset.supersample
    return View(
        grid(w, middle, 1, 1), grid(h, foot_row, -1, 1), grid(w, middle, 1, fine), grid(h, foot_row, -1, fine),
        float(metres.mean()),
    )  # fmt: skip


def camera_axes(view_deg: float, pitch_deg: float, n: int) -> np.ndarray:
    """(t, 3, 3): body to camera coordinates; at 0 degrees the person walks toward the lens, at 90 to the right."""
    turn, pitch = np.deg2rad(view_deg), np.deg2rad(pitch_deg)
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    down = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.broadcast_to(down @ about, (n, 3, 3))


def _scene_light(
    seed: int, walk: Walk, camera: Camera, person: Person, view: View, preset: Preset, infrared: bool, with_person: bool
) -> tuple[Float[Tensor, "t c h w"], float]:
    """Linear light at the lens, and the hidden share of the figure."""
    scene = make_scene(seed, walk.place, camera.camid, preset.size[0])
    light = background(scene, walk, view, infrared)
    hidden = 0.0
    figure = None
    if with_person:
        skeleton = pose(person.body, walk.gait, walk.phase)
        figure = draw(person, skeleton, walk.view_deg, camera, view, preset, infrared)
        light = light * (1 - _contact(skeleton, walk, camera, view) * (0.45 if infrared else 0.6))
        if camera.sunny and not infrared:
            light = light * (1 - 0.55 * _sun_shadow(figure, camera, view))
        light = figure.light + light * (1 - figure.cover)
    front = _front_layer(seed, walk, camera, view, preset, scene, infrared)
    if front is not None:
        light = front.light + light * (1 - front.cover)
        if figure is not None:
            hidden = float((front.cover * figure.cover).sum() / figure.cover.sum().clamp(min=1e-6))
    return light, hidden


def background(scene: Scene, walk: Walk, view: View, infrared: bool) -> Float[Tensor, "t c h w"]:
    """The part of the scene behind the walker, moving past."""
    picture = (scene.night if infrared else scene.day).to(view.xs.device)
    return _sampled(picture, walk, view, 0.0, WIDTH_M)


def _sampled(picture: Float[Tensor, "c h w"], walk: Walk, view: View, left_m: float, width_m: float) -> Tensor:
    """A picture in the scene, sampled in the moving box."""
    device = view.xs.device
    x0 = torch.from_numpy((walk.x_m - left_m).astype(np.float32)).to(device)
    y0 = torch.from_numpy(walk.y_m.astype(np.float32)).to(device)
    grow = 1 + PERSPECTIVE * (y0 - float(walk.y_m.mean()))
    x = (x0[:, None] + view.xs / grow[:, None]) * (2 / width_m) - 1
    y = (y0[:, None] - view.ys / grow[:, None]) * (2 / HEIGHT_M) - 1
    t, h, w = len(x), y.shape[1], x.shape[1]
    grid = torch.stack([x[:, None, :].expand(t, h, w), y[:, :, None].expand(t, h, w)], dim=-1)
    pad = "border" if width_m == WIDTH_M else "zeros"
    return F.grid_sample(picture[None].expand(t, -1, -1, -1), grid, padding_mode=pad, align_corners=False)


def draw(
    person: Person, skeleton: Skeleton, view_deg: float, camera: Camera, view: View, preset: Preset, infrared: bool
) -> Layer:
    """The figure in linear light, averaged down to the crop's pixels."""
    device = view.xs.device
    parts = build(person, skeleton)
    axes = camera_axes(view_deg, camera.pitch_deg, len(view.xs))
    solids = prepare(parts, axes, device)
    depth, seen = cast(solids, view.fine_xs, view.fine_ys)
    found = surface(solids, parts, view.fine_xs, view.fine_ys, depth, seen)
    fine_m = view.pixel_m / preset.supersample
    colour, reflectance, gloss = reflect(found, parts, material_table(person.look, fine_m, device), fine_m)
    if infrared:
        light = lamplight(found, reflectance, gloss, camera.light)[:, None]
    else:
        light = daylight(found, colour, gloss, camera.light)
    values = torch.cat([light, torch.ones_like(light[:, :1])], dim=1)
    t, h, w = depth.shape
    grid = scatter(found, values, (t, h, w), preset.supersample)
    return Layer(grid[:, :-1], grid[:, -1:])


def _contact(skeleton: Skeleton, walk: Walk, camera: Camera, view: View) -> Float[Tensor, "t 1 h w"]:
    """The dark patch under each foot, fading as the foot lifts."""
    device = view.xs.device
    axes = camera_axes(walk.view_deg, camera.pitch_deg, len(view.xs))
    dark = torch.zeros(len(view.xs), view.ys.shape[1], view.xs.shape[1], device=device)
    for side in ("left", "right"):
        middle = 0.5 * (skeleton.joints[f"heel_{side}"] + skeleton.joints[f"toe_{side}"])
        lift = np.clip(1 - middle[:, 1] / 0.16, 0.25, 1)
        flat = np.einsum("tij,tj->ti", axes, middle * np.array([1.0, 0.0, 1.0]))
        x, y, strength = (torch.from_numpy(v.astype(np.float32)).to(device) for v in (flat[:, 0], flat[:, 1], lift))
        wide = torch.exp(-(((view.xs - x[:, None]) / 0.17) ** 2))
        high = torch.exp(-(((view.ys - y[:, None]) / 0.05) ** 2)) * strength[:, None]
        dark = torch.maximum(dark, high[:, :, None] * wide[:, None, :])
    return dark[:, None]


def _sun_shadow(figure: Layer, camera: Camera, view: View) -> Float[Tensor, "t 1 h w"]:
    """The figure's shadow on the ground, cast by the sun."""
    sx, sy, sz = camera.light.sun
    slope = max(0.08, sz / sy * float(np.sin(np.deg2rad(camera.pitch_deg))))  # picture height per metre of figure
    t, w = view.xs.shape
    h = view.ys.shape[1]
    height = view.ys / slope
    source_x = view.xs[:, None, :] + (height * (sx / sy))[:, :, None]
    step = view.xs[:, 1:2] - view.xs[:, :1]
    column = (source_x - view.xs[:, :1, None]) / step[:, :, None]
    row = (view.ys[:, :1] - height) / step
    grid = torch.stack([(column + 0.5) * (2 / w) - 1, ((row + 0.5) * (2 / h) - 1)[:, :, None].expand(t, h, w)], dim=-1)
    shadow = F.grid_sample(figure.cover, grid, padding_mode="zeros", align_corners=False)
    fade = ((view.ys > -0.03) & (view.ys < 0.55)).float() * (1 - view.ys / 0.8).clamp(0, 1)
    return blurred(shadow * fade[:, None, :, None], 0.006 * h)


def _front_layer(
    seed: int, walk: Walk, camera: Camera, view: View, preset: Preset, scene: Scene, infrared: bool
) -> Layer | None:
    """The occluder or passer-by between the lens and the walker; None if there is none."""
    if walk.occluder == "none":
        return None
    if walk.occluder == "passer-by":
        return _passer_by(seed, walk, camera, view, preset, infrared)
    key = int(1000 * abs(walk.occluder_offset_m)) + 1000 * int(100 * walk.occluder_size)
    layer, width_m = occluder_layer(
        stream(seed, "occluder", camera.camid, key), walk.occluder, walk.occluder_size, scene.pixels_per_m, camera
    )
    picture = layer[[3, 4]] if infrared else layer[[0, 1, 2, 4]]
    middle = float(walk.x_m.mean()) + walk.occluder_offset_m
    seen = _sampled(picture.to(view.xs.device), walk, view, middle - width_m / 2, width_m)
    return Layer(seen[:, :-1] * seen[:, -1:], seen[:, -1:])


def _passer_by(seed: int, walk: Walk, camera: Camera, view: View, preset: Preset, infrared: bool) -> Layer:
    """A person who is in no pool crosses in front."""
    key = int(1e6 * abs(walk.occluder_offset_m))
    stranger = make_person(seed, "train", 1_000_000 + key)
    n = len(view.xs)
    way = 1.0 if walk.occluder_offset_m > 0 else -1.0
    skeleton = pose(stranger.body, stranger.gait, walk.phase + 0.37)
    crossing = torch.from_numpy(((np.arange(n) - n / 2) / 12.0 * way * 0.9 + walk.occluder_offset_m).astype(np.float32))
    moved = crossing[:, None].to(view.xs.device)
    nearer = View((view.xs - moved) * 0.94, view.ys * 0.94 + 0.10, (view.fine_xs - moved) * 0.94,
                  view.fine_ys * 0.94 + 0.10, view.pixel_m)  # fmt: skip
    return draw(stranger, skeleton, 90.0 * way, camera, nearer, preset, infrared)


def _mixed(own: Tensor, other: Tensor, share: float) -> Tensor:
    """Linear light between two modalities; grey if one of them is infrared."""
    n = max(own.shape[1], other.shape[1])
    return own.expand(-1, n, -1, -1) * (1 - share) + other.expand(-1, n, -1, -1) * share


def _sensor(
    seed: int, track: Track, camera: Camera, walk: Walk, change: Change, preset: Preset, light: Float[Tensor, "t c h w"]
) -> Tensor:
    """The pictures after lens, exposure, noise and quantisation to eight bits."""
    h, w = light.shape[2:]
    infrared = track.modality == "infrared"
    light = blurred(light, camera.blur_px * preset.blur * h / 128)
    if infrared:
        gain = camera.lamp_gain * 2 ** (walk.lamp_stops + change.stops)
        light = light * (gain * lamp_spot(camera, h, w, light.device) * vignette(camera, h, w, light.device))
    else:
        tint = 1 + change.tint * np.array([1.0, 0.1, -1.0])
        balance = np.array(camera.balance) * np.array([1 + walk.warmth, 1.0, 1 - walk.warmth]) * tint
        gain = camera.exposure * 2 ** (walk.stops + change.stops)
        scale = torch.tensor((gain * balance).astype(np.float32), device=light.device)[:, None, None]
        light = light * scale * vignette(camera, h, w, light.device)
    rng = stream(seed, "noise", *track.place)
    strength = (camera.noise_night if infrared else camera.noise_day) * preset.noise
    noise = torch.from_numpy(rng.standard_normal(tuple(light.shape), dtype=np.float32)).to(light.device) * strength
    return developed(light, noise, camera.curve_night if infrared else camera.curve_day)
