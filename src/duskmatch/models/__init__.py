"""Methods by name. A new method is one file here and one line in MODELS."""

from duskmatch.models import algorithm1, cajl, ddag, hc_tri, lba, mitml, mpanet, vsd
from duskmatch.models.method import Due, Forward, Method, Network, SubStep
from duskmatch.models.self_attack import SelfAttackDefense

MODELS: dict[str, Method] = {
    "self_attack": Method(SelfAttackDefense, algorithm1.updates),
    "hc_tri": Method(hc_tri.HeteroCentreTriplet, hc_tri.updates),
    "lba": Method(lba.LearningByAligning, lba.updates),
    "mpanet": Method(mpanet.MPANet, mpanet.updates),
    "ddag": Method(ddag.DualAttentiveAggregation, ddag.updates),
    "vsd": Method(vsd.VSD, vsd.updates),
    "cajl": Method(cajl.ChannelAugmentedJointLearning, cajl.updates),
    "mitml": Method(mitml.MITML, mitml.updates),
}

__all__ = ["MODELS", "Due", "Forward", "Method", "Network", "SelfAttackDefense", "SubStep"]
