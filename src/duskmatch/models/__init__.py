"""Networks by name. A new method is one file here and one line in MODELS."""

from duskmatch.models.self_attack import SelfAttackDefense

MODELS = {"self_attack": SelfAttackDefense}

__all__ = ["MODELS", "SelfAttackDefense"]
