"""Algorithm 1 of the paper: which parameters each step updates, by which equations.

| line | updates | by | here |
|---|---|---|---|
| 2 | E^V, E^I, E_def, W_def | Eqs. 9, 10 | "defense", stage 1 |
| 3, 10 | E^V, E^I, E_def, E_lstm, W_se | Eq. 16 | "sequence" |
| 4, 8 | W_def fixed | | only line 2's `trains` has it |
| 5, 11 | E^V, E^I, E_att, W_att | Eqs. 3, 5 | "attack" |
| 9 | E_def | Eqs. 9, 10 | "defense", stage 2 |
| before 1 | E^V, E^I, E_def, W_def | Eqs. 9, 10, as the Baseline | "defense", stage 0 |

Modules that the paper's listing does not name: IMSA and f^l's normalisation are trained in lines 5 and 11, CMCA and
f_d's in 2 and 9, the maps of Eq. 12 in 3 and 10. Line 5 names E_def as well, which gets no gradient from Eqs. 3 and 5.

Differs: Table I's rows without the sequence part keep training the stems by Eqs. 9 and 10 in stage 2, as Eq. 16 does
in the full model; rows without the attack train everything to the end, since nothing attacks W_def.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int64
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
from duskmatch.models.common_losses import CommonLosses, Outputs, accuracy
from duskmatch.models.method import ALONE, AllProcesses, Figure, Forward, SubStep, Term
from duskmatch.models.network import STEMS, Due
from duskmatch.models.self_attack import DefenseMaps, Pairing, SelfAttackDefense

MIXING = "temporal_mixing"  # trained with E_def
DEFENSE = ("defense_encoder", "cross_attention3", "cross_attention4", "defense_neck")
BASELINE = (*STEMS, "defense_encoder", "defense_neck", "defense_classifier")
SEQUENCE = ("guidance", "sequence_neck", "sequence_classifier")
ATTACK = ("self_attention", "attack_encoder", "attack_neck", "attack_classifier")


@dataclass(frozen=True)
class PaperLosses(CommonLosses):
    """The common losses and the paper's, in the form chosen by the settings."""

    def of_pairs(self, loss: Callable[..., Tensor]) -> Callable[[Outputs], Tensor]:
        """Eq. 5, 9 or 16 as a function of the outputs."""
        form = {"mean": self.settings.identity == "mean", "smoothing": self.settings.label_smoothing}
        return lambda out: loss(*out.logits.chunk(2), out.labels.chunk(2)[0], **form)

    def confusion(self, f: Float[Tensor, "n d"], w_def: Float[Tensor, "n_pids d"]) -> Float[Tensor, ""]:
        """Source: paper, Eq. 3. W_def is detached: a joint step must not train it by Eq. 3."""
        logits = in_fp32(F.linear)(f, w_def.detach())
        return confusion_loss(*logits.chunk(2), mean=self.settings.identity == "mean")

    def least_confusion(self, n_pids: int) -> float:
        """The minimum of Eq. 3, near which the attack is idle. Source: docs/method.md, row 32."""
        return math.log(n_pids) * (1 if self.settings.identity == "mean" else 2)

    def contrastive(self, out: Outputs) -> Float[Tensor, ""]:
        """The contrastive loss over this batch, or over those of all processes. Differs: not in the paper."""
        (visible, infrared), (labels, _) = out.embedding.chunk(2), out.labels.chunk(2)
        return self.contrastive_of(visible, infrared, labels)

    @in_fp32
    def contrastive_of(
        self, visible: Float[Tensor, "b d"], infrared: Float[Tensor, "b d"], labels: Int64[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        rows = map(self.processes.gather, (visible, infrared, labels))
        return cross_modal_contrastive_loss(*rows, temperature=self.settings.contrastive_temperature)


def defense_outputs(model: SelfAttackDefense, pairing: Pairing, forward: Forward[DefenseMaps]) -> Outputs:
    """f_d and its logits by W_def."""
    f_d = model.defense_embedding(forward.maps, forward.n_frames, pairing)
    return Outputs(f_d.pooled, f_d.embedding, model.defense_classifier(f_d.embedding), forward.both_labels)


def sequence_outputs(model: SelfAttackDefense, forward: Forward[DefenseMaps]) -> Outputs:
    """j_d and its logits by W_se."""
    j_d = model.sequence_embedding(forward.maps.maps, forward.n_frames)
    return Outputs(j_d, j_d, model.sequence_classifier(j_d), forward.both_labels)


def attack_outputs(model: SelfAttackDefense, forward: Forward[DefenseMaps]) -> Outputs:
    """f^l and its logits by W_att."""
    f = model.attack_embedding(forward.shallow, forward.n_frames)
    return Outputs(f, f, model.attack_classifier(f), forward.both_labels)


def defense_terms(model: SelfAttackDefense, losses: PaperLosses, stage: int) -> tuple[Term[Outputs], ...]:
    """Source: paper, Eqs. 9 and 10; the contrastive loss, used if there is no j_d, is not in the paper."""
    loss = losses.settings
    lambda_2, contrastive = loss.defense_weight, loss.contrastive_weight
    terms = (
        Term("defense_identity", lambda_2, losses.of_pairs(defense_identity_loss)),
        Term("defense_triplet", lambda_2 * loss.triplet_weight, losses.triplet),
        Term("contrastive", contrastive, losses.contrastive),  # on the embedding
    )
    return terms if contrastive and (stage == 0 or not model.has_sequence) else terms[:2]


def sequence_terms(losses: PaperLosses) -> tuple[Term[Outputs], ...]:
    """Source: paper, Eq. 16; the triplet and the contrastive loss on j_d are options that the paper does not have."""
    loss = losses.settings
    options = (
        Term("sequence_triplet", loss.sequence_triplet, losses.triplet),
        Term("contrastive", loss.contrastive_weight, losses.contrastive),
    )
    lambda_3 = Term("sequence_identity", loss.sequence_weight, losses.of_pairs(sequence_identity_loss))
    return (lambda_3, *(term for term in options if term.weight))


def attack_terms(model: SelfAttackDefense, losses: PaperLosses) -> tuple[Term[Outputs], ...]:
    """Source: paper, Eqs. 3 and 5; Eq. 3 is left out at weight 0, which keeps the parameters without the attack."""
    loss, w_def = losses.settings, model.defense_classifier.weight
    terms = (
        Term[Outputs]("confusion", loss.confusion_weight, lambda out: losses.confusion(out.embedding, w_def)),
        Term("attack_identity", loss.attack_weight, losses.of_pairs(attack_identity_loss)),
    )
    return terms if loss.confusion_weight else terms[1:]


def attack_figures(model: SelfAttackDefense, losses: PaperLosses) -> tuple[Figure[Outputs], ...]:
    """W_att's accuracy, and Eq. 3 less its minimum."""
    w_def, least = model.defense_classifier.weight, losses.least_confusion(model.n_pids)
    excess = Figure[Outputs]("confusion_excess", lambda out: losses.confusion(out.embedding, w_def) - least)
    figures = (Figure("attack_accuracy", accuracy), excess)
    return figures if losses.settings.confusion_weight else figures[:1]


def updates(model: SelfAttackDefense, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """The updates of this iteration; the attack starts once W_def is accurate enough (`train.attack_start`)."""
    return sub_steps(
        model,
        settings.loss,
        settings.train,
        due.stage,
        attacking=due.accuracy >= settings.train.attack_start,
        pairing="self" if self_pair_drawn(settings, due.step) else "cross",
        processes=processes,
    )


def self_pair_drawn(settings: Settings, step: int) -> bool:
    """True if each clip is its own partner in CMCA in this iteration: a pure function of (seed, step)."""
    if not settings.train.self_pair_probability:
        return False
    rng = np.random.Generator(np.random.Philox(key=[settings.seed % 2**63, step]))
    return bool(rng.random() < settings.train.self_pair_probability)


def sub_steps(
    model: SelfAttackDefense,
    loss: LossSettings,
    train: TrainSettings,
    stage: int,
    *,
    attacking: bool = True,
    pairing: Pairing = "cross",
    processes: AllProcesses = ALONE,
) -> list[SubStep]:
    """The updates of one iteration, in order; `attacking` False leaves out the attack.

    Stage 0 is the Baseline: Eqs. 9 and 10 on the mean of F_{t,d} itself.
    Source: paper, III-B, "pre-trained" W_def. Differs: the paper does not say how; Algorithm 1 has no such stage.
    """
    losses = PaperLosses(loss, processes)

    def defense(trains: tuple[str, ...], pairing: Pairing) -> SubStep:
        compute, terms = partial(defense_outputs, model, pairing), defense_terms(model, losses, stage)
        return SubStep("defense", trains, compute, terms, (Figure("defense_accuracy", accuracy),))

    if stage == 0:
        return [defense(BASELINE, "skip")]
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

    steps = [defense(defense_trains, pairing)]
    if model.has_sequence:
        compute, figure = partial(sequence_outputs, model), Figure("sequence_accuracy", accuracy)
        steps.append(SubStep("sequence", sequence_trains, compute, sequence_terms(losses), (figure,)))
    if model.has_attack and attacking and not only_encoder:
        terms, figures = attack_terms(model, losses), attack_figures(model, losses)
        steps.append(SubStep("attack", (*STEMS, *ATTACK), partial(attack_outputs, model), terms, figures))
    return steps
