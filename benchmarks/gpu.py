"""What a GPU makes of the paper's model: a training iteration, embedding, Duskwalk, and a loader that keeps up.

python -m benchmarks.gpu                        # on a GPU, about five minutes; writes benchmarks/results/gpu.json
python -m benchmarks.gpu --device cpu --small   # the same code with a tiny network, to try it anywhere
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from duskmatch.config import Settings, load_settings
from duskmatch.machine import describe, versions
from duskmatch.models.algorithm1 import Forward, sub_steps
from duskmatch.models.building import build_model
from duskmatch.pixels import normalise
from duskmatch.synthetic import PRESETS
from duskmatch.synthetic.film import shoot
from duskmatch.synthetic.walks import plan
from duskmatch.training.trainer import make_optimizer
from duskmatch.training.updates import Updater

RESULT = Path(__file__).parent / "results" / "gpu.json"


class Bench:
    """One device, one size of work."""

    def __init__(self, device: str, small: bool) -> None:
        self.device, self.small = torch.device(device), small
        self.cuda = self.device.type == "cuda"
        preset, over = ("tiny", []) if small else ("paper", [])
        self.settings: Settings = load_settings(preset, overrides=over, seed=1)
        self.n_people = 2 if small else 16  # 16 people x 6 frames x both modalities = 192 frames

    def sync(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def bf16(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def seconds(self, work: Callable[[], Any], repeats: int = 5, warm: int = 2) -> float:
        for _ in range(warm):
            work()
        found = []
        for _ in range(repeats):
            self.sync()
            begin = time.perf_counter()
            work()
            self.sync()
            found.append(time.perf_counter() - begin)
        return statistics.median(found)

    def peak_memory_gib(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 2**30 if self.cuda else None

    def matrix_peak(self, dtype: torch.dtype) -> float:
        """TFLOP/s of the best of three square products."""
        best = 0.0
        for n in (256,) if self.small else (4096, 8192, 16384):
            a = torch.randn(n, n, device=self.device, dtype=dtype)
            best = max(best, 2 * n**3 / self.seconds(lambda a=a: a @ a) / 1e12)
        return best


def training(bench: Bench) -> dict[str, Any]:
    """One iteration of Algorithm 1: bf16 and channels-last beside fp32 with TF32 and channels-first."""
    found: dict[str, Any] = {"matrix_peak_bf16_tflops": bench.matrix_peak(torch.bfloat16)}
    variants = {
        "bf16 channels_last": (True, bench.bf16, False),
        "bf16 channels_last, stages recomputed": (True, bench.bf16, True),
        "fp32/TF32 channels_first": (False, nullcontext, False),
    }
    if bench.cuda:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for name, (channels_last, autocast, recompute) in variants.items():
        found[name] = one_variant(bench, channels_last, autocast, recompute, found["matrix_peak_bf16_tflops"])
    found["ratio"] = found["fp32/TF32 channels_first"]["seconds"] / found["bf16 channels_last"]["seconds"]
    return found


def one_variant(
    bench: Bench, channels_last: bool, autocast: Callable[[], Any], recompute: bool, peak: float
) -> dict[str, Any]:
    settings = bench.settings
    model = build_model(settings, 500).train()
    for piece in (model.attack_encoder, model.defense_encoder):
        piece.recompute = recompute
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(bench.device, memory_format=layout)  # type: ignore[call-overload]
    updater = Updater(model, make_optimizer(model, settings), clip_norm=None, autocast=autocast, reduce=None)
    size = (bench.n_people, settings.data.frames_per_clip, 3, *frame_size(settings))
    visible, infrared = (torch.randn(size, device=bench.device) for _ in range(2))
    labels = torch.arange(size[0], device=bench.device)
    steps = sub_steps(model, settings.loss, settings.train, stage=1)

    def run() -> None:
        updater.iterate(steps, lambda: [Forward(model, visible, infrared, labels)], joint=False, norms=False)

    counter = FlopCounterMode(display=False)
    with counter:
        run()
    if bench.cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = bench.seconds(run)
    flops = counter.get_total_flops()
    n_frames = 2 * size[0] * size[1]
    return {
        "frames": n_frames,
        "seconds": seconds,
        "frames_per_s": n_frames / seconds,
        "tflop_per_iteration": flops / 1e12,
        "share_of_matrix_peak": flops / seconds / 1e12 / peak,
        "peak_memory_gib": bench.peak_memory_gib(),
    }


def embedding(bench: Bench) -> dict[str, Any]:
    """The test path of preset `paper`, 32 clips at once, frames resident as uint8."""
    settings, peak = bench.settings, bench.matrix_peak(torch.bfloat16)
    model = build_model(settings, 500).eval()
    model = model.to(bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    n = 2 if bench.small else 32
    size = (n, settings.data.frames_per_clip, 3, *frame_size(settings))
    clips = torch.randint(0, 256, size, dtype=torch.uint8, device=bench.device)

    @torch.no_grad()
    def run() -> None:
        model.embed(normalise(clips, **settings.data.normalisation), "visible")

    counter = FlopCounterMode(display=False)
    with counter:
        run()
    found = {}
    for name, context in (("bf16", bench.bf16), ("fp32/TF32", nullcontext)):
        with context():
            seconds = bench.seconds(run)
        tflops = counter.get_total_flops() / seconds / 1e12
        found[name] = {"frames_per_s": n * size[1] / seconds, "share_of_matrix_peak": tflops / peak}
    return found


def duskwalk(bench: Bench) -> dict[str, Any]:
    """Frames filmed a second, pictures left on the device's host as arrays."""
    found = {}
    for name in ("demo",) if bench.small else ("demo", "bench", "full"):
        preset = PRESETS[name]
        tracks = plan(preset, 1)[: 1 if bench.small else 24]
        shoot(1, tracks[0], preset, device=str(bench.device))
        bench.sync()
        begin = time.perf_counter()
        n = sum(len(shoot(1, track, preset, device=str(bench.device)).frames) for track in tracks)
        bench.sync()
        found[name] = {"size": list(preset.size), "frames_per_s": n / (time.perf_counter() - begin)}
    return found


def resident_loader(bench: Bench) -> dict[str, Any]:
    """Clips a second out of a store of uint8 frames that lies on the device: chosen, mirrored, normalised."""
    h, w = frame_size(bench.settings)
    store = torch.randint(0, 256, (64 if bench.small else 20000, 3, h, w), dtype=torch.uint8, device=bench.device)
    rng, n = np.random.default_rng(0), 192

    def run() -> None:
        rows = torch.from_numpy(rng.integers(len(store), size=n)).to(bench.device)
        normalise(store[rows].flip(-1).reshape(n // 6, 6, 3, h, w), **bench.settings.data.normalisation)

    return {"frames_per_s": n / bench.seconds(run), "store_gib": store.numel() / 2**30}


def frame_size(settings: Settings) -> tuple[int, int]:
    return settings.data.height, settings.data.width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny network, to try the script")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    bench = Bench(args.device, args.small)
    document: dict[str, Any] = {"schema_version": 1, "small": args.small, "machine": describe(), "versions": versions()}
    for section in (training, embedding, resident_loader, duskwalk):
        print(section.__name__, flush=True)
        document[section.__name__] = section(bench)
        print(json.dumps(document[section.__name__], indent=1), flush=True)
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")  # what there is so far


if __name__ == "__main__":
    main()
