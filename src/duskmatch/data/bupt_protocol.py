"""BUPTCampus' protocols: queries and gallery are two lists, scored in four pairs of modalities and all together.

Source: public code dyhBUPT/BUPTCampus; docs/datasets.md, "BUPTCampus".
"""

from __future__ import annotations

from dataclasses import replace

from duskmatch.data.dataset import DirectionPair, FindPair
from duskmatch.data.layout import Split, SplitRows
from duskmatch.records import Modality, PairName, Protocol, ScoredPair, Tracklet

LEGACY_BATCH = 64
BOTH: tuple[Modality, ...] = ("visible", "infrared")
MODALITIES: dict[PairName, tuple[tuple[Modality, ...], tuple[Modality, ...]]] = {
    "infrared_to_visible": (("infrared",), ("visible",)),
    "visible_to_infrared": (("visible",), ("infrared",)),
    "visible_to_visible": (("visible",), ("visible",)),
    "infrared_to_infrared": (("infrared",), ("infrared",)),
    "omni": (BOTH, BOTH),
}
EVERY: dict[tuple[Modality, ...], str] = {
    ("visible",): "every visible {}",
    ("infrared",): "every infrared {}",
    BOTH: "every {}",
}
CUT = EVERY | {
    ("visible",): f"every visible {{}} up to a multiple of {LEGACY_BATCH}",
    BOTH: f"every {{}}, visible ones up to a multiple of {LEGACY_BATCH}",
}


def _pairs(words: dict[tuple[Modality, ...], str]) -> tuple[ScoredPair, ...]:
    return tuple(
        ScoredPair(name, words[query].format("query"), words[gallery].format("gallery track"))
        for name, (query, gallery) in MODALITIES.items()
    )


STANDARD = Protocol(
    name="BUPTCampus (queries and gallery are two lists; four pairs of modalities, and all together)",
    variant="standard",
    pairs=_pairs(EVERY),
    camera_rule="none",
    frames_per_clip=10,
    sampling="uniform",
)
LEGACY_DROP = replace(
    STANDARD,
    variant="legacy_drop",
    pairs=_pairs(CUT),
    name=f"BUPTCampus, legacy_drop (visible lists cut to a multiple of {LEGACY_BATCH}, to match AuxNet's rows)",
)
PROTOCOLS = (STANDARD, LEGACY_DROP)


def pair_finder(rows: SplitRows, protocol: Protocol) -> FindPair:
    """Finds each pair's query and gallery; `rows.query` are the rows of the query list."""

    def find(name: PairName, split: Split, trial: int) -> DirectionPair:
        query, gallery = rows.query_and_rest()
        if protocol.variant == LEGACY_DROP.variant:
            query, gallery = legacy_cut(query), legacy_cut(gallery)
        of_query, of_gallery = MODALITIES[name]
        return DirectionPair(
            [t for t in query if t.modality in of_query], [t for t in gallery if t.modality in of_gallery]
        )

    return find


def legacy_cut(tracklets: list[Tracklet], batch: int = LEGACY_BATCH) -> list[Tracklet]:
    """Visible tracks without their last len % batch, then all infrared ones.

    Source: the test sampler of BUPTCampus' public code. Differs: visible tracks that fill their
    batches exactly are all kept; there, all of them are lost.
    """
    visible = [t for t in tracklets if t.modality == "visible"]
    kept = visible[: len(visible) - len(visible) % batch]
    return kept + [t for t in tracklets if t.modality == "infrared"]
