"""The machine in words, the versions of packages, and the device to use."""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from duskmatch import __version__
from duskmatch.errors import SettingsError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # Source: glibc's malloc.h


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first GPU if there is one."""
    if name == "auto":
        return _exact(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"--device must be auto, cpu, cuda or cuda:N; got {name}") from error
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"--device must be auto, cpu, cuda or cuda:N; got {name}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"--device {name}: this torch sees no GPU; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(f"--device {name}: this machine has {torch.cuda.device_count()} GPU(s), counted from 0")
    return _exact(device)


def _exact(device: torch.device) -> torch.device:
    """The device, with TF32 switched off on a GPU: cuDNN would round fp32 to it."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return device


def set_threads(n: int | None) -> int:
    """Sets torch's CPU threads (default: OMP_NUM_THREADS or torch's own) and returns their number."""
    if n is not None:
        if n < 1:
            raise SettingsError(f"--threads must be at least 1; got {n}")
        torch.set_num_threads(n)
    return torch.get_num_threads()


def keep_memory() -> None:
    """Asks the C library to keep freed memory for the next tensor instead of giving it back to the system.

    An iteration of training frees and takes hundreds of arrays of megabytes; given back, each is faulted in and zeroed
    page by page when it is taken again, which was a fifth of the time (docs/log.md). Nothing where it is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for option, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 64 << 20)):
        mallopt(option, value)


def versions() -> dict[str, str]:
    """The versions that can change a figure."""
    found = {"duskmatch": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("numpy", "opencv-python-headless", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not found"
    return found


def describe() -> str:
    """The machine in words: cores, vector units, GPU."""
    capability = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_flags()
    extra = " with AMX" if "amx_tile" in flags else " with AVX-512 bf16" if "avx512_bf16" in flags else ""
    text = f"{os.cpu_count()} cores, {platform.machine()}, {capability}{extra}"
    return text + (f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ", no GPU")


def fast_bf16(device: torch.device) -> bool:
    """True where this device has hardware for products in bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool({"avx512_bf16", "amx_bf16"} & _cpu_flags())


def numerics(kernels: str) -> dict[str, str | int]:
    """The facts on which the bits of a resumed run depend; kernels: which of duskmatch's own are in use."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "kernels": kernels,
    }


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return set()
