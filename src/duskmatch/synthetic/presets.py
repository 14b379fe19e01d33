"""The presets of Duskwalk: their sizes and difficulties."""

from __future__ import annotations

from dataclasses import dataclass

DATA_VERSION = "2"  # increased whenever a picture changes


@dataclass(frozen=True, slots=True)
class Preset:
    """One size. Shares are of tracks; spreads are of the crop's height unless named otherwise."""

    size: tuple[int, int]  # (H, W) of a picture
    people: tuple[int, int, int]  # train, validation, test
    cameras: int
    tracks: int  # visible tracks of one person, and as many infrared ones, each from its own camera
    n_frames: tuple[int, int] = (24, 24)  # shortest and usual length of a track
    train_frames: tuple[int, int] | None = None  # the same for training people; None: n_frames
    supersample: int = 2
    occluded: float = 0.15  # share of tracks with an occluder
    jitter: float = 0.02  # spread of the box's position
    truncated: float = 0.06  # share of tracks whose box misses feet or head
    noise: float = 1.0  # sensor noise, as a factor
    blur: float = 1.0
    exposure: float = 0.25  # spread of the exposure, in stops
    gait_drift: float = 1.0  # factor on the changes of a person's gait from walk to walk
    turn_deg: float = 12.0  # spread of the walking direction around the camera's path
    counts: str = ""  # "vcm" follows HITSZ-VCM's counts
    revision: str = ""  # of this preset's counts of people and frames, while pictures stay the same

    @property
    def version(self) -> str:
        """The data version, which is in every score."""
        return DATA_VERSION + (f".{self.revision}" if self.revision else "")

    def frames_of(self, pool: str) -> tuple[int, int]:
        """Shortest and usual length of this pool's tracks."""
        return self.train_frames if pool == "train" and self.train_frames is not None else self.n_frames


PRESETS: dict[str, Preset] = {
    "tiny": Preset(size=(96, 48), people=(8, 4, 12), cameras=4, tracks=3, n_frames=(24, 24), noise=0.7),
    "demo": Preset(
        size=(96, 48), people=(512, 30, 100), cameras=6, tracks=3, n_frames=(20, 24), train_frames=(12, 12), noise=0.7,
        revision="1",
    ),
    "bench": Preset(
        size=(192, 96), people=(320, 64, 200), cameras=10, tracks=4, n_frames=(12, 24), occluded=0.30, jitter=0.035,
        truncated=0.15, noise=1.4, blur=1.4, exposure=0.5, gait_drift=1.25, turn_deg=30.0,
    ),
    "full": Preset(
        size=(288, 144), people=(500, 60, 427), cameras=12, tracks=10, n_frames=(12, 24), occluded=0.30, jitter=0.035,
        truncated=0.15, noise=1.4, blur=1.4, exposure=0.5, gait_drift=1.25, turn_deg=30.0, counts="vcm",
    ),
}  # fmt: skip
