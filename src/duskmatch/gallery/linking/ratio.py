"""The gallery's calibration, for linking: similarities to log-likelihood ratios."""

from __future__ import annotations

from duskmatch.errors import GalleryError
from duskmatch.gallery.linking.seen import LogRatio
from duskmatch.gallery.probability.calibrated import read
from duskmatch.gallery.store.reading import Snapshot


def ratio_of(snapshot: Snapshot, name: str) -> LogRatio:
    """The likelihood ratios that the gallery keeps; GalleryError where it has none."""
    calibrated = read(snapshot)
    if calibrated is None:
        raise GalleryError(
            f"linking needs a calibration, which {name} does not have; calibrate it with "
            f"`duskmatch gallery calibrate {name} --data DATASET --run RUN`"
        )
    return calibrated.calibration
