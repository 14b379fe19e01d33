"""An embedder from a trained RUN or from a folder that `duskmatch export` wrote, with the chosen engine."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from duskmatch.config import Settings
from duskmatch.embedding.cache import cached, network_key
from duskmatch.embedding.cost import count_parameters
from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.engines import ON_GPU, Engine, EngineName, Precision, choose_engine
from duskmatch.embedding.exported import graph_engine, is_exported, load_exported, torch_engine
from duskmatch.embedding.folding import at_test
from duskmatch.embedding.graphs import WholePath, to_openvino, write_onnx, write_openvino
from duskmatch.embedding.run import load_model
from duskmatch.models import Network
from duskmatch.models.start import untrained_model
from duskmatch.records import MODALITIES


def load_embedder(
    run: str | Path,
    *,
    device: str = "auto",
    untrained: bool = False,
    on_bad_frame: Literal["stop", "skip"] = "stop",
    engine: str | None = None,
    precision: str | None = None,
) -> Embedder:
    """The embedder of a trained RUN, or of an exported folder; `untrained` gives the network before training.

    engine: a name of `engines.ENGINES` ("torch" for a RUN that names none), or "auto", the fastest that can run here;
    precision: "fp32" (default) or "bf16". An exported folder has its own of both. Of the weights that training began
    with (model.weights), only ImageNet's installed ones are loaded for `untrained`; others are not in a RUN.

    Raises CheckpointError if the RUN is missing, damaged or of another layout.
    """
    run = Path(run)
    if is_exported(run):
        return load_exported(run, device, engine, precision, untrained=untrained, on_bad_frame=on_bad_frame)
    asked = precision or "fp32"
    chosen = choose_engine(engine or "torch", asked, device)
    model, settings, header = load_model(run)
    if untrained:
        model = untrained_model(settings, model.n_pids)
    parameters = count_parameters(model)
    opened = open_engine(chosen, at_test(model), settings, device, asked)  # type: ignore[arg-type]
    recorded = {"parameters": parameters}
    return Embedder(model, settings, on_bad_frame=on_bad_frame, engine=opened, header=header, recorded=recorded)


def open_engine(name: EngineName, model: Network, settings: Settings, device: str, precision: Precision) -> Engine:
    """The engine of this network; graphs are made, or taken from the cache, at the first clip of each modality."""
    if name in ON_GPU:
        return torch_engine(name, model, settings, device, precision)
    key = network_key(model, settings, {})
    files = {m: partial(cached_graph, key, WholePath(model, settings.data, m), name) for m in MODALITIES}
    return graph_engine(name, files, precision)


def cached_graph(key: str, path: WholePath, name: EngineName) -> Path:
    """The graph for one clip at a time, which is as fast as for many and needs no padding."""
    if name == "onnxruntime":
        return cached(key, f"{path.modality}.onnx", lambda place: write_onnx(path, place, 1))
    return cached(key, f"{path.modality}.xml", lambda place: write_openvino(to_openvino(path, 1), place))
