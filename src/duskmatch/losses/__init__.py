"""Losses: one file per family, one function per equation."""

from duskmatch.losses.contrastive import cross_modal_contrastive_loss
from duskmatch.losses.identity import (
    attack_identity_loss,
    confusion_loss,
    defense_identity_loss,
    sequence_identity_loss,
)
from duskmatch.losses.triplet import TripletForm, defense_triplet_loss

__all__ = [
    "TripletForm",
    "attack_identity_loss",
    "confusion_loss",
    "cross_modal_contrastive_loss",
    "defense_identity_loss",
    "defense_triplet_loss",
    "sequence_identity_loss",
]
