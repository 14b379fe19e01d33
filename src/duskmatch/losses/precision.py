"""fp32 for all losses and their inputs, whatever the precision of the network.

Under autocast every matrix product is rounded to bf16, even of fp32 factors: squared distances, which are small
differences of large products, then have errors larger than any margin. Half-precision arguments would be used as they
are. `in_fp32` prevents both. It decorates every function of this room, and of all methods after their last feature
maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_fp32(function: Callable[P, R]) -> Callable[P, R]:
    """The same function without autocast, with half-precision tensors among its arguments raised to fp32.

    Gradients come back in the precision of the arguments. Without half precision not a bit changes.
    """

    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        with without_autocast((*args, *kwargs.values())):
            return function(*map(raised, args), **{name: raised(value) for name, value in kwargs.items()})

    return computed


def raised(value: Any) -> Any:
    """A tensor of fewer than 32 bits as fp32; anything else as it is."""
    half = isinstance(value, Tensor) and value.is_floating_point() and value.dtype.itemsize < 4
    return value.float() if half else value


def without_autocast(values: tuple[Any, ...]) -> AbstractContextManager[Any]:
    """Switches autocast off on the tensors' device; if it is off already, an exported graph has no trace of this."""
    kinds: Iterator[str] = (value.device.type for value in values if isinstance(value, Tensor))
    kind = next(kinds, "meta")
    off = kind == "meta" or not torch.is_autocast_enabled(kind)  # the meta device has no autocast to ask for
    return nullcontext() if off else torch.autocast(kind, enabled=False)
