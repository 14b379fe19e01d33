import torch

from duskmatch.data import normalise


def clips(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 3, 8, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_default_takes_imagenets_mean_and_deviation():
    out = normalise(torch.full((1, 1, 3, 2, 2), 255, dtype=torch.uint8))
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(out[0, 0, :, 0, 0], expected)


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
