"""Graphs run by OpenVINO: the fastest engine on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from duskmatch.embedding.engines import Frames, Precision, Vectors, in_batches, n_threads, quiet_import
from duskmatch.embedding.signal_stack import kept_signal_stack
from duskmatch.records import MODALITIES, Modality

# In int8 graphs the integer operations are part of the graph; the others are fp32.
HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
STREAMS = 4  # most clips computed in parallel


class OpenVINOEngine:
    """Runs openvino.Models; `graphs` returns each modality's, called at its first clip."""

    name = "openvino"

    def __init__(self, graphs: Mapping[Modality, Callable[[], Any]], precision: Precision) -> None:
        self._graphs, self._asked = graphs, precision
        self._queues: dict[Modality, Any] = {}
        self._batch: int | None = None

    @property
    def precision(self) -> Precision:
        """Read from the running graph: by default OpenVINO uses bf16 if the CPU has it."""
        return executed_precision(self._queue(next(iter(self._queues), MODALITIES[0]))[0].get_compiled_model())

    @property
    def versions(self) -> dict[str, str]:
        return {"openvino": str(quiet_import("openvino").__version__)}

    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        queue = self._queue(modality)
        groups = [frames] if self._batch is None else in_batches(frames, self._batch)
        found: dict[int, Vectors] = {}
        queue.set_callback(lambda request, place: found.update({place: request.get_output_tensor(0).data.copy()}))
        for place, group in enumerate(groups):
            queue.start_async({0: np.ascontiguousarray(group)}, place)
        queue.wait_all()
        return np.concatenate([found[place] for place in range(len(groups))])[: len(frames)]

    def _queue(self, modality: Modality) -> Any:
        if modality not in self._queues:
            ov = quiet_import("openvino")
            graph = self._graphs[modality]()
            batch = graph.input(0).get_partial_shape()[0]
            self._batch = None if batch.is_dynamic else batch.get_length()
            threads = n_threads()
            options = {
                "INFERENCE_PRECISION_HINT": HINTS[self._asked],
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": min(threads, STREAMS),
            }
            with kept_signal_stack():
                self._queues[modality] = ov.AsyncInferQueue(ov.Core().compile_model(graph, "CPU", options))
        return self._queues[modality]


def executed_precision(compiled: Any) -> Precision:
    """The number format that most of the convolutions run in."""
    kinds = [kind(node, "runtimePrecision") for node in compiled.get_runtime_model().get_ops() if is_convolution(node)]
    most = max(set(kinds), key=kinds.count, default="f32")
    return "int8" if most in ("i8", "u8") else "bf16" if most == "bf16" else "fp32"


def is_convolution(node: Any) -> bool:
    return kind(node, "layerType") == "Convolution"


def kind(node: Any, name: str) -> str:
    info = node.get_rt_info()
    return str(info[name].value) if name in info else ""
