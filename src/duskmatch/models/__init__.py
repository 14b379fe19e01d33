"""Methods by name. A new method is one file here and one line in MODELS."""

from duskmatch.models import algorithm1, hc_tri
from duskmatch.models.method import Due, Forward, Method, Network, SubStep
from duskmatch.models.self_attack import SelfAttackDefense

MODELS: dict[str, Method] = {
    "self_attack": Method(SelfAttackDefense, algorithm1.updates),
    "hc_tri": Method(hc_tri.HeteroCentreTriplet, hc_tri.updates),
}

__all__ = ["MODELS", "Due", "Forward", "Method", "Network", "SelfAttackDefense", "SubStep"]
