"""Crops sorted into FOLDER/<visible or infrared>/<camera>/<person>/*.jpg, made TRACKLETS by a tracklets.csv.

python examples/tracklets_from_folders.py FOLDER; then: duskmatch check FOLDER
"""

import sys
from pathlib import Path

from duskmatch import Tracklet
from duskmatch.data import in_time_order, write_tracklets


def main(folder: str) -> None:
    root = Path(folder)
    tracklets = []
    for place in sorted(p for p in root.glob("*/*/*") if p.is_dir()):
        modality, camera, person = place.relative_to(root).parts
        frames = tuple(place / name for name in in_time_order(p.name for p in place.glob("*.jpg")))  # 2.jpg, 10.jpg
        if frames:
            name = f"{person}-{modality}-{camera}"
            tracklets.append(Tracklet(frames, int(person), int(camera), modality, tracklet_id=name))
    print(f"{len(tracklets)} tracklets: {write_tracklets(root, tracklets)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
