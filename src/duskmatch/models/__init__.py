"""Methods by name. A new method is one file here and one line in MODELS."""

from duskmatch.models import algorithm1, hc_tri, mitml, mpanet, vsd
from duskmatch.models.method import Due, Forward, Method, Network, SubStep
from duskmatch.models.mitml import MITML
from duskmatch.models.mpanet import MPANet
from duskmatch.models.self_attack import SelfAttackDefense
from duskmatch.models.vsd import VSD

MODELS: dict[str, Method] = {
    "self_attack": Method(SelfAttackDefense, algorithm1.updates),
    "hc_tri": Method(hc_tri.HeteroCentreTriplet, hc_tri.updates),
    "mpanet": Method(MPANet, mpanet.updates),
    "vsd": Method(VSD, vsd.updates),
    "mitml": Method(MITML, mitml.updates),
}

__all__ = [
    "MITML",
    "MODELS",
    "VSD",
    "Due",
    "Forward",
    "MPANet",
    "Method",
    "Network",
    "SelfAttackDefense",
    "SubStep",
]
