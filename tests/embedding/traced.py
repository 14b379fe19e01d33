"""Graphs of networks, each traced once: the same weights and settings for the same clips give a copy of the first."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from duskmatch.embedding import export, loading
from duskmatch.embedding.graphs import WholePath, to_openvino, write_onnx


class Traced:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.graphs: dict[str, Any] = {}

    def to_openvino(self, path: WholePath, batch: int | None) -> Any:
        key = key_of(path, batch)
        if key not in self.graphs:
            self.graphs[key] = to_openvino(path, batch)
        return self.graphs[key].clone()

    def write_onnx(self, path: WholePath, file: Path, batch: int | None) -> None:
        made = self.folder / f"{key_of(path, batch)}.onnx"
        if not made.exists():
            write_onnx(path, made, batch)
        shutil.copyfile(made, file)

    def put_in(self, patch: pytest.MonkeyPatch) -> None:
        for module in (loading, export):
            patch.setattr(module, "to_openvino", self.to_openvino)
            patch.setattr(module, "write_onnx", self.write_onnx)


def key_of(path: WholePath, batch: int | None) -> str:
    """Of all that a graph is made from; a module's repr shows its parts, but not its own numbers and words."""
    whole = hashlib.sha256(f"{path.data!r} {path.modality} {batch} {path.model!r} {path.model.embedding}".encode())
    for name, part in path.model.named_modules():
        told = {key: value for key, value in vars(part).items() if isinstance(value, bool | int | float | str)}
        whole.update(f"{name} {sorted(told.items())}".encode())
    for name, tensor in path.model.state_dict().items():
        whole.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()
