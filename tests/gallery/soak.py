"""`make soak`: many kills, and processes that write and read together; prints the counts and writes them as JSON.

python -m tests.gallery.soak [--kills 200] [--minutes 10] [--out benchmarks/results/gallery_soak.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.gallery import together
from tests.gallery.killing import KINDS, Gallery

OUT = Path(__file__).parents[2] / "benchmarks" / "results" / "gallery_soak.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        gallery = Gallery(Path(place), args.seed)
        for number in range(args.kills):
            gallery.kill(KINDS[number % len(KINDS)])
    counts = {**asdict(gallery.counts), "good": gallery.counts.good}
    print(json.dumps(counts), flush=True)
    with tempfile.TemporaryDirectory() as place:
        account = together.run(Path(place), 60 * args.minutes)
    print(json.dumps(account))
    args.out.write_text(json.dumps({"kills": counts, "together": account}, indent=2) + "\n")
    bad = ("lost", "not_deleted", "half_batches", "deleted_seen", "problems")
    return 0 if gallery.counts.good and not any(account[name] for name in bad) else 1


if __name__ == "__main__":
    sys.exit(main())
