"""Algorithm 1 of the paper: which parameters each step updates, by which equations.

| line | updates | by | here |
|---|---|---|---|
| 2 | E^V, E^I, E_def, W_def | Eqs. 9, 10 | "defense", stage 1 |
| 3, 10 | E^V, E^I, E_def, E_lstm, W_se | Eq. 16 | "sequence" |
| 4, 8 | W_def fixed | | in no `trains` but line 2's |
| 5, 11 | E^V, E^I, E_att, W_att | Eqs. 3, 5 | "attack" |
| 9 | E_def | Eqs. 9, 10 | "defense", stage 2 |
| before 1 | E^V, E^I, E_def, W_def | Eqs. 9, 10, as the Baseline | "defense", stage 0 |

Modules that it never names: IMSA and f^l's normalisation go with lines 5 and 11, CMCA and f_d's with 2 and 9, the maps
of Eq. 12 with 3 and 10. Line 5 names E_def as well, which is not on the path of Eqs. 3 and 5: it gets no gradient.

Differs: Table I's rows without the sequence part keep training the stems by Eqs. 9 and 10 in stage 2, which Eq. 16
does in the full model; rows without the attack train everything to the end, for nothing attacks W_def.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from duskmatch.config import LossSettings, Settings, TrainSettings
from duskmatch.losses import (
    attack_identity_loss,
    confusion_loss,
    cross_modal_contrastive_loss,
    defense_identity_loss,
    in_fp32,
    sequence_identity_loss,
)
from duskmatch.models.method import STEMS, Due, Forward, SubStep
from duskmatch.models.self_attack import SelfAttackDefense

MIXING = "temporal_mixing"  # goes where E_def goes
DEFENSE = ("defense_encoder", "cross_attention3", "cross_attention4", "defense_neck")
BASELINE = (*STEMS, "defense_encoder", "defense_neck", "defense_classifier")
SEQUENCE = ("guidance", "sequence_neck", "sequence_classifier")
ATTACK = ("self_attention", "attack_encoder", "attack_neck", "attack_classifier")


@in_fp32
def contrastive(forward: Forward, embeddings: Float[Tensor, "n d"]) -> Tensor:
    """Between the modalities of this batch, or of all processes' where `gather` brings their rows."""
    visible, infrared, labels = *embeddings.chunk(2), forward.labels
    if forward.gather is not None:
        visible, infrared, labels = map(forward.gather, (visible, infrared, labels))
    return cross_modal_contrastive_loss(visible, infrared, labels, temperature=forward.loss.contrastive_temperature)


def identity_form(loss: LossSettings) -> dict[str, Any]:
    """The form of Eqs. 5, 9 and 16."""
    return {"mean": loss.identity == "mean", "smoothing": loss.label_smoothing}


def defense_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eqs. 9 and 10; the contrastive loss, where there is no j_d to take it, is not in the paper."""
    model, loss = forward.model, forward.loss
    f_d = model.defense_embedding(forward.maps, forward.n_frames, forward.pairing)
    logits = forward.halves("defense", model.defense_classifier(f_d.embedding))
    anchors = f_d.embedding if loss.triplet_on == "embedding" else f_d.pooled
    terms = {
        "defense_identity": defense_identity_loss(*logits, forward.labels, **identity_form(loss)),
        "defense_triplet": forward.triplet(anchors),
    }
    if loss.contrastive_weight and (not model.has_sequence or forward.due.stage == 0):  # on what is searched with
        terms["contrastive"] = contrastive(forward, f_d.embedding)
    return terms


def sequence_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eq. 16; the triplet and the contrastive loss on j_d are options that the paper does not have."""
    model, loss = forward.model, forward.loss
    j_d = model.sequence_embedding(forward.maps.maps, forward.n_frames)
    logits = forward.halves("sequence", model.sequence_classifier(j_d))
    terms = {"sequence_identity": sequence_identity_loss(*logits, forward.labels, **identity_form(loss))}
    if loss.sequence_triplet:
        terms["sequence_triplet"] = forward.triplet(j_d)
    if loss.contrastive_weight:
        terms["contrastive"] = contrastive(forward, j_d)
    return terms


def attack_terms(forward: Forward) -> dict[str, Tensor]:
    """Source: paper, Eqs. 3 and 5; without Eq. 3 where its weight is 0: as many parameters, and no attack."""
    model, terms = forward.model, {}
    f = model.attack_embedding(forward.shallow, forward.n_frames)
    if forward.loss.confusion_weight:
        # W_def is detached, not only left out of `trains`: in a joint step it trains by Eq. 9 and must not by Eq. 3
        confused = in_fp32(F.linear)(f, model.defense_classifier.weight.detach()).chunk(2)
        mean = forward.loss.identity == "mean"
        terms["confusion"] = confusion_loss(*confused, mean=mean)
        # above its least value: near 0 the attack is idle. Source: REFERENCE row 32
        forward.noted["confusion_excess"] = terms["confusion"].detach() - math.log(model.n_pids) * (1 if mean else 2)
    logits = forward.halves("attack", model.attack_classifier(f))
    terms["attack_identity"] = attack_identity_loss(*logits, forward.labels, **identity_form(forward.loss))
    return terms


def updates(model: SelfAttackDefense, settings: Settings, due: Due) -> list[SubStep]:
    """What is due; the attack waits until W_def has learnt (`train.attack_start`)."""
    attacking = due.accuracy >= settings.train.attack_start
    return sub_steps(model, settings.loss, settings.train, due.stage, attacking=attacking)


def sub_steps(
    model: SelfAttackDefense, loss: LossSettings, train: TrainSettings, stage: int, *, attacking: bool = True
) -> list[SubStep]:
    """The updates of one iteration, in order. `attacking` False leaves the attack out until W_def has learnt.

    Stage 0 is the Baseline: Eqs. 9 and 10 on the mean of F_{t,d} itself.
    Source: paper, III-B, "pre-trained" W_def. Differs: it does not say how; Algorithm 1 has no such stage.
    """
    defense, contrastive = loss.defense_weight, {"contrastive": loss.contrastive_weight}
    of_defense = {"defense_identity": defense, "defense_triplet": defense * loss.triplet_weight, **contrastive}
    if stage == 0:
        return [SubStep("defense", BASELINE, defense_terms, of_defense)]
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

    steps = [SubStep("defense", defense_trains, defense_terms, of_defense)]
    if model.has_sequence:
        weights = {"sequence_identity": loss.sequence_weight, "sequence_triplet": loss.sequence_triplet, **contrastive}
        steps.append(SubStep("sequence", sequence_trains, sequence_terms, weights))
    if model.has_attack and attacking and not only_encoder:
        weights = {"confusion": loss.confusion_weight, "attack_identity": loss.attack_weight}
        steps.append(SubStep("attack", (*STEMS, *ATTACK), attack_terms, weights))
    return steps
