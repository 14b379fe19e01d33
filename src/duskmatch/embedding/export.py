"""A RUN exported for another engine or in another number format, and compared with torch in fp32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from duskmatch.config import Settings
from duskmatch.embedding.cost import count_flops, count_parameters
from duskmatch.embedding.engines import Engine, Frames, Precision, check_installed, quiet_import
from duskmatch.embedding.exported import FILE, RUNS, Export, Format, Tensor, open_export
from duskmatch.embedding.folding import at_test
from duskmatch.embedding.graphs import INPUT, OUTPUT, WholePath, to_openvino, write_onnx, write_openvino
from duskmatch.embedding.quantisation import openvino_nodes, quantise, quantise_onnx
from duskmatch.embedding.run import load_model
from duskmatch.errors import SettingsError
from duskmatch.files import entries, file_hash, write_json, writing
from duskmatch.machine import versions
from duskmatch.models import Network
from duskmatch.records import MODALITIES, Modality

Clips = Mapping[Modality, Sequence[Frames]]  # each (1 t 3 h w)

N_GENERATED = 4  # clips of each modality
FORMATS: tuple[Format, ...] = ("onnx", "openvino", "torch")
GIVES: dict[Format, tuple[Precision, ...]] = {
    "onnx": ("fp32", "int8"),  # ONNX Runtime has no bf16 convolution on a CPU
    "openvino": ("fp32", "bf16", "int8"),
    "torch": ("fp32", "bf16"),
}
# Tolerance of an export against torch in fp32: the least cosine between the two vectors of a clip, and the largest
# change of rank-1 and mAP of either direction (rank-1 may always change by one query).
TOLERANCE: dict[Precision, dict[str, float]] = {
    "fp32": {"cosine": 0.9999, "rank1": 0.002, "mAP": 0.001},
    "bf16": {"cosine": 0.995, "rank1": 0.005, "mAP": 0.005},
    "int8": {"cosine": 0.95, "rank1": 0.01, "mAP": 0.01},
}


def check_export(kind: str, precision: str, *, calibrated: bool) -> None:
    """Refuses what cannot be exported, before anything is read."""
    if kind not in FORMATS:
        raise SettingsError(f"--format must be one of {', '.join(FORMATS)}; got {kind}")
    if precision not in GIVES[kind]:
        raise SettingsError(f"--format {kind} must be with --precision {' or '.join(GIVES[kind])}; got {precision}")
    if precision == "int8" and not calibrated:
        raise SettingsError("--precision int8 needs --data DATASET: its training tracklets set the ranges; name one")
    check_installed(RUNS[kind][0])
    for package in ("onnx", "onnxscript") * (kind == "onnx") + ("nncf",) * (precision == "int8"):
        quiet_import(package)


def export_run(
    run: Path, out: Path, kind: Format, precision: Precision, batch: int | None, clips: Clips | None = None
) -> Export:
    """Writes the network of `run` and an export.json with verified: false into the folder `out`."""
    model, settings, header = load_model(run)
    d = settings.data
    parameters, flops = count_parameters(model), count_flops(model, d.frames_per_clip, d.height, d.width)
    with writing(out):
        write_network(at_test(model), settings, out, kind, precision, batch, clips)
    export = Export(
        format=kind,
        precision=precision,
        batch=batch,
        input=Tensor(
            name=INPUT,
            shape=[batch, d.frames_per_clip, 3, d.height, d.width],
            dtype="uint8",
            what="clips, frames, RGB, height, width; grey, per_clip and ImageNet's normalisation happen inside",
        ),
        output=Tensor(name=OUTPUT, shape=[batch, model.final_width], dtype="float32", what="unit vectors"),
        verified=False,
        tolerance=TOLERANCE[precision],
        verification={},
        sha256={file.name: file_hash(file) for file in sorted(entries(out))},
        source={"sha256": file_hash(run / "model.safetensors"), "header": header},
        n_pids=model.n_pids,
        embedding=model.embedding_name,
        parameters=parameters,
        flops=flops,
        test_time_extras=list(model.test_time_extras),
        settings=settings,
        versions=versions(),
    )
    engine = open_export(out, export, RUNS[kind][0], "cpu")
    export.precision = engine.precision
    export.versions |= engine.versions
    save_export(out, export)
    return export


def write_network(
    model: Network,
    settings: Settings,
    out: Path,
    kind: Format,
    precision: Precision,
    batch: int | None,
    clips: Clips | None,
) -> None:
    if kind == "torch":
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "model.safetensors")
        return
    for modality in MODALITIES:
        path = WholePath(model, settings.data, modality)
        seen = clips[modality] if clips and precision == "int8" else ()
        if kind == "onnx":
            write_onnx(path, out / f"{modality}.onnx", batch)
            if seen:
                quantise_onnx(out / f"{modality}.onnx", filled(seen, batch))
        else:
            graph = to_openvino(path, batch)
            graph = quantise(graph, filled(seen, batch), openvino_nodes(graph)) if seen else graph
            write_openvino(graph, out / f"{modality}.xml")


def filled(clips: Sequence[Frames], batch: int | None) -> list[Frames]:
    """The clips in batches of the size that the graph takes; an open batch gets one clip at a time."""
    size = batch or 1
    return [np.concatenate([clips[(i + k) % len(clips)] for k in range(size)]) for i in range(0, len(clips), size)]


def save_export(out: Path, export: Export) -> None:
    write_json(out / FILE, export.model_dump(mode="json"))


def generated_clips(settings: Settings, n: int, seed: int = 0) -> Clips:
    """Clips of smooth random colours, for exports without data: a trained network hardly responds to noise."""
    rng = np.random.default_rng(seed)
    d = settings.data

    def clip() -> Frames:
        coarse = rng.integers(0, 256, (d.frames_per_clip, 9, 5, 3), dtype=np.uint8)
        frames = [cv2.resize(frame, (d.width, d.height), interpolation=cv2.INTER_CUBIC) for frame in coarse]
        return np.stack(frames).transpose(0, 3, 1, 2)[None]

    return {modality: [clip() for _ in range(n)] for modality in MODALITIES}


def compare(engine: Engine, reference: Engine, clips: Clips) -> dict[str, float]:
    """Cosines of the engine's vectors with the reference's, over all clips, and the largest error in length."""
    cosines: list[float] = []
    lengths: list[float] = []
    for modality, some in clips.items():
        stack = np.concatenate(some)
        a, b = engine(stack, modality).astype(np.float64), reference(stack, modality).astype(np.float64)
        lengths += list(np.linalg.norm(a, axis=1))
        cosines += list((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    # JSON has no NaN: a vector with NaN counts as the worst possible
    near, off = np.nan_to_num(cosines, nan=-1.0), np.nan_to_num(np.abs(np.array(lengths) - 1), nan=1.0, posinf=1.0)
    found = {"cosine_least": near.min(), "cosine_mean": near.mean(), "longest_off": off.max()}
    return {"n_clips": len(cosines), **{name: float(value) for name, value in found.items()}}


def violations(export: Export) -> list[str]:
    """A sentence on each figure outside the tolerance."""
    limit, seen = export.tolerance, export.verification
    wrong = []
    if not seen["cosine_least"] >= limit["cosine"]:  # NaN is wrong too
        wrong.append(f"cosine {seen['cosine_least']:.5f} on its worst clip, must be at least {limit['cosine']}")
    if not seen["longest_off"] <= 1e-3:
        wrong.append(f"a vector's length is {seen['longest_off']:.4f} off 1")
    for direction, moved in seen.get("scores", {}).items():
        for name, most in (("rank1", max(limit["rank1"], 1.001 / moved["n_queries"])), ("mAP", limit["mAP"])):
            if not abs(moved[name] - moved[f"{name}_fp32"]) <= most:
                change = 100 * (moved[name] - moved[f"{name}_fp32"])
                wrong.append(f"{name} {direction} moved by {change:+.2f} points, at most {100 * most:.2f} are allowed")
    return wrong
