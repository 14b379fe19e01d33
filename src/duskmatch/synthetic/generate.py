"""Writes a Duskwalk data set: pictures, rendered by people in parallel, then the lists, and last duskwalk.json.

A folder without duskwalk.json is not finished.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch

from duskmatch import files
from duskmatch.errors import OutputError, SettingsError
from duskmatch.interrupts import interrupts_blocked
from duskmatch.synthetic import layout
from duskmatch.synthetic.cameras import make_camera
from duskmatch.synthetic.film import shoot
from duskmatch.synthetic.people import POOLS, TWINS
from duskmatch.synthetic.presets import PRESETS, Preset
from duskmatch.synthetic.variations import FACTORS, MOST_SEVERE, Change
from duskmatch.synthetic.walks import Track, plan

log = logging.getLogger("duskmatch")
SMALLEST_PX, LARGEST_PX = 16, 1024


@dataclass(frozen=True, slots=True)
class Order:
    """The data set to generate; sent to every process."""

    out: Path
    preset: Preset
    seed: int
    change: Change
    twins: str | None


Job = list[tuple[Track, int]]  # one person's tracks, each with the number of its first frame
Truth = dict[str, Any]


def generate(
    out: Path,
    *,
    preset: str,
    seed: int,
    vary: str | None = None,
    severity: int | None = None,
    twins: str | None = None,
    test_people: int | None = None,
    size: Sequence[int] | None = None,
    n_processes: int | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes the data set to the disk; returns the content of OUT/duskwalk.json.

    `vary` and `severity`: only the test people, on the same walks, with one factor changed. `test_people`: only the
    first N test people, with the same pids, walks and frame numbers. `size`: (H, W) of the pictures instead of the
    preset's; people and walks stay.
    """
    started = time.perf_counter()
    _check(preset, seed, vary, severity, twins, n_processes, test_people)
    out = Path(out)
    order = Order(out, _sized(PRESETS[preset], size), seed, Change(vary, severity or 0), twins)
    tracks = _wanted(plan(order.preset, seed), only_test=vary is not None, test_people=test_people)
    with files.claimed(out, overwrite=overwrite):
        starts = layout.first_frames(tracks)
        truths = _film_all(order, tracks, starts, n_processes or default_processes(), on_progress)
        layout.write_lists(out, tracks, starts)
        layout.write_walks(out, tracks, starts, truths)
        if hasattr(os, "sync"):
            os.sync()  # the pictures must be on the disk before the file that marks the set as finished
        record = _record(order, tracks, preset, test_people, round(time.perf_counter() - started, 2))
        files.write_json(out / "duskwalk.json", record)
    return record


def _record(order: Order, tracks: Sequence[Track], preset: str, test_people: int | None, seconds: float) -> Truth:
    """The contents of duskwalk.json."""
    vary, severity = order.change.factor, order.change.severity if order.change.factor else None
    return {
        "name": "Duskwalk", "data_version": order.preset.version, "synthetic": True, "preset": preset,
        "seed": order.seed, "vary": vary, "severity": severity, "twins": order.twins, "test_people": test_people,
        "size": list(order.preset.size), "cameras": order.preset.cameras, "frames_per_s": 12,
        "pools": {pool: _counts(tracks, pool) for pool in POOLS},
        "n_tracks": len(tracks), "n_frames": sum(track.n_frames for track in tracks),
        "seconds": seconds,
    }  # fmt: skip


def default_processes() -> int:
    """The number of available cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores))


def _check(
    preset: str, seed: int, vary: str | None, severity: int | None, twins: str | None, n_processes: int | None,
    test_people: int | None,
) -> None:  # fmt: skip
    if preset not in PRESETS:
        raise SettingsError(f"preset must be one of {', '.join(PRESETS)}; got {preset!r}")
    if not 0 <= seed < 2**63:
        raise SettingsError(f"seed must be from 0 to 2**63 - 1; got {seed}")
    if (vary is None) != (severity is None):
        given, missing = ("severity", "vary") if vary is None else ("vary", "severity")
        raise SettingsError(f"vary and severity belong together; got {given} alone; add {missing}")
    if vary is not None and vary not in FACTORS:
        raise SettingsError(f"vary must be one of {', '.join(FACTORS)}; got {vary!r}")
    if severity is not None and not 0 <= severity <= MOST_SEVERE:
        raise SettingsError(f"severity must be from 0 to {MOST_SEVERE}; got {severity}")
    if twins is not None and twins not in TWINS:
        raise SettingsError(f"twins must be one of {', '.join(TWINS)}; got {twins!r}")
    if n_processes is not None and n_processes < 1:
        raise SettingsError(f"processes must be at least 1; got {n_processes}")
    there = PRESETS[preset].people[2]
    if test_people is not None and not 1 <= test_people <= there:
        raise SettingsError(
            f"test_people must be from 1 to {there}, the test people of preset {preset}; got {test_people}"
        )


def _sized(preset: Preset, size: Sequence[int] | None) -> Preset:
    if size is None:
        return preset
    if len(size) != 2 or not all(SMALLEST_PX <= side <= LARGEST_PX for side in size):
        raise SettingsError(f"size must be (H, W) from {SMALLEST_PX} to {LARGEST_PX} pixels; got {tuple(size)}")
    return replace(preset, size=(size[0], size[1]))


def _wanted(tracks: Sequence[Track], *, only_test: bool, test_people: int | None) -> list[Track]:
    """The tracks of the plan that are rendered."""
    if not only_test and test_people is None:
        return list(tracks)
    own = [track for track in tracks if track.pool == "test"]
    return [track for track in own if test_people is None or track.person < test_people]


def _film_all(
    order: Order,
    tracks: Sequence[Track],
    starts: Sequence[int],
    n_processes: int,
    on_progress: Callable[[int, int], None] | None,
) -> list[Truth]:
    """Writes all pictures; returns each track's ground truth in the order of the plan."""
    jobs = [list(group) for _, group in itertools.groupby(zip(tracks, starts, strict=True), key=lambda job: job[0].pid)]
    total, done = sum(track.n_frames for track in tracks), 0
    results: list[list[Truth]] = [[] for _ in jobs]
    work = _one_by_one(order, jobs) if n_processes == 1 else _in_parallel(order, jobs, n_processes)
    for number, truths in work:
        results[number] = truths
        done += sum(track.n_frames for track, _ in jobs[number])
        if on_progress:
            on_progress(done, total)
    return [truth for truths in results for truth in truths]


def _one_by_one(order: Order, jobs: list[Job]) -> Iterator[tuple[int, list[Truth]]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the other processes: the bytes must not depend on how work is split
    try:
        for number, job in enumerate(jobs):
            yield number, film_person(order, job)
    finally:
        torch.set_num_threads(before)


def _in_parallel(order: Order, jobs: list[Job], n_processes: int) -> Iterator[tuple[int, list[Truth]]]:
    """Results as they are completed; few jobs are queued ahead, so that an error stops the rest."""
    queue = iter(enumerate(jobs))
    running: dict[Future[list[Truth]], int] = {}
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's locks
    with ProcessPoolExecutor(n_processes, mp_context=context, initializer=_start) as pool:
        try:
            while True:
                for number, job in itertools.islice(queue, 2 * n_processes - len(running)):
                    with interrupts_blocked():  # a submitted job may start a process
                        running[pool.submit(film_person, order, job)] = number
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                f"{order.out} is not finished: a rendering process was killed, most likely for lack of memory;"
                " run again with --overwrite --processes 1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Initialises each process."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def film_person(order: Order, job: Job) -> list[Truth]:
    """Writes one person's pictures; returns the ground truth of each track."""
    return [_film_track(order, track, start) for track, start in job]


def _film_track(order: Order, track: Track, start: int) -> Truth:
    film = shoot(order.seed, track, order.preset, twins=order.twins, change=order.change)
    camera = make_camera(order.seed, track.camid)
    quality = camera.quality_night if track.modality == "infrared" else camera.quality_day
    target = layout.folder(order.out, track)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(film.frames, start):
            (target / f"{number}.jpg").write_bytes(encode(frame, quality))
    except OSError as error:
        raise files.refusal(target, error) from error
    return {
        "view_degrees": round(film.walk.view_deg, 1), "scene": film.walk.place,
        "walk": f"{track.pool}-{track.person}-{track.camid}-{track.modality[0]}{track.take}",
        "occluder": film.walk.occluder, "occluded_fraction": round(film.occluded_fraction, 3),
        "truncated": int(film.walk.truncated), "speed_m_s": round(film.walk.speed_m_s, 3),
        "cadence_hz": round(film.walk.gait.cadence_hz, 3),
    }  # fmt: skip


def encode(frame: Any, quality: int) -> bytes:
    """JPEG bytes of one picture (h w c), c = 1 for grey or 3 for RGB."""
    _, data = cv2.imencode(
        ".jpg", frame[..., ::-1] if frame.shape[-1] == 3 else frame, [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return bytes(data)


def _counts(tracks: Sequence[Track], pool: str) -> dict[str, int]:
    own = [track for track in tracks if track.pool == pool]
    return {
        "people": len({track.pid for track in own}),
        "infrared_tracks": sum(track.modality == "infrared" for track in own),
        "visible_tracks": sum(track.modality == "visible" for track in own),
        "frames": sum(track.n_frames for track in own),
    }
