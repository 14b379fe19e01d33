"""Graphs run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from duskmatch.embedding.engines import Frames, Precision, Vectors, in_batches, n_threads, quiet_import
from duskmatch.embedding.graphs import damaged
from duskmatch.records import Modality


class OnnxEngine:
    """Runs .onnx files; `files` returns each modality's, called at its first clip."""

    name = "onnxruntime"

    def __init__(self, files: Mapping[Modality, Callable[[], Path]], precision: Precision) -> None:
        self._files = files
        self.precision: Precision = precision  # ONNX Runtime computes in the graph's own precision
        self._sessions: dict[Modality, Any] = {}

    @property
    def versions(self) -> dict[str, str]:
        return {"onnxruntime": str(quiet_import("onnxruntime").__version__)}

    def __call__(self, frames: Frames, modality: Modality) -> Vectors:
        session = self._session(modality)
        node = session.get_inputs()[0]
        size = node.shape[0] if isinstance(node.shape[0], int) else len(frames)  # of an open batch it is a name
        parts = [session.run(None, {node.name: np.ascontiguousarray(g)})[0] for g in in_batches(frames, size)]
        return np.concatenate(parts)[: len(frames)]

    def _session(self, modality: Modality) -> Any:
        if modality not in self._sessions:
            ort = quiet_import("onnxruntime")
            options = ort.SessionOptions()
            options.intra_op_num_threads = n_threads()
            options.log_severity_level = 3
            file = self._files[modality]()
            try:
                self._sessions[modality] = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            except Exception as error:  # its classes have no other base in common
                raise damaged(file, error) from error
        return self._sessions[modality]
