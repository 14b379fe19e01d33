"""The network at test as a graph from uint8 frames to unit vectors, written for OpenVINO or as ONNX.

There is one graph for each modality. The stems differ; all else is the same and is written twice, so that a graph has
one input and no branch, no stem runs needlessly, and users with one kind of camera load one graph.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from duskmatch.config import DataSettings
from duskmatch.embedding.engines import quiet_import
from duskmatch.errors import CheckpointError
from duskmatch.models import Network
from duskmatch.pixels import normalise
from duskmatch.records import Modality

INPUT, OUTPUT = "frames", "embedding"


class WholePath(nn.Module):
    """Everything between a decoded clip and its embedding, for one modality."""

    def __init__(self, model: Network, data: DataSettings, modality: Modality) -> None:
        super().__init__()
        self.model, self.data, self.modality = model, data, modality

    def forward(self, frames: UInt8[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        pixels = normalise(frames, **self.data.normalisation)
        return self.model.embed(pixels, self.modality)

    def example(self, n_clips: int) -> UInt8[Tensor, "b t 3 h w"]:
        shape = (n_clips, self.data.frames_per_clip, 3, self.data.height, self.data.width)
        return torch.zeros(shape, dtype=torch.uint8)


def to_openvino(path: WholePath, batch: int | None) -> Any:
    """An openvino.Model; with `batch` None the number of clips is open, and tracing takes three times as long."""
    ov = quiet_import("openvino")
    example, dynamic = example_of(path, batch)
    with torch.no_grad(), quietly():
        graph = ov.convert_model(torch.export.export(path, (example,), dynamic_shapes=dynamic))
    graph.inputs[0].get_tensor().set_names({INPUT})
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    graph.reshape({INPUT: ov.PartialShape([-1 if batch is None else batch, *path.example(1).shape[1:]])})
    return graph


def write_openvino(graph: Any, file: Path) -> None:
    """Writes FILE.xml and FILE.bin, with weights in fp32."""
    quiet_import("openvino").save_model(graph, str(file), compress_to_fp16=False)


def read_openvino(file: Callable[[], Path]) -> Any:
    """The graph in a file; CheckpointError where it is damaged."""
    core, path = quiet_import("openvino").Core(), file()
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error for a graph that its library cannot read; its last line says why."""
    why = str(error).strip().splitlines()[-1:]
    return CheckpointError(f"{path} is damaged or no graph: {' '.join(why)[:200]}; delete it or export again")


def write_onnx(path: WholePath, file: Path, batch: int | None) -> None:
    """Writes FILE.onnx, with its weights inside."""
    quiet_import("onnx"), quiet_import("onnxscript")
    example, dynamic = example_of(path, batch)
    with torch.no_grad(), quietly():
        program = torch.onnx.export(
            path,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=dynamic,
            verbose=False,
        )
    assert program is not None
    program.save(str(file), external_data=False)


def example_of(path: WholePath, batch: int | None) -> tuple[UInt8[Tensor, "b t 3 h w"], tuple[dict[int, Any]] | None]:
    """Clips to trace with, and the open axes of their shape; a batch of 1 would become a constant."""
    if batch is not None:
        return path.example(batch), None
    return path.example(2), ({0: torch.export.Dim("b", min=1, max=4096)},)


@contextmanager
def quietly() -> Iterator[None]:
    """Hides warnings: tracing's of intended constants, and the exporter's of torchvision, which is not used."""
    exporter = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
