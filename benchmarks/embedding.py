"""Embedding: frames from files to vectors, each beside what a user would write first. 600x300 JPEGs, made here.

The network is the paper's whole test path at 288x144 with random weights: speed does not depend on them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.harness import Goal, Numbers, Work, meter

N_TRACKLETS, N_FRAMES, SIZE = 4, 6, (288, 144)
FRAME_GFLOP = 11.2  # of the whole test path, as torch's FlopCounterMode and the LSTMs' weights count it
ARITHMETIC = ("bf16 peak GFLOP", FRAME_GFLOP)
LIMIT = (
    "the test path is 11.2 GFLOP a frame; ten times eager fp32 needs more bf16 arithmetic a second than this CPU has "
    "without AMX"
)
PLACE = Path(tempfile.gettempdir()) / f"duskmatch-benchmark-{os.getuid()}"


def frames() -> list[list[Path]]:
    """Paths of N_TRACKLETS x N_FRAMES pictures with edges and some noise, about 35 kB each; made once."""
    import cv2

    folder = PLACE / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = [[folder / f"{i}-{k}.jpg" for k in range(N_FRAMES)] for i in range(N_TRACKLETS)]
    for path in [p for row in paths for p in row if not p.exists()]:
        coarse = cv2.resize(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8), (300, 600))
        picture = np.clip(coarse + rng.normal(0, 6, coarse.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def tracklets() -> list[Any]:
    from duskmatch.records import Tracklet

    return [Tracklet(tuple(row), i, 1, "visible", str(i)) for i, row in enumerate(frames())]


def network() -> Any:
    from duskmatch.config import load_settings
    from duskmatch.models.building import build_model

    settings = load_settings("paper")
    return build_model(settings, 100).eval(), settings


def embedder(engine: str, precision: str) -> Any:
    """Ours, warm: graph made and compiled, one clip embedded."""
    from duskmatch.embedding import Embedder
    from duskmatch.embedding.folding import at_test
    from duskmatch.embedding.loading import open_engine

    os.environ["DUSKMATCH_CACHE"] = str(PLACE / "cache")
    model, settings = network()
    opened = open_engine(engine, at_test(model), settings, "cpu", precision)  # type: ignore[arg-type]
    made = Embedder(model, settings, device="cpu", engine=opened)
    made.embed(tracklets()[:1])
    return made


def said(engine: Any) -> str:
    return f"{engine.name} {engine.versions.get(engine.name, '')}, {engine.precision} read back from what ran"


def embed_ours() -> Numbers:
    ours, clips = embedder("openvino", "bf16"), tracklets()
    with meter(N_TRACKLETS * N_FRAMES) as numbers:
        ours.embed(clips)
    return {**numbers, "note": said(ours.engine)}


def one_by_one(path: Path) -> Any:
    """A picture as most code loads it: Pillow, a resize, a float tensor, a normalisation."""
    import torch
    from PIL import Image

    picture = Image.open(path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (tensor - mean[:, None, None]) / std[:, None, None]


def embed_alternative() -> Numbers:
    import torch

    model, _ = network()
    rows = frames()
    with torch.no_grad():
        model.embed(torch.stack([one_by_one(p) for p in rows[0]])[None], "visible")
        with meter(N_TRACKLETS * N_FRAMES) as numbers:
            for row in rows:
                model.embed(torch.stack([one_by_one(p) for p in row])[None], "visible")
    return numbers


def share_ours() -> Numbers:
    engine = embedder("openvino", "bf16").engine
    clips = np.random.default_rng(0).integers(0, 256, (N_TRACKLETS, N_FRAMES, 3, *SIZE), dtype=np.uint8)
    with meter(N_TRACKLETS * N_FRAMES) as numbers:
        engine(clips, "visible")
    return {**numbers, "note": said(engine)}


def share_alternative() -> Numbers:
    """A bare ResNet-50 of ImageNet's shape (last stride 2), mean-pooled, on the same engine, six frames a call."""
    import torch

    from duskmatch.embedding.engines import quiet_import
    from duskmatch.embedding.graphs import quietly
    from duskmatch.models.resnet import Stages, Stem

    ov = quiet_import("openvino")
    bare = torch.nn.Sequential(Stem(64), Stages("resnet50", 1.0, 2), torch.nn.AdaptiveAvgPool2d(1)).eval()
    stack = torch.rand(N_FRAMES, 3, *SIZE)
    with torch.no_grad(), quietly():
        graph = ov.convert_model(torch.export.export(bare, (stack,)))
    options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = ov.Core().compile_model(graph, "CPU", options)
    compiled([stack.numpy()])
    with meter(N_TRACKLETS * N_FRAMES) as numbers:
        for _ in range(N_TRACKLETS):
            compiled([stack.numpy()])
    return numbers


REPEATS = 20


def decode_ours(jpeg_scaling: bool) -> Numbers:
    import cv2
    import torch

    from duskmatch.data import Augment, ClipReader
    from duskmatch.data.augmentation import apply_augmentation, draw_augmentation
    from duskmatch.pixels import normalise

    cv2.setNumThreads(1)
    augment, rng = Augment(), np.random.default_rng(0)
    clips, reader = tracklets(), ClipReader(SIZE, N_FRAMES, jpeg_scaling=jpeg_scaling)

    def clip(i: int) -> Any:
        picture = reader.read(clips[i % len(clips)]).clip.frames
        return normalise(torch.from_numpy(apply_augmentation(picture, augment, draw_augmentation(augment, rng))))

    clip(0)
    with meter(REPEATS) as numbers:
        for i in range(REPEATS):
            clip(i)
    return numbers


def decode_alternative() -> Numbers:
    """Each frame for itself: Pillow, resize, pad, crop, flip, float, normalise."""
    import random

    import torch
    from PIL import Image, ImageOps

    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    def frame(path: Path) -> Any:
        picture = Image.open(path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
        picture = ImageOps.expand(picture, 10)
        left, top = random.randrange(21), random.randrange(21)
        picture = picture.crop((left, top, left + SIZE[1], top + SIZE[0]))
        if random.random() < 0.5:
            picture = ImageOps.mirror(picture)
        return (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255) - mean) / std

    rows = frames()
    torch.stack([frame(p) for p in rows[0]])
    with meter(REPEATS) as numbers:
        for i in range(REPEATS):
            torch.stack([frame(p) for p in rows[i % len(rows)]])
    return numbers


@cache
def run_folder() -> Path:
    """A RUN of the paper's network and one tracklet to embed, written once."""
    import json

    from safetensors.torch import save_file

    from duskmatch.data import write_tracklets
    from duskmatch.embedding.run import LAYOUT_VERSION
    from duskmatch.weights import HEADER_KEY

    run = PLACE / "run"
    if not (run / "VERSION").exists():
        model, settings = network()
        run.mkdir(parents=True, exist_ok=True)
        header = {"settings": settings.model_dump(mode="json"), "n_pids": 100}
        save_file(model.state_dict(), run / "model.safetensors", metadata={HEADER_KEY: json.dumps(header)})
        write_tracklets(PLACE / "frames", tracklets()[:1])
        (run / "VERSION").write_text(LAYOUT_VERSION, encoding="ascii")
    return run


def first(engine: str) -> Numbers:
    """`duskmatch embed` of one tracklet, from the start of the process to its end; the second time."""
    out = PLACE / f"{engine}.safetensors"
    command = [sys.executable, "-m", "duskmatch", "embed", str(run_folder()), str(PLACE / "frames"), "--overwrite"]
    command += ["--out", str(out), "--engine", engine, "-q"]
    environment = {**os.environ, "DUSKMATCH_CACHE": str(PLACE / "cache")}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with meter() as numbers:
        subprocess.run(command, env=environment, check=True, capture_output=True)
    return numbers


def first_ours() -> Numbers:
    return first("openvino")


def first_alternative() -> Numbers:
    return first("torch")


def started(*arguments: str) -> Numbers:
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    with meter() as numbers:
        subprocess.run(command, check=True, capture_output=True)
    return numbers


def help_ours() -> Numbers:
    return started("-m", "duskmatch", "--help")


def help_alternative() -> Numbers:
    return started("-c", "import torch")


NAIVE = "Pillow, frame by frame, and torch eager fp32"
WORKS = [
    Work(
        "embed_tracklets",
        "Tracklets from JPEGs to vectors, the paper's whole test path, 288x144, ResNet-50",
        "frames",
        embed_ours,
        embed_alternative,
        "duskmatch, OpenVINO bf16",
        NAIVE,
        Goal("10 times", ratio=10),
        rounds=3,
        cost=ARITHMETIC,
        notes=[LIMIT],
    ),
    Work(
        "network_share",
        "The test path beside a bare ResNet-50 (last stride 2) on the same engine",
        "frames",
        share_ours,
        share_alternative,
        "the whole test path, OpenVINO bf16",
        "bare ResNet-50, OpenVINO bf16",
        Goal("60 % of its speed", ratio=0.6),
        rounds=3,
    ),
    *(
        Work(
            name,
            f"A training clip: six 600x300 JPEGs decoded{how}, resized, augmented, normalised",
            "clips",
            partial(decode_ours, jpeg_scaling),
            decode_alternative,
            f"duskmatch, `data.jpeg_scaling {str(jpeg_scaling).lower()}`",
            "Pillow and transforms of each frame",
            Goal("2 times", ratio=2),
            rounds=3,
            cost=("half JPEG decoded" if jpeg_scaling else "JPEG decoded", N_FRAMES),
        )
        for name, how, jpeg_scaling in (("decode_clip", " at half their size", True), ("decode_clip_exact", "", False))
    ),
    Work(
        "first_embedding",
        "`duskmatch embed` of one tracklet, start to end, caches warm",
        "starts",
        first_ours,
        first_alternative,
        "OpenVINO fp32",
        "torch eager fp32",
        Goal("under 5 s", rate=1 / 5),
        rounds=3,
    ),
    Work(
        "help_start",
        "`duskmatch --help`",
        "starts",
        help_ours,
        help_alternative,
        "duskmatch",
        "a program that imports torch first",
        Goal("under 0.5 s", rate=2),
        rounds=3,
    ),
]
