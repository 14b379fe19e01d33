"""Adversarial self-attack, defense, and spatial-temporal relation mining: the paper's network.

| paper | here | paper | here |
|---|---|---|---|
| E^V, E^I (Eq. 1) | `stem_visible`, `stem_infrared` | CMCA (Eq. 7) | `cross_attention3`, `cross_attention4` |
| IMSA (Eq. 2) | `self_attention` | BN of Eq. 8, W_def | `defense_neck`, `defense_classifier` |
| E_att, BN of Eq. 4, W_att | `attack_encoder`, `attack_neck`, `attack_classifier` | Eqs. 11-15, E_lstm | `guidance` |
| E_def | `defense_encoder` | W_se | `sequence_classifier` |

A batch is one stack of the frames of 2 b clips, visible ones first; clips i and b + i show the same person. Shared
layers process both modalities in one forward pass, so that batch statistics are of both.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from duskmatch.config import LossSettings, SelfAttackSettings, Settings
from duskmatch.errors import SettingsError
from duskmatch.models.attention import CrossModalityCrossAttention, IntraModalitySelfAttention, NonLocal
from duskmatch.models.backbone import make_stages, make_stem
from duskmatch.models.gauges import GATE_FIGURES, Gauge
from duskmatch.models.network import (
    Clips,
    Due,
    HeadInputs,
    LastMaps,
    Network,
    Shallow,
    Vectors,
    Watched,
    classifier,
    neck,
)
from duskmatch.models.parts import SpatialTemporalGuidance, part_pool
from duskmatch.models.pooled import POOLS, PooledGuidance
from duskmatch.models.pooling import pool_clip
from duskmatch.records import Modality

Embedding = Literal["auto", "sequence", "defense", "both", "attack"]
Pairing = Literal["cross", "self", "skip"]


class DefenseMaps(NamedTuple):
    """F_{t,d3} and F_{t,d} of Eq. 6, both modalities stacked."""

    maps3: Tensor  # (n d3 h w)
    maps: Tensor  # (n d h w)


class DefenseEmbedding(NamedTuple):
    """f_d before and after its batch normalisation (Eq. 8)."""

    pooled: Tensor  # (b d)
    embedding: Tensor  # (b d)


# Parts that some rows of Table I do not have.
SWITCHED_PARTS = (
    *("defense_classifier", "attack_encoder", "attack_neck", "attack_classifier", "self_attention"),
    *("cross_attention3", "cross_attention4", "sequence_neck", "sequence_classifier"),
    *(f"guidance.{part}" for part in ("motion_norm", "motion_lstm", "spatial_lstm", "highlight_maps")),
)
TRAINING_ONLY = ("attack_", "self_attention", "defense_classifier", "sequence_classifier")
# The parameters that each embedding does not use, by the beginning of their names.
UNUSED: dict[str, tuple[str, ...]] = {
    "sequence": (*TRAINING_ONLY, "cross_attention", "defense_neck"),
    "both": TRAINING_ONLY,
    "defense": (*TRAINING_ONLY, "guidance", "sequence_neck"),
    "attack": ("attack_classifier", "defense_", "cross_attention", "guidance", "sequence_", "temporal_"),
}


class SelfAttackDefense(Network):
    """The paper's network; its parts can be switched off, which gives the rows of Table I.

    attack: ASAM; defense: ADM's cross attention (without it E_def alone, as in the Baseline); sequence: FRM-STIG in
    one of its forms, a replacement without recurrence, or "none".
    """

    logged = (
        *("defense_identity", "defense_triplet", "sequence_identity", "sequence_triplet", "contrastive"),
        *("confusion", "confusion_excess", "confusion_share", "attack_identity"),
        *(f"{step}_accuracy" for step in ("defense", "sequence", "attack")),
        *(f"{step}_stem_gradient" for step in ("defense", "sequence", "attack", "joint")),
        *(f"{part}_ratio" for part in ("self_attention", "temporal_mixing", "cross_attention3", "cross_attention4")),
        *(f"{part}_deviation" for part in ("motion", "pooled", "parts")),
        *(f"highlight_{figure}" for figure in GATE_FIGURES),
    )
    gradient_shares = MappingProxyType({"confusion_share": ("confusion", "defense_identity")})
    watched = Watched("defense_accuracy", "defense_identity", "defense_triplet")

    def __init__(self, n_pids: int, settings: SelfAttackSettings) -> None:
        super().__init__(n_pids)
        self.n_parts, self.test_pairing, self.power = settings.n_parts, settings.test_pairing, settings.power
        self.has_attack, self.has_defense = settings.attack, settings.defense
        self.has_sequence = settings.sequence != "none"
        self.embedding: Embedding = self._checked(settings.embedding)

        self.stem_visible, self.stem_infrared = make_stem(settings), make_stem(settings)
        self.defense_encoder = make_stages(settings)
        d3, d = self.defense_encoder.channels3, self.defense_encoder.channels
        self.defense_neck, self.defense_classifier = neck(d), classifier(d, n_pids)
        if self.has_defense:
            self.cross_attention3 = CrossModalityCrossAttention(d3, settings)
            self.cross_attention4 = CrossModalityCrossAttention(d, settings)
        if self.has_attack:
            n_blocks = 1 if settings.attention_shared else 2  # Eq. 2 has one IMSA
            c = self.stem_visible.channels
            self.self_attention = nn.ModuleList(IntraModalitySelfAttention(c, settings) for _ in range(n_blocks))
            self.attack_encoder = make_stages(settings)
            self.attack_neck, self.attack_classifier = neck(d), classifier(d, n_pids)
        if self.has_sequence:
            guidance = PooledGuidance if settings.sequence in POOLS else SpatialTemporalGuidance
            self.guidance = guidance(d, settings)
            self.sequence_neck = neck(self.n_parts * d) if settings.sequence_neck else nn.Identity()
            self.sequence_classifier = classifier(self.n_parts * d, n_pids)
        self.initialise()
        # As with loaded weights, both stems start equal, and both encoders, so that both modalities' features are
        # comparable from the first iteration on.
        self.stem_infrared.load_state_dict(self.stem_visible.state_dict())
        if self.has_attack:
            self.attack_encoder.load_state_dict(self.defense_encoder.state_dict())
        # Last, so that all else starts as without it; not inside E_def, which keeps the names of published weights.
        self.temporal_mixing = NonLocal(d3) if settings.temporal_mixing else None

    @property
    def channels(self) -> int:
        """d, the width of f^l and f_d."""
        return self.defense_encoder.channels

    @property
    def embedding_width(self) -> int:
        sequence, defense = self.n_parts * self.channels, self.channels
        return {"sequence": sequence, "both": sequence + defense}.get(self.embedding, defense)

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        crossing = ("cross_attention",) if self.test_pairing == "skip" else ()
        return (*UNUSED[self.embedding], *crossing)

    def cautions(self, settings: Settings) -> list[str]:
        """Warns of an embedding too narrow for an attack from the start. Source: docs/method.md, row 33."""
        attacks = self.has_attack and settings.loss.confusion_weight > 0
        later = settings.train.attack_start > 0 or settings.train.stage0_epochs > 0
        if not attacks or later or self.channels >= 2 * self.n_pids:
            return []
        return [
            f"the embedding is {self.channels} wide for {self.n_pids} people: below twice their number Eq. 3 works "
            "against the identity losses; widen the model, or set train.attack_start or train.stage0_epochs"
        ]

    def modalities_summed(self, loss: LossSettings) -> int:
        return 2 if loss.identity == "sum" else 1

    def begin(self, due: Due) -> None:
        """After a stage 0, E_att starts as a copy of E_def: loaded weights, too, give both encoders the same start."""
        if self.has_attack and due.begins_stage1:
            self.attack_encoder.load_state_dict(self.defense_encoder.state_dict())

    def gauges(self) -> dict[nn.Module, Gauge]:
        return self.guidance.gauges(self.n_parts) if self.has_sequence else {}

    def backbone_pieces(self) -> list[nn.Module]:
        """Both stems, E_def, and E_att if there is one."""
        pieces: list[nn.Module] = [self.stem_visible, self.stem_infrared, self.defense_encoder]
        return [*pieces, self.attack_encoder] if self.has_attack else pieces

    def attack_embedding(self, shallow: Shallow, n_frames: int) -> Float[Tensor, "b d"]:
        """f^l, the attack network's vector of each clip.

        Source: paper, Eqs. 2 and 4.
        """
        per_modality = shallow.chunk(len(self.self_attention))
        attended = torch.cat([attend(x) for attend, x in zip(self.self_attention, per_modality, strict=True)])
        pooled = pool_clip(self.attack_encoder(attended), n_frames, self.power)
        return self.attack_neck(pooled)  # type: ignore[no-any-return]

    def shared_maps(self, shallow: Shallow, n_frames: int) -> DefenseMaps:
        """F_{t,d3} and F_{t,d}, from F_c and not from IMSA's output.

        With `temporal_mixing` the positions of all `n_frames` frames of a clip attend to each other after stage 3.

        Source: paper, Eq. 6 (the caption of Fig. 2 differs; this follows the equation); the mixing is a space-time
        non-local block (Wang et al. 2018, section 3). Differs: the paper has no such block in E_def.
        """
        maps3 = self.defense_encoder.to_stage3(shallow)
        if self.temporal_mixing is not None:
            maps3 = self.temporal_mixing(maps3, maps3, maps3, n_frames)
        return DefenseMaps(maps3, self.defense_encoder.stage4(maps3))

    def fused_maps(self, maps: DefenseMaps, n_frames: int, pairing: Pairing = "cross") -> Float[Tensor, "n d h w"]:
        """The maps that f_d averages: half the sum of both CMCA paths, or F_{t,d} without CMCA.

        `pairing`: CMCA with the same person's clip of the other modality ("cross", in training) or itself ("self").

        Source: paper, Eq. 7, and Eq. 8 inside its GAP.
        """
        if not self.has_defense or pairing == "skip":
            return maps.maps
        partner = DefenseMaps(*map(other_modality, maps)) if pairing == "cross" else maps
        crossed3 = self.defense_encoder.stage4(self.cross_attention3(maps.maps3, partner.maps3, n_frames))
        crossed = self.cross_attention4(maps.maps, partner.maps, n_frames)
        return (crossed3 + crossed) / 2  # type: ignore[no-any-return]

    def defense_embedding(self, maps: DefenseMaps, n_frames: int, pairing: Pairing = "cross") -> DefenseEmbedding:
        """f_d; `pairing` as in `fused_maps`.

        Source: paper, Eqs. 7 and 8.
        """
        pooled = pool_clip(self.fused_maps(maps, n_frames, pairing), n_frames, self.power)
        return DefenseEmbedding(pooled, self.defense_neck(pooled))

    def sequence_embedding(self, maps: Float[Tensor, "n d h w"], n_frames: int) -> Float[Tensor, "b kd"]:
        """j_d, from the plain F_{t,d}: it needs no partner.

        Source: paper, Eqs. 11-15.
        """
        return self.sequence_neck(self.guided(maps, n_frames))  # type: ignore[no-any-return]

    def guided(self, maps: Float[Tensor, "n d h w"], n_frames: int) -> Float[Tensor, "b kd"]:
        """j_d before its normalisation, if it has one."""
        return self.guidance(part_pool(maps, self.n_parts, n_frames, self.power))  # type: ignore[no-any-return]

    def maps_to_pool(self, clips: Clips, modality: Modality) -> LastMaps:
        """F_{t,d} for j_d, the fused maps of Eq. 8 for f_d; both, in this order, for embedding "both".

        Source: docs/method.md, rows 8, 9: j_d for the full model, f_d with a clip as its own partner for the others.
        """
        n_frames = clips.shape[1]
        shallow = self.stem_of(modality)(clips.flatten(0, 1))  # (bt c h4 w4)
        if self.embedding == "attack":
            return [self._attack_maps(shallow, modality)]
        maps = self.shared_maps(shallow, n_frames)
        found = [maps.maps] if self.embedding in ("sequence", "both") else []
        if self.embedding in ("defense", "both"):
            found.append(self.fused_maps(maps, n_frames, self.test_pairing))
        return found

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return self.head(self.head_inputs(maps, n_frames))

    def head_inputs(self, maps: LastMaps, n_frames: int) -> HeadInputs:
        """The parts for j_d; f_d or f^l as they are."""
        found: list[Tensor] = []
        if self.embedding in ("sequence", "both"):
            found.append(part_pool(maps[0], self.n_parts, n_frames, self.power))
        if self.embedding != "sequence":
            after = self.attack_neck if self.embedding == "attack" else self.defense_neck
            found.append(after(pool_clip(maps[-1], n_frames, self.power)))
        return found

    def head(self, inputs: HeadInputs) -> Vectors:
        if self.embedding not in ("sequence", "both"):
            return inputs
        parts, *others = inputs
        return [self.sequence_neck(self.guidance(parts)), *others]

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        return self.guidance.knock_outs() if self.embedding in ("sequence", "both") else {}

    def neck_inputs(self, visible: Clips, infrared: Clips) -> dict[nn.BatchNorm1d, Float[Tensor, "n _"]]:
        """The inputs of f_d's and j_d's normalisation. Source: docs/method.md, row 34."""
        n_frames = visible.shape[1]
        maps = self.shared_maps(self.shallow(visible, infrared), n_frames)
        found = {self.defense_neck: self.defense_embedding(maps, n_frames, self.test_pairing).pooled}
        if self.has_sequence and isinstance(self.sequence_neck, nn.BatchNorm1d):
            found[self.sequence_neck] = self.guided(maps.maps, n_frames)
        return found

    def attack_alone(self, shallow: Shallow, n_frames: int, modality: Modality) -> Float[Tensor, "b d"]:
        """f^l of one modality."""
        return self.attack_neck(pool_clip(self._attack_maps(shallow, modality), n_frames, self.power))  # type: ignore[no-any-return]

    def _attack_maps(self, shallow: Tensor, modality: Modality) -> Tensor:
        """The maps that f^l of one modality averages."""
        block = self.self_attention[0 if len(self.self_attention) == 1 or modality == "visible" else 1]
        return self.attack_encoder(block(shallow))  # type: ignore[no-any-return]

    def _checked(self, embedding: Embedding) -> Embedding:
        if embedding == "auto":
            return "sequence" if self.has_sequence else "defense"
        if embedding in ("sequence", "both") and not self.has_sequence:
            raise SettingsError(f"model.embedding {embedding} needs the sequence part; set model.sequence to full")
        if embedding == "attack" and not self.has_attack:
            raise SettingsError("model.embedding attack needs the attack part; set model.attack to true")
        return embedding


def other_modality(maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n d h w"]:
    """The stack with its halves exchanged: each frame's partner of the other modality."""
    half = maps.shape[0] // 2
    return torch.cat([maps[half:], maps[:half]])
