"""Losses: one file per family, one function per equation."""

from duskmatch.losses.centre_cluster import centre_cluster_loss
from duskmatch.losses.contrastive import cross_modal_contrastive_loss
from duskmatch.losses.distillation import distillation_loss, sinkhorn_distance
from duskmatch.losses.identity import (
    attack_identity_loss,
    confusion_loss,
    cross_entropy,
    defense_identity_loss,
    sequence_identity_loss,
)
from duskmatch.losses.precision import in_fp32
from duskmatch.losses.triplet import TripletForm, defense_triplet_loss, rank_loss, squared_difference_loss

__all__ = [
    "TripletForm",
    "attack_identity_loss",
    "centre_cluster_loss",
    "confusion_loss",
    "cross_entropy",
    "cross_modal_contrastive_loss",
    "defense_identity_loss",
    "defense_triplet_loss",
    "distillation_loss",
    "in_fp32",
    "rank_loss",
    "sequence_identity_loss",
    "sinkhorn_distance",
    "squared_difference_loss",
]
