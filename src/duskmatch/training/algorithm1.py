"""Algorithm 1 of the paper: which parameters each step updates, by which equations.

| line | updates | by | here |
|---|---|---|---|
| 2 | E^V, E^I, E_def, W_def | Eqs. 9, 10 | "defense", stage 1 |
| 3, 10 | E^V, E^I, E_def, E_lstm, W_se | Eq. 16 | "sequence" |
| 4, 8 | W_def fixed | | in no `trains` but line 2's |
| 5, 11 | E^V, E^I, E_att, W_att | Eqs. 3, 5 | "attack" |
| 9 | E_def | Eqs. 9, 10 | "defense", stage 2 |

Modules that it never names: IMSA and f^l's normalisation go with lines 5 and 11, CMCA and f_d's with 2 and 9, the maps
of Eq. 12 with 3 and 10. Line 5 names E_def as well, which is not on the path of Eqs. 3 and 5: it gets no gradient.

Differs: Table I's rows without the sequence part keep training the stems by Eqs. 9 and 10 in stage 2, which Eq. 16
does in the full model; rows without the attack train everything to the end, for nothing attacks W_def.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from duskmatch.config import LossSettings, TrainSettings
from duskmatch.losses import (
    attack_identity_loss,
    confusion_loss,
    cross_modal_contrastive_loss,
    defense_identity_loss,
    defense_triplet_loss,
    sequence_identity_loss,
)
from duskmatch.models.self_attack import DefenseMaps, SelfAttackDefense

STEMS = ("stem_visible", "stem_infrared")
MIXING = "temporal_mixing"  # goes where E_def goes
DEFENSE = ("defense_encoder", "cross_attention3", "cross_attention4", "defense_neck")
SEQUENCE = ("guidance", "sequence_neck", "sequence_classifier")
ATTACK = ("self_attention", "attack_encoder", "attack_neck", "attack_classifier")


class Forward:
    """What one batch becomes on its way through the network, each piece computed once and only when asked for."""

    def __init__(
        self,
        model: SelfAttackDefense,
        loss: LossSettings,
        visible: Float[Tensor, "b t 3 h w"],
        infrared: Float[Tensor, "b t 3 h w"],
        labels: Int64[Tensor, "b"],
        pairing: Literal["cross", "self"] = "cross",
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.loss, self.gather = model, loss, gather
        self.visible, self.infrared, self.labels = visible, infrared, labels
        self.n_frames, self.pairing = visible.shape[1], pairing
        self.detached = False  # True: nothing flows back into the stems
        self.accuracies: dict[str, Tensor] = {}

    @cached_property
    def shallow(self) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            return self.model.shallow(self.visible, self.infrared)

    @cached_property
    def maps(self) -> DefenseMaps:
        return self.model.defense_maps(self.shallow, self.n_frames)

    def halves(self, name: str, logits: Float[Tensor, "n n_pids"]) -> tuple[Tensor, Tensor]:
        """The logits of both modalities; how many are right is noted on the way."""
        visible, infrared = logits.chunk(2)
        right = (visible.argmax(1) == self.labels).float().mean() + (infrared.argmax(1) == self.labels).float().mean()
        self.accuracies[f"{name}_accuracy"] = (right / 2).detach()
        return visible, infrared

    def triplet(self, anchors: Float[Tensor, "n d"]) -> Tensor:
        """Over this batch, or over all processes' where `gather` brings their rows."""
        labels = self.labels.repeat(2)
        if self.gather is not None:
            anchors, labels = self.gather(anchors.float()), self.gather(labels)
        return defense_triplet_loss(anchors, labels, margin=self.loss.margin, form=self.loss.triplet)

    def contrastive(self, embeddings: Float[Tensor, "n d"]) -> Tensor:
        """Between the modalities of this batch, or of all processes' where `gather` brings their rows."""
        visible, infrared, labels = *embeddings.float().chunk(2), self.labels
        if self.gather is not None:
            visible, infrared, labels = self.gather(visible), self.gather(infrared), self.gather(labels)
        return cross_modal_contrastive_loss(visible, infrared, labels, temperature=self.loss.contrastive_temperature)

    @property
    def mean(self) -> bool:
        return self.loss.identity == "mean"

    @property
    def identity(self) -> dict[str, Any]:
        """The form of Eqs. 5, 9 and 16."""
        return {"mean": self.mean, "smoothing": self.loss.label_smoothing}


def defense_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eqs. 9 and 10; the contrastive loss, where there is no j_d to take it, is not in the paper."""
    model, loss = forward.model, forward.loss
    f_d = model.defense_embedding(forward.maps, forward.n_frames, forward.pairing)
    logits = forward.halves("defense", model.defense_classifier(f_d.embedding))
    anchors = f_d.embedding if loss.triplet_on == "embedding" else f_d.pooled
    terms = {
        "defense_identity": defense_identity_loss(*logits, forward.labels, **forward.identity),
        "defense_triplet": forward.triplet(anchors),
    }
    if loss.contrastive_weight and not model.has_sequence:
        terms["contrastive"] = forward.contrastive(f_d.embedding)
    return terms


def sequence_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eq. 16; the triplet and the contrastive loss on j_d are options that the paper does not have."""
    model, loss = forward.model, forward.loss
    j_d = model.sequence_embedding(forward.maps.maps, forward.n_frames)
    logits = forward.halves("sequence", model.sequence_classifier(j_d))
    terms = {"sequence_identity": sequence_identity_loss(*logits, forward.labels, **forward.identity)}
    if loss.sequence_triplet:
        terms["sequence_triplet"] = forward.triplet(j_d)
    if loss.contrastive_weight:
        terms["contrastive"] = forward.contrastive(j_d)
    return terms


def attack_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eqs. 3 and 5; without Eq. 3 where its weight is 0: as many parameters, and no attack."""
    model, terms = forward.model, {}
    f = model.attack_embedding(forward.shallow, forward.n_frames)
    if forward.loss.confusion_weight:
        # W_def is detached, not only left out of `trains`: in a joint step it trains by Eq. 9 and must not by Eq. 3
        confused = F.linear(f, model.defense_classifier.weight.detach()).chunk(2)
        terms["confusion"] = confusion_loss(*confused, mean=forward.mean)
    logits = forward.halves("attack", model.attack_classifier(f))
    terms["attack_identity"] = attack_identity_loss(*logits, forward.labels, **forward.identity)
    return terms


@dataclass(frozen=True)
class SubStep:
    """One update: the modules it trains, its loss terms, and each term's weight in Eq. 17."""

    name: str
    trains: tuple[str, ...]
    terms: Callable[[Forward], dict[str, Tensor]]
    weights: dict[str, float]


def sub_steps(
    model: SelfAttackDefense, loss: LossSettings, train: TrainSettings, stage: int, *, attacking: bool = True
) -> list[SubStep]:
    """The updates of one iteration, in order. `attacking` False leaves the attack out until W_def has learnt."""
    frozen_stage = stage == 2 and model.has_attack
    only_encoder = stage == 2 and train.stage2 == "only_defense_encoder"
    stems = () if only_encoder else STEMS

    defense_trains: tuple[str, ...] = (*DEFENSE, MIXING)
    if not frozen_stage:
        defense_trains = (*stems, *defense_trains, "defense_classifier")
    elif not model.has_sequence:
        defense_trains = (*stems, *defense_trains)
    encoder = ("defense_encoder", MIXING)
    sequence_trains = encoder if only_encoder else (*STEMS, *encoder, *SEQUENCE)

    defense, contrastive = loss.defense_weight, {"contrastive": loss.contrastive_weight}
    weights = {"defense_identity": defense, "defense_triplet": defense * loss.triplet_weight, **contrastive}
    steps = [SubStep("defense", defense_trains, defense_terms, weights)]
    if model.has_sequence:
        weights = {"sequence_identity": loss.sequence_weight, "sequence_triplet": loss.sequence_triplet, **contrastive}
        steps.append(SubStep("sequence", sequence_trains, sequence_terms, weights))
    if model.has_attack and attacking and not only_encoder:
        weights = {"confusion": loss.confusion_weight, "attack_identity": loss.attack_weight}
        steps.append(SubStep("attack", (*STEMS, *ATTACK), attack_terms, weights))
    return steps
