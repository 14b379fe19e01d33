"""Training: one iteration of Algorithm 1 against a literal one, the whole loop against the step alone, Duskwalk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.harness import Goal, Numbers, Work, meter
from torch import Tensor

from duskmatch import machine_code
from duskmatch.config import Settings, load_settings
from duskmatch.data import open_dataset
from duskmatch.machine import fast_bf16, keep_memory
from duskmatch.models import SelfAttackDefense
from duskmatch.models.algorithm1 import Forward, SubStep, sub_steps
from duskmatch.models.building import build_model
from duskmatch.synthetic import PRESETS, generate
from duskmatch.training import Watcher, train
from duskmatch.training.monitor import read_log
from duskmatch.training.trainer import make_optimizer
from duskmatch.training.updates import Updater

PEOPLE, FRAMES, N_PIDS, ITERATIONS = 2, 2, 500, 1
ITERATION_GFLOP = 971  # of ours, forward and backward, as torch's FlopCounterMode counts this batch
LOOP_STEPS = 24
SCALING_STEPS = 24
BF16 = fast_bf16(torch.device("cpu"))


class Iteration:
    """Preset `paper`'s model with a batch of random clips and the sub-steps of stage 1."""

    def __init__(self, *, channels_last: bool, recompute: bool = False) -> None:
        overrides = [f"train.pids_per_batch={PEOPLE}", "train.tracklets_per_pid=1"]
        self.settings = load_settings("paper", overrides=overrides, seed=1)
        self.model = build_model(self.settings, N_PIDS).train()
        for piece in (self.model.attack_encoder, self.model.defense_encoder):
            piece.recompute = recompute
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.model, self.settings)
        size = (PEOPLE, FRAMES, 3, self.settings.data.height, self.settings.data.width)
        generator = torch.Generator().manual_seed(1)
        self.visible, self.infrared = (torch.randn(size, generator=generator) for _ in range(2))
        self.labels = torch.arange(PEOPLE)
        self.steps = sub_steps(self.model, self.settings.loss, self.settings.train, stage=1)

    def forward(self) -> Forward:
        return Forward(self.model, self.visible, self.infrared, self.labels)


class LiteIteration(Iteration):
    """The whole method on EfficientNet-Lite0 at the demo's size: 32 clips of two frames."""

    def __init__(self) -> None:
        overrides = ["model.backbone=efficientnet_lite0", "model.n_parts=6", "data.height=96", "data.width=48"]
        self.settings = load_settings("paper", overrides=[*overrides, "train.optimizer=adam", "train.lr=0.001"], seed=1)
        self.model = build_model(self.settings, N_PIDS).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.model, self.settings)
        generator = torch.Generator().manual_seed(1)
        self.visible, self.infrared = (torch.randn((16, 2, 3, 96, 48), generator=generator) for _ in range(2))
        self.labels = torch.arange(8).repeat_interleave(2)
        self.steps = sub_steps(self.model, self.settings.loss, self.settings.train, stage=1)


def lite(*, plain: bool) -> Numbers:
    """fp32, channels last; `plain`: by torch's own layers, and memory goes back to the system as glibc likes it."""
    if plain:
        os.environ[machine_code.VARIABLE] = "off"
    else:
        keep_memory()
    it = LiteIteration()
    updater = Updater(it.model, it.optimizer, clip_norm=None, autocast=nullcontext, reduce=None)
    return timed(lambda: void(updater.iterate(it.steps, lambda: [it.forward()], joint=False, norms=False)))


def autocast() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16) if BF16 else nullcontext()


def timed(run: Callable[[], None]) -> Numbers:
    run()  # the first iteration fills caches and the optimiser's memory
    with meter(ITERATIONS) as numbers:
        for _ in range(ITERATIONS):
            run()
    return numbers


def ours(*, recompute: bool = False) -> Numbers:
    it = Iteration(channels_last=True, recompute=recompute)
    updater = Updater(it.model, it.optimizer, clip_norm=None, autocast=autocast, reduce=None)
    return timed(lambda: void(updater.iterate(it.steps, lambda: [it.forward()], joint=False, norms=False)))


def literal() -> Numbers:
    """Eager fp32, channels first: each sub-step runs the whole forward and keeps the gradients of what it may move."""
    it = Iteration(channels_last=False)

    def run() -> None:
        for step in it.steps:
            literal_update(it.model, it.optimizer, it.steps, step, it.forward())

    return timed(run)


def literal_update(
    model: SelfAttackDefense,
    optimizer: torch.optim.Optimizer,
    steps: list[SubStep],
    step: SubStep,
    forward: Forward,
) -> None:
    terms: dict[str, Tensor] = {}
    for other in steps:  # every branch, whatever this sub-step needs
        seen = other.outputs(forward)
        terms |= {term.name: term.weight * term.loss(seen) for term in other.terms}
    torch.stack([terms[term.name] for term in step.terms]).sum().backward()
    for name, parameter in model.named_parameters():
        if name.split(".", 1)[0] not in step.trains:
            parameter.grad = None
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def void(_: Any) -> None:
    return None


def scratch_settings() -> Settings:
    overrides = ["train.stage1_epochs=1", "train.stage2_epochs=0", f"train.steps_per_epoch={LOOP_STEPS}"]
    overrides += ["train.recalibrate_steps=0", "train.centre=false", "train.checkpoint_every=1000"]
    return load_settings("scratch", overrides=overrides, seed=1)


@contextmanager
def films(preset: str, **changes: Any) -> Iterator[None]:
    """Duskwalk's preset of that name with fewer people or other pictures, for a while."""
    before = PRESETS[preset]
    PRESETS[preset] = replace(before, **changes)
    try:
        yield
    finally:
        PRESETS[preset] = before


@cache
def pictures() -> Path:
    """Duskwalk `bench` with few people, filmed once."""
    folder = Path(tempfile.gettempdir()) / f"duskmatch-benchmark-{os.getuid()}" / "bench"
    if not (folder / "duskwalk.json").is_file():
        with films("bench", people=(24, 2, 2)):
            generate(folder, preset="bench", seed=1, overwrite=True)
    return folder


def whole_loop() -> Numbers:
    """`train` on pictures of Duskwalk `bench`: decoding, augmentation, updates, log, one checkpoint."""
    settings, dataset = scratch_settings(), open_dataset(pictures())
    once = settings.model_copy(update={"train": settings.train.model_copy(update={"steps_per_epoch": 1})})
    with tempfile.TemporaryDirectory() as folder:
        train(once, dataset, Path(folder) / "warm", device="cpu", watcher=Watcher())  # loads what is loaded once
        with meter(LOOP_STEPS * frames_per_step(settings)) as numbers:
            train(settings, dataset, Path(folder) / "run", device="cpu", watcher=Watcher())
    return numbers


def step_alone() -> Numbers:
    """The same updates on one batch that lies in memory."""
    settings = scratch_settings()
    n, n_frames = settings.train.pids_per_batch, settings.data.training_frames
    model = build_model(settings, 24).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    updater = Updater(
        model, make_optimizer(model, settings), clip_norm=settings.train.clip_norm, autocast=autocast, reduce=None
    )
    clips = torch.randn(n, n_frames, 3, settings.data.height, settings.data.width)
    steps = sub_steps(model, settings.loss, settings.train, stage=1)

    def run() -> None:
        updater.iterate(
            steps,
            lambda: [Forward(model, clips, clips, torch.arange(n))],
            joint=False,
            norms=False,
        )

    with meter(LOOP_STEPS * frames_per_step(settings)) as numbers:
        for _ in range(LOOP_STEPS):
            run()
    return numbers


def many_processes(n: int) -> Numbers:
    """Training by n processes under torchrun, the same batches; from the first logged iteration to the last."""
    steps = SCALING_STEPS
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n), "-m", "duskmatch"]
        flags = ["train", "--data", str(pictures()), "--out", str(run), "--preset", "scratch", "--threads", "1", "-q"]
        flags += ["--train.stage1_epochs", "1", "--train.stage2_epochs", "0", "--train.steps_per_epoch", str(steps)]
        flags += ["--train.recalibrate_steps", "0", "--train.centre", "false", "--train.log_every", "1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *launch, *flags], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        rows = read_log(run / "log.csv")
    begin = rows[steps // 3]  # caches are warm by then
    frames = frames_per_step(scratch_settings()) * (rows[-1]["step"] - begin["step"])
    return {"seconds": rows[-1]["seconds"] - begin["seconds"], "amount": frames, "peak_mib": 0.0}


def frames_per_step(settings: Settings) -> int:
    return 2 * settings.train.pids_per_batch * settings.train.tracklets_per_pid * settings.data.training_frames


def filming(size: tuple[int, int], preset: str, people: int, n_processes: int | None) -> Numbers:
    few = films(preset, people=(people, 2, 2), tracks=2)
    with tempfile.TemporaryDirectory() as folder, few, meter() as numbers:
        record = generate(Path(folder) / "data", preset=preset, seed=1, size=size, n_processes=n_processes)
    return {**numbers, "amount": record["n_frames"]}


def film_work(name: str, size: tuple[int, int], preset: str, people: int, rate: float) -> Work:
    return Work(
        name=name,
        what=f"Duskwalk at {size[0]}x{size[1]}, pictures written",
        unit="frames",
        ours=partial(filming, size, preset, people, None),
        alternative=partial(filming, size, preset, people, 1),
        ours_is="a process for each core",
        alternative_is="one process",
        goal=Goal(f"at least {rate:.0f} frames/s", rate=rate),
        rounds=2,
    )


BATCH = f"{PEOPLE} people x {FRAMES} frames, both modalities, 288x144"
FORMAT = "bf16" if BF16 else "fp32"
WORKS = [
    Work(
        name="training_iteration",
        what=f"one iteration of Algorithm 1, ResNet-50, {BATCH}",
        unit="iterations",
        ours=ours,
        alternative=literal,
        ours_is=FORMAT,
        alternative_is="eager fp32, channels first, the whole forward in each sub-step",
        goal=Goal("at least 2.5x", ratio=2.5),
        rounds=2,
        cost=(f"{FORMAT} GFLOP", ITERATION_GFLOP),
    ),
    Work(
        name="training_iteration_lite0",
        what="one iteration of Algorithm 1, EfficientNet-Lite0, 32 clips of 2 frames, 96x48",
        unit="iterations",
        ours=partial(lite, plain=False),
        alternative=partial(lite, plain=True),
        ours_is="fp32, channels last, own gradients and normalisation, memory kept",
        alternative_is="fp32, channels last, torch's own layers",
        goal=Goal("at least 1.5x", ratio=1.5),
        rounds=5,
    ),
    Work(
        name="training_iteration_recomputed",
        what="the same with activations recomputed",
        unit="iterations",
        ours=partial(ours, recompute=True),
        alternative=ours,
        ours_is="stages recomputed",
        alternative_is="activations kept",
        goal=Goal("an option: its memory and time"),
        rounds=2,
    ),
    Work(
        name="training_loop",
        what="training on Duskwalk `bench` pictures, preset scratch",
        unit="frames",
        ours=whole_loop,
        alternative=step_alone,
        ours_is="the whole loop",
        alternative_is="the step alone",
        goal=Goal("at least 90 % of the step alone", ratio=0.9),
        rounds=3,
    ),
    Work(
        name="training_processes",
        what="training by two processes under torchrun, preset scratch, each with half of a batch's people",
        unit="frames",
        ours=partial(many_processes, 2),
        alternative=partial(many_processes, 1),
        ours_is="two processes, one thread each",
        alternative_is="one process, one thread",
        goal=Goal("scaling of 1 and 2 processes"),
        rounds=2,
    ),
    film_work("duskwalk_128", (128, 64), "demo", 12, 150),
    film_work("duskwalk_288", (288, 144), "bench", 2, 60),
]
