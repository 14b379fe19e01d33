"""The gallery's calibration, for linking: similarities to log-likelihood ratios."""

from __future__ import annotations

import json

from duskmatch.errors import GalleryError
from duskmatch.gallery.reading import Snapshot
from duskmatch.gallery.seen import LogRatio


def ratio_of(snapshot: Snapshot, name: str) -> LogRatio:
    """The likelihood ratios that the gallery keeps; GalleryError where it has none."""
    from duskmatch.evaluation.calibration import Calibration

    document = snapshot.db.execute("SELECT document FROM calibration").get
    if document is None:
        raise GalleryError(
            f"linking needs a calibration, which {name} does not have; calibrate it with "
            f"`duskmatch gallery calibrate {name} --data DATASET --run RUN`"
        )
    return Calibration.from_document(json.loads(str(document)))
