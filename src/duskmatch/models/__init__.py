"""Methods by name. A new method is one file here and one line in MODELS."""

from duskmatch.models import algorithm1
from duskmatch.models.method import Due, Forward, Method, Network, SubStep
from duskmatch.models.self_attack import SelfAttackDefense

MODELS: dict[str, Method] = {
    "self_attack": Method(SelfAttackDefense, algorithm1.updates),
}

__all__ = ["MODELS", "Due", "Forward", "Method", "Network", "SelfAttackDefense", "SubStep"]
