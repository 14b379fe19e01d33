"""Hetero-centre triplet: a person's mean vector in one modality must be near that in the other, and far from others'.

| paper | here |
|---|---|
| c_v^i, c_t^i | `losses.centre_cluster.centres` |
| L_hc_tri | `losses.centre_cluster.hetero_centre_triplet` |

Source: Liu, Tan, Zhou, "Parameter Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person
Re-Identification", IEEE TMM 2020. Differs: one vector for the whole person, without the paper's stripes; clips.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from duskmatch.config import Settings
from duskmatch.losses.centre_cluster import hetero_centre_triplet
from duskmatch.models.common_losses import CommonLosses, Outputs
from duskmatch.models.frames import IDENTITY_ACCURACY, FrameNetwork, outputs
from duskmatch.models.method import ALONE, AllProcesses, SubStep, Term
from duskmatch.models.network import Due, every_part


class HeteroCentreTriplet(FrameNetwork):
    """A plain frame network; only the loss is special."""

    logged = ("identity", "centre_triplet", "identity_accuracy")


def updates(model: HeteroCentreTriplet, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """One update of all parameters: cross entropy after the neck, hetero-centre triplet before it."""

    def of_centres(out: Outputs) -> Tensor:
        (visible, infrared), (labels, _) = out.pooled.chunk(2), out.labels.chunk(2)
        return hetero_centre_triplet(visible, infrared, labels, margin=settings.loss.margin)

    losses = CommonLosses(settings.loss, processes)
    terms = (Term("identity", 1.0, losses.identity), Term("centre_triplet", 1.0, of_centres))
    return [SubStep("main", every_part(model), partial(outputs, model), terms, (IDENTITY_ACCURACY,))]
