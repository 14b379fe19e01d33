"""Where training starts from: a safetensors file, or a published network by name where its library is installed."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from duskmatch.embedding.run import read_weights
from duskmatch.errors import SettingsError
from duskmatch.models import Network
from duskmatch.models.backbone import load_backbone


def load_start_weights(model: Network, source: str | None) -> None:
    """Fills stems, E_def and E_att with the same backbone weights.

    `source`: None leaves the random start; a .safetensors file (`duskmatch convert` makes one of a .pth);
    "torchvision:NAME" or "timm:NAME" asks that library, which may download: only when named.
    """
    if source is None:
        return
    load_backbone(model.backbone_pieces(), _read(source), source)


def _read(source: str) -> dict[str, Tensor]:
    library, _, name = source.partition(":")
    if library == "torchvision" and name:
        return _from_torchvision(name)
    if library == "timm" and name:
        return _from_timm(name)
    if not source.endswith(".safetensors"):
        raise SettingsError(
            f"model.weights must be a .safetensors file, torchvision:NAME or timm:NAME; got {source}; "
            "`duskmatch convert` makes a .safetensors of a .pth"
        )
    return read_weights(Path(source)).tensors


def _from_torchvision(name: str) -> dict[str, Tensor]:
    try:
        from torchvision.models import get_model
    except (ImportError, RuntimeError) as error:
        raise SettingsError(f"model.weights torchvision:{name} needs a working torchvision: {error}") from error
    return get_model(name, weights="DEFAULT").state_dict()  # type: ignore[no-any-return]


def _from_timm(name: str) -> dict[str, Tensor]:
    try:
        from timm import create_model
    except (ImportError, RuntimeError) as error:
        raise SettingsError(f"model.weights timm:{name} needs a working timm: {error}") from error
    return create_model(name, pretrained=True).state_dict()  # type: ignore[no-any-return]
