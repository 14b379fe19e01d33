"""Where the time goes: a profile for each work whose goal is missed, written to benchmarks/results/profile_*.json.

python -m benchmarks.profiles            # all; or names: embedding clip reranking iteration
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import embedding as bench
from benchmarks.harness import RESULTS, limit

Profile = dict[str, Any]


def profile_embedding() -> Profile:
    """The test path on OpenVINO bf16, one clip: milliseconds by kind of node, and what convolutions reach."""
    from duskmatch.embedding.engines import quiet_import
    from duskmatch.embedding.folding import at_test
    from duskmatch.embedding.graphs import WholePath, to_openvino
    from duskmatch.embedding.openvino_engine import is_convolution, kind
    from duskmatch.embedding.signal_stack import kept_signal_stack

    ov = quiet_import("openvino")
    model, settings = bench.network()
    graph = to_openvino(WholePath(at_test(model), settings.data, "visible"), 1)
    options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERF_COUNT": True}
    with kept_signal_stack():
        request = ov.Core().compile_model(graph, "CPU", options).create_infer_request()
    clip = np.random.default_rng(0).integers(0, 256, (1, bench.N_FRAMES, 3, *bench.SIZE), dtype=np.uint8)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(6):
        request.infer({0: clip})
        found: dict[str, float] = defaultdict(float)
        for node in request.get_profiling_info():
            found[node.node_type] += node.real_time.total_seconds()
        for name in found:
            seconds[name].append(found[name])
    parts = {name: 1000 * float(np.median(values)) for name, values in seconds.items()}
    convolutions = [op for op in request.get_compiled_model().get_runtime_model().get_ops() if is_convolution(op)]
    operations = bench.N_FRAMES * convolution_gflop()
    return {
        "what": "one clip through the whole test path, OpenVINO bf16, one thread",
        "unit": "ms",
        "parts": largest(parts),
        "convolutions_gflop": round(operations, 2),
        "convolutions_gflop_per_s": round(operations / (parts["Convolution"] / 1000), 1),
        "convolution_precisions": sorted({kind(op, "runtimePrecision") for op in convolutions}),
        "limits": limit("bf16 GFLOP") | limit("bf16 peak GFLOP"),
    }


def convolution_gflop() -> float:
    """Of one frame: multiplications and additions apart."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, _ = bench.network()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.shared_maps(model.stem_visible(torch.zeros(1, 3, *bench.SIZE)), 1)
    return float(sum(counter.get_flop_counts()["Global"].values()) / 1e9)


def profile_clip() -> Profile:
    """A training clip: milliseconds of each step for one frame."""
    import cv2
    import torch

    from duskmatch.data import Augment, decode_frame, resize
    from duskmatch.data.augmentation import apply_augmentation, draw_augmentation
    from duskmatch.pixels import normalise

    cv2.setNumThreads(1)
    path = bench.frames()[0][0]
    picture = decode_frame(path)
    small = resize(picture, bench.SIZE)
    clip = np.stack([np.ascontiguousarray(small.transpose(2, 0, 1))] * bench.N_FRAMES)
    augment, rng = Augment(), np.random.default_rng(0)
    steps: dict[str, tuple[Callable[[], Any], int]] = {
        "decode": (lambda: decode_frame(path), 1),
        "resize, area": (lambda: resize(picture, bench.SIZE), 1),
        "channels first": (lambda: np.ascontiguousarray(small.transpose(2, 0, 1)), 1),
        "crop and flip": (lambda: apply_augmentation(clip, augment, draw_augmentation(augment, rng)), bench.N_FRAMES),
        "normalise": (lambda: normalise(torch.from_numpy(clip)), bench.N_FRAMES),
    }
    parts = {name: 1000 * per_call(run) / frames for name, (run, frames) in steps.items()}
    return {"what": "one frame of a training clip, 600x300 JPEG to 288x144", "unit": "ms", "parts": parts}


def profile_reranking() -> Profile:
    """Re-ranking 2,000 + 2,000: milliseconds of its own functions, callees left out."""
    from benchmarks.ranking import people

    from duskmatch.evaluation import rerank

    query, gallery = people(2000, 2000, 512, 2.5)
    rerank(query.take(np.arange(50)), gallery.take(np.arange(50)))
    what = "re-ranking 2,000 x 2,000 x 512, own time by function, profiler on"
    return {"what": what, "unit": "ms", "parts": largest(own_times(lambda: rerank(query, gallery)))}


def profile_film() -> Profile:
    """One walk of Duskwalk `bench` at 288x144, pictures encoded: milliseconds a frame of its own functions."""
    from dataclasses import replace

    from duskmatch.synthetic import PRESETS
    from duskmatch.synthetic.film import shoot
    from duskmatch.synthetic.generate import encode
    from duskmatch.synthetic.walks import plan

    preset = replace(PRESETS["bench"], size=bench.SIZE)
    track = next(t for t in plan(preset, 1) if t.modality == "visible" and t.n_frames == 24)
    shoot(1, track, preset)  # paints the scene

    def film() -> None:
        for frame in shoot(1, track, preset).frames:
            encode(frame, 90)

    parts = {name: ms / track.n_frames for name, ms in own_times(film).items()}
    return {"what": "one frame of Duskwalk `bench` at 288x144, profiler on", "unit": "ms", "parts": largest(parts)}


def own_times(run: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds of each function, callees left out."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(run)
    parts: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        where = (
            f"{Path(file).stem}.{name}" if file.endswith(".py") else name.strip("<>").removeprefix("built-in method ")
        )
        parts[where] += 1000 * own
    return parts


def profile_iteration() -> Profile:
    """One iteration of Algorithm 1 as trained: milliseconds by kind of operation."""
    from benchmarks.training import Iteration, autocast
    from torch.profiler import ProfilerActivity, profile

    from duskmatch.training.updates import Updater

    it = Iteration(channels_last=True)
    updater = Updater(it.model, it.optimizer, clip_norm=None, autocast=autocast, reduce=None)

    def run() -> None:
        updater.iterate(it.steps, lambda: [it.forward()], joint=False, norms=False)

    run()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    parts = {event.key: event.self_cpu_time_total / 1000 for event in seen.key_averages()}
    return {
        "what": "one iteration of Algorithm 1, ResNet-50, own time by operation",
        "unit": "ms",
        "parts": largest(parts),
    }


def per_call(run: Callable[[], Any], repeats: int = 60) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def largest(parts: dict[str, float], n: int = 9) -> dict[str, float]:
    """The largest parts, the rest as one."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    rest = sum(value for _, value in ordered[n:])
    return {name: round(value, 3) for name, value in [*ordered[:n], ("the rest", rest)]}


PROFILES = {
    "embedding": profile_embedding,
    "clip": profile_clip,
    "reranking": profile_reranking,
    "iteration": profile_iteration,
    "film": profile_film,
}


def main(names: list[str]) -> None:
    from duskmatch.machine import describe, set_threads, versions

    unknown = sorted(set(names) - set(PROFILES))
    if unknown:
        raise SystemExit(f"profiles are {', '.join(PROFILES)}; got {unknown[0]}")
    set_threads(1)
    for name in names or PROFILES:
        found = PROFILES[name]() | {"machine": describe(), "versions": versions()}
        (RESULTS / f"profile_{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{found['what']}:")
        for part, value in found["parts"].items():
            print(f"  {value:10.3f} {found['unit']}  {part}")


if __name__ == "__main__":
    main(sys.argv[1:])
