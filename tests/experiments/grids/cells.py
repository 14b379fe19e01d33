"""Results of cells made by hand, without any training."""

from __future__ import annotations

from collections.abc import Sequence

from duskmatch.config import load_settings
from duskmatch.evaluation.document import DataFacts, DirectionScores
from duskmatch.experiments.grids.cells import CELL_VERSION, CellResult, People
from duskmatch.records import DIRECTIONS


def result(row: str, seed: int, hits: Sequence[int], *, n: int = 2, first_pid: int = 1) -> CellResult:
    """A cell in which person i had hits[i] of n queries found first; precision is the same share."""
    share = sum(hits) / (n * len(hits))
    scores = DirectionScores(
        rank1=share,
        rank5=1,
        rank10=1,
        rank20=1,
        mAP=share,
        mINP=share,
        chance=0.1,
        rank1_interval=(0, 1),
        mAP_interval=(0, 1),
        n_queries=n * len(hits),
        n_gallery=50,
        n_left_out=0,
        n_ties=0,
    )
    pids = [first_pid + i for i in range(len(hits))]
    people = People(pids=pids, n=[n] * len(hits), hits=list(hits), precision=[float(h) for h in hits])
    return CellResult(
        schema_version=CELL_VERSION,
        row=row,
        seed=seed,
        split="test",
        selection="last",
        settings=load_settings("tiny", seed=seed).model_dump(mode="json"),
        data=DataFacts(name="Duskwalk", version="2", fingerprint="0" * 64, test_reads=None, n_unreadable=0),
        synthetic=True,
        directions=dict.fromkeys(DIRECTIONS, scores),
        people=dict.fromkeys(DIRECTIONS, people),
        test_best_legacy=None,
        parameters={"training": 10, "test": 5},
        flops=7,
        seconds=1.5,
        frames_per_s=3.0,
        machine="by hand",
        threads=1,
        versions={"torch": "0"},
    )
