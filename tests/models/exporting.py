"""A method's whole test path as a graph of OpenVINO, beside torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from duskmatch.config import Settings
from duskmatch.embedding import engines
from duskmatch.embedding.folding import at_test
from duskmatch.embedding.graphs import WholePath, to_openvino
from duskmatch.models import Network
from duskmatch.pixels import normalise
from duskmatch.records import Modality


def least_cosine(model: Network, settings: Settings, modality: Modality, *, n_clips: int = 3) -> float:
    """Of the vectors of random clips, exported and not; the graph takes any number of clips."""
    if not engines.installed("openvino"):
        pytest.skip("openvino is not installed")
    import openvino

    d = settings.data
    shape = (n_clips, d.frames_per_clip, 3, d.height, d.width)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        expected = model.embed(normalise(frames, **d.normalisation), modality).numpy()
    graph = openvino.Core().compile_model(to_openvino(WholePath(at_test(model), d, modality), None), "CPU")
    found = graph(frames.numpy())[0]
    return float((found * expected).sum(axis=1).min() / np.linalg.norm(found, axis=1).max())
