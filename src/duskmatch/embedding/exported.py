"""Reading of a folder that `duskmatch export` wrote: a graph for each modality, or folded weights, and export.json.

DIR/export.json                           its facts, its verification, its files' SHA-256
DIR/visible.xml, .bin, infrared.xml, .bin format openvino
DIR/visible.onnx, infrared.onnx           format onnx
DIR/model.safetensors                     format torch: folded weights, without training-only parts

`torch.export` programs (.pt2) are not written: torch.export.load unpickles, and nothing pickled is ever loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from duskmatch.config import Settings
from duskmatch.embedding.embedder import Embedder
from duskmatch.embedding.engines import Engine, EngineName, Precision, check_device, check_installed
from duskmatch.embedding.folding import at_test
from duskmatch.embedding.graphs import read_openvino
from duskmatch.embedding.onnx_engine import OnnxEngine
from duskmatch.embedding.openvino_engine import OpenVINOEngine
from duskmatch.embedding.run import Header
from duskmatch.embedding.torch_engine import TorchEngine
from duskmatch.errors import CheckpointError, SettingsError, first_fault
from duskmatch.files import file_hash
from duskmatch.machine import pick_device
from duskmatch.models import Network
from duskmatch.models.building import NoRandomStart, build_model
from duskmatch.records import MODALITIES, Modality
from duskmatch.weights import fill_model, read_weights

FILE = "export.json"
Format = Literal["onnx", "openvino", "torch"]
# The engines that can run a format, the default first.
RUNS: dict[Format, tuple[EngineName, ...]] = {
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
    "torch": ("torch", "torch-compiled"),
}
ENDING: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".safetensors"}


Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**31)]


class Tensor(BaseModel):
    """The input or output of the graph; a size of null is open."""

    model_config = ConfigDict(extra="forbid")
    name: str
    shape: list[Size | None]
    dtype: str
    what: str


class Export(BaseModel):
    """The content of export.json; `precision` is the one measured on the machine that wrote it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    schema_version: Literal[1] = 1
    format: Format
    precision: Precision
    batch: Size | None
    input: Tensor
    output: Tensor
    verified: bool
    tolerance: dict[str, float]
    verification: dict[str, Any]
    sha256: dict[str, str]
    source: dict[str, Any]  # the RUN's weights: SHA-256 and header
    n_pids: Size
    embedding: str
    parameters: dict[str, Count]
    flops: Count
    test_time_extras: list[str] = []  # steps at test beside one forward of the clip
    settings: Settings
    versions: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        data = self.settings.data
        wanted = [self.batch, data.frames_per_clip, 3, data.height, data.width]
        if self.input.shape != wanted:
            raise ValueError(f"input.shape must be {wanted}, as batch and settings.data say; got {self.input.shape}")
        if len(self.output.shape) != 2 or self.output.shape[0] != self.batch or self.output.shape[1] is None:
            raise ValueError(f"output.shape must be [{self.batch}, numbers in a vector]; got {self.output.shape}")
        if not isinstance(self.source.get("header"), dict):
            raise ValueError("source must hold the header of the RUN's weights")
        Header.model_validate(self.source["header"])
        return self


def is_exported(folder: Path) -> bool:
    return (folder / FILE).is_file()


def read_export(folder: Path) -> Export:
    path = folder / FILE
    try:
        return Export.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not an export.json of this version: {first_fault(error)}; export again"
        ) from error


def load_exported(
    folder: Path,
    device: str,
    engine: str | None,
    precision: str | None,
    *,
    untrained: bool = False,
    on_bad_frame: Literal["stop", "skip"] = "stop",
    unverified: bool = False,
) -> Embedder:
    """The embedder of an exported folder; one that did not pass its verification is refused."""
    export = read_export(folder)
    if not export.verified and not unverified:
        raise CheckpointError(f"{folder / FILE} says verified: false; export again, or in a wider number format")
    chosen = _chosen(export, folder, engine, precision, device)
    recorded = {name: getattr(export, name) for name in ("embedding", "parameters", "flops", "test_time_extras")}
    model = None
    opened: Engine
    if untrained:
        place = pick_device(device)
        model = at_test(build_model(export.settings, export.n_pids)).to(place)
        opened = TorchEngine(model, export.settings.data, place)
    else:
        opened = open_export(folder, export, chosen, device)
    header = export.source["header"]
    return Embedder(model, export.settings, on_bad_frame=on_bad_frame, engine=opened, header=header, recorded=recorded)


def open_export(folder: Path, export: Export, chosen: EngineName, device: str) -> Engine:
    check = partial(checked, folder, export)
    if export.format == "torch":
        model = folded_model(export, check("model.safetensors"))
        return torch_engine(chosen, model, export.settings, device, export.precision)
    return graph_engine(chosen, {m: partial(check, m + ENDING[export.format]) for m in MODALITIES}, export.precision)


def torch_engine(name: EngineName, model: Network, settings: Settings, device: str, precision: Precision) -> Engine:
    place = pick_device(device)
    return TorchEngine(model.to(place), settings.data, place, precision, compiled=name == "torch-compiled")


def graph_engine(name: EngineName, files: Mapping[Modality, Callable[[], Path]], precision: Precision) -> Engine:
    """The engine of graph files, each of which is read at the first clip of its modality."""
    if name == "onnxruntime":
        return OnnxEngine(files, precision)
    return OpenVINOEngine({m: partial(read_openvino, file) for m, file in files.items()}, precision)


def folded_model(export: Export, file: Path) -> Any:
    with torch.device("meta"), NoRandomStart():
        model = at_test(build_model(export.settings, export.n_pids))
    if model.embedding_name != export.embedding:
        raise CheckpointError(f"{file.parent / FILE} must say embedding {model.embedding_name}; got {export.embedding}")
    fill_model(model, read_weights(file).tensors, file)
    return model


def checked(folder: Path, export: Export, name: str) -> Path:
    """The file, if it is the one that was verified."""
    if name not in export.sha256:
        raise CheckpointError(f"{folder / FILE} must hold the SHA-256 of {name} and does not; export again")
    for part in [n for n in export.sha256 if Path(n).stem == Path(name).stem]:
        path = folder / Path(part).name
        if not path.is_file() or file_hash(path) != export.sha256[part]:
            what = "is not the file that was verified" if path.is_file() else "is missing"
            raise CheckpointError(f"{path} {what}; export again")
    return folder / name


def _chosen(export: Export, folder: Path, engine: str | None, precision: str | None, device: str) -> EngineName:
    able = RUNS[export.format]
    chosen = able[0] if engine in (None, "auto") else engine
    if chosen not in able:
        raise SettingsError(f"{folder} holds format {export.format}, for --engine {' or '.join(able)}; got {engine}")
    if precision not in (None, export.precision):
        raise SettingsError(f"{folder} was exported in {export.precision}; got --precision {precision}; leave it out")
    check_device(chosen, device)
    check_installed(chosen)
    return chosen
