"""Engines, which run the network: each takes uint8 clips of one modality and returns unit vectors.

| name | runs on | fp32 | bf16 | int8 | needs |
|---|---|---|---|---|---|
| `torch` | CPU, GPU | yes | autocast | no | nothing |
| `torch-compiled` | CPU, GPU | yes | autocast | no | a C++ compiler; the first batch waits for it |
| `openvino` | CPU | yes | yes | exported | the extra `export` |
| `onnxruntime` | CPU | yes | no | exported | the extra `export` |
"""

from __future__ import annotations

import importlib
import logging
import sys
import typing
from importlib.util import find_spec
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from duskmatch.errors import SettingsError
from duskmatch.machine import pick_device
from duskmatch.records import Modality

Frames = npt.NDArray[np.uint8]  # (b t 3 h w)
Vectors = npt.NDArray[np.float32]  # (b d)
Precision = Literal["fp32", "bf16", "int8"]
EngineName = Literal["torch", "torch-compiled", "openvino", "onnxruntime"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
ON_GPU: tuple[EngineName, ...] = ("torch", "torch-compiled")
FROM_RUN: dict[EngineName, tuple[Precision, ...]] = {
    "torch": ("fp32", "bf16"),
    "torch-compiled": ("fp32", "bf16"),
    "openvino": ("fp32", "bf16"),
    "onnxruntime": ("fp32",),  # its CPU kernels have no bf16 convolution
}
PACKAGES: dict[EngineName, tuple[str, ...]] = {
    "torch": (),
    "torch-compiled": (),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
}
# Fastest first, as measured in docs/performance.md. torch-compiled is never chosen by "auto": it compiles for a minute.
FASTEST: dict[str, tuple[EngineName, ...]] = {"cpu": ("openvino", "onnxruntime", "torch"), "cuda": ("torch",)}

log = logging.getLogger("duskmatch")


class Engine(typing.Protocol):
    """Runs the network at test, from uint8 frames to unit vectors."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> Precision:
        """The number format in which convolutions are computed, as read from the running network."""
        ...

    @property
    def versions(self) -> dict[str, str]: ...

    def __call__(self, frames: Frames, modality: Modality) -> Vectors: ...


def choose_engine(name: str, precision: str, device: str) -> EngineName:
    """The engine of that name, if it can run here; "auto" chooses the fastest that can, and logs it."""
    kind = pick_device(device).type
    if name == "auto":
        able = [e for e in FASTEST[kind] if precision in FROM_RUN[e] and not missing_packages(e)]
        if able:
            log.info("engine: %s, %s (auto: the fastest of %s)", able[0], precision, ", ".join(able))
            return able[0]
        name = "torch"
    if name not in ENGINES:
        raise SettingsError(f"--engine must be auto or one of {', '.join(ENGINES)}; got {name}")
    engine: EngineName = name
    check_device(engine, device)
    check_precision(engine, precision)
    check_installed(engine)
    return engine


def check_device(engine: EngineName, device: str) -> None:
    if device.startswith("cuda") and engine not in ON_GPU:
        raise SettingsError(f"--engine {engine} runs on the CPU; got --device {device}; use --engine torch")


def check_precision(engine: EngineName, precision: str) -> None:
    """Refuses a precision that the engine does not have for the network of a RUN."""
    if precision not in PRECISIONS:
        raise SettingsError(f"--precision must be one of {', '.join(PRECISIONS)}; got {precision}")
    if precision == "int8":
        raise SettingsError(
            "--precision int8 needs a network calibrated on real tracklets; run `duskmatch export RUN --format "
            "openvino --precision int8 --data DATASET --out DIR` and give DIR in place of RUN"
        )
    if precision not in FROM_RUN[engine]:
        known = ", ".join(e for e in ENGINES if precision in FROM_RUN[e])
        raise SettingsError(f"--engine {engine} has no {precision}; use --precision fp32 or one of {known}")


def missing_packages(engine: EngineName) -> list[str]:
    return [package for package in PACKAGES[engine] if not installed(package)]


def installed(package: str) -> bool:
    return sys.modules.get(package) is not None or find_spec(package) is not None


def check_installed(engine: EngineName) -> None:
    if lacking := missing_packages(engine):
        raise SettingsError(f"--engine {engine} needs {', '.join(lacking)}; pip install 'duskmatch[export]'")


def quiet_import(name: str) -> ModuleType:
    """An engine's package, imported without its telemetry: openvino and nncf report each import to their makers."""
    if sys.modules.get("openvino_telemetry") is None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # both then use their own empty stubs
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"{name} is needed and cannot be imported ({error}); pip install 'duskmatch[export]'"
        ) from error
    if name == "onnxruntime":
        module.disable_telemetry_events()
    return module


def in_batches(frames: Frames, size: int) -> list[Frames]:
    """Groups of exactly `size` clips, the last padded with its first clip: a fixed shape runs fastest."""
    groups = [frames[i : i + size] for i in range(0, len(frames), size)]
    short = size - len(groups[-1])
    if short:
        groups[-1] = np.concatenate([groups[-1], np.repeat(groups[-1][:1], short, axis=0)])
    return groups


def n_threads() -> int:
    """The number of threads that torch uses, for all engines."""
    return torch.get_num_threads()
