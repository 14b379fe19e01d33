"""Methods by name. A new method is one file here and one line in MODELS."""

from duskmatch.config import PooledSettings, SelfAttackSettings
from duskmatch.models import algorithm1, cajl, ddag, hc_tri, lba, mitml, mpanet, vsd
from duskmatch.models.method import ALONE, AllProcesses, Forward, Method, SubStep
from duskmatch.models.network import Due, Network
from duskmatch.models.self_attack import SelfAttackDefense

MODELS: dict[str, Method] = {
    "self_attack": Method(SelfAttackDefense, SelfAttackSettings, algorithm1.updates),
    "hc_tri": Method(hc_tri.HeteroCentreTriplet, PooledSettings, hc_tri.updates),
    "lba": Method(lba.LearningByAligning, PooledSettings, lba.updates),
    "mpanet": Method(mpanet.MPANet, mpanet.MPANetSettings, mpanet.updates),
    "ddag": Method(ddag.DualAttentiveAggregation, ddag.DDAGSettings, ddag.updates),
    "vsd": Method(vsd.VSD, vsd.VSDSettings, vsd.updates),
    "cajl": Method(cajl.ChannelAugmentedJointLearning, cajl.CAJLSettings, cajl.updates),
    "mitml": Method(mitml.MITML, mitml.MITMLSettings, mitml.updates),
}

__all__ = ["ALONE", "MODELS", "AllProcesses", "Due", "Forward", "Method", "Network", "SelfAttackDefense", "SubStep"]
