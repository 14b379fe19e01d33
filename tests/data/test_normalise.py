import pytest
import torch

from duskmatch.config import parse_settings
from duskmatch.errors import SettingsError
from duskmatch.pixels import normalise


def clips(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 3, 8, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_default_takes_imagenets_mean_and_deviation():
    out = normalise(torch.full((1, 1, 3, 2, 2), 255, dtype=torch.uint8))
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(out[0, 0, :, 0, 0], expected)


def test_the_default_is_its_formula_to_the_bit_and_leaves_its_clips_alone():
    mean = 255 * torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = 255 * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    for given in (clips(), clips().permute(0, 1, 2, 4, 3), clips()[:, :, :1].expand(-1, -1, 3, -1, -1)):
        before = given.clone()
        assert torch.equal(normalise(given), (given.float() - mean) / std)
        assert torch.equal(given, before)
    brightness = (clips().float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=-3, keepdim=True)
    assert torch.equal(normalise(clips(), grey=True), (brightness - mean) / std)


def test_grey_is_brightness_in_all_three_channels_and_leaves_grey_pictures_alone():
    out = normalise(clips(), grey=True, per_clip=True)
    assert torch.equal(out[:, :, 0], out[:, :, 1]) and torch.equal(out[:, :, 0], out[:, :, 2])
    grey = clips()[:, :, :1].expand(-1, -1, 3, -1, -1)
    assert torch.allclose(normalise(grey, grey=True), normalise(grey), atol=1e-4)


def test_per_clip_does_not_see_exposure_and_keeps_clips_apart():
    dark = (clips() // 4) + 10
    bright = dark * 3 + 7
    assert torch.allclose(normalise(dark, per_clip=True), normalise(bright, per_clip=True), atol=1e-4)
    both = normalise(torch.cat([dark, clips(1)]), per_clip=True)
    assert torch.allclose(both[:2], normalise(dark, per_clip=True), atol=1e-6)
    assert abs(float(both[0].mean())) < 1e-5


def test_frames_of_a_clip_keep_their_differences():
    clip = torch.stack([torch.full((3, 4, 4), v, dtype=torch.uint8) for v in (50, 100)])[None]
    out = normalise(clip, per_clip=True)
    assert out[0, 0].max() < out[0, 1].min()


def test_a_flat_clip_stays_flat():
    assert torch.equal(
        normalise(torch.full((1, 2, 3, 2, 2), 9, dtype=torch.uint8), per_clip=True), torch.zeros(1, 2, 3, 2, 2)
    )


def test_local_contrast_is_the_literal_window_statistic():
    pixels = normalise(clips(3), grey=True, per_clip=True)
    out = normalise(clips(3), grey=True, per_clip=True, local_contrast=(3, 5))
    assert torch.equal(out[:, :, 0], pixels[:, :, 0])
    for channel, half in ((1, 1), (2, 2)):
        for y, x in ((0, 0), (3, 2), (7, 3)):
            window = pixels[1, 2, 0, max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
            expected = (pixels[1, 2, 0, y, x] - window.mean()) / (window.std(correction=0) + 0.3)
            assert torch.allclose(out[1, 2, channel, y, x], expected, atol=1e-4)


def test_local_contrast_is_the_same_by_day_and_by_night_where_only_slow_light_differs():
    stripes = 60 + 60 * (torch.arange(16) % 4 < 2).float()  # a garment
    night = stripes * torch.linspace(0.6, 1.4, 16)  # a lamp that is brighter on one side
    pair = torch.stack([stripes, night])[:, None, None, None, :].expand(2, 1, 3, 8, 16).round().to(torch.uint8)
    plain = normalise(pair, grey=True, per_clip=True)[:, 0, 0]
    contrast = normalise(pair, grey=True, per_clip=True, local_contrast=(5,))[:, 0, 2]
    assert (contrast[0] - contrast[1]).abs().mean() < 0.5 * (plain[0] - plain[1]).abs().mean()


def test_local_contrast_refuses_what_it_cannot_do():
    for data, rule in (
        ({"local_contrast": [4], "grey": True, "per_clip": True}, "odd windows of 3 pixels or more"),
        ({"local_contrast": [3, 3, 3, 3], "grey": True, "per_clip": True}, "at most 3"),
        ({"local_contrast": [3]}, r"needs data\.grey and data\.per_clip"),
    ):
        with pytest.raises(SettingsError, match=rule):
            parse_settings({"data": data})
