"""`duskmatch ingest`: cuts tracklets out of a video, given the boxes of a tracker."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

N = TypeVar("N", int, float)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("video", metavar="VIDEO", type=Path, help="a video file, or a folder of numbered pictures")
    add(
        "--boxes", metavar="MOT.txt", type=Path, required=True,
        help="a box a line: frame,id,x,y,w,h,confidence,class,...",
    )  # fmt: skip
    add("--modality", choices=("visible", "infrared"), required=True, help="kind of camera")
    add("--camera", metavar="N", type=int, required=True, help="number of the camera, written as camid")
    add("--out", metavar="TRACKLETS", type=Path, required=True, help="folder to write; must be new or empty")
    add("--split-halves", action="store_true", help="write halves of each track to OUT/first and OUT/second")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", metavar="SX[,SY]", type=pair_of_floats, help="factor for all boxes (default 1)")
    size.add_argument(
        "--boxes-size", metavar="WxH", type=pair_of_ints, help="picture size for which the boxes were made"
    )
    add("--pixels-from", choices=(0, 1), type=int, default=1, help="0 if boxes count pixels from 0 (default 1)")
    add("--max-gap", metavar="N", type=int, default=30, help="frames without a box that a track may span (default 30)")
    add("--min-frames", metavar="N", type=int, default=1, help="drop tracks of fewer frames (default 1)")
    add("--drop-outside", action="store_true", help="drop boxes wholly outside the picture (default: refuse them)")
    add(
        "--class", dest="classes", metavar="N", type=int, action="append", default=[],
        help="keep only boxes with this number in column 8; may be given several times (default: keep all)",
    )  # fmt: skip
    add("--min-confidence", metavar="X", type=float, help="drop boxes whose confidence (column 7) is below X")
    add("--levels", metavar="LOW,HIGH", type=low_high, help="values of 16-bit grey that become black and white")
    add("--fps", metavar="N", type=float, help="frames per second of a video without times")
    add("--png", action="store_true", help="write PNG (default: JPEG of quality 95)")
    add("--overwrite", action="store_true", help="empty OUT first")


def run(args: argparse.Namespace) -> None:
    """Cuts the tracklets and prints how many boxes were used, clipped and dropped."""
    from duskmatch.cli import console
    from duskmatch.data.cutting import Cut
    from duskmatch.data.video import ingest
    from duskmatch.files import claimed

    cut = Cut(
        modality=args.modality,
        camid=args.camera,
        max_gap=args.max_gap,
        min_frames=args.min_frames,
        scale=args.scale,
        boxes_size=args.boxes_size,
        pixels_from=args.pixels_from,
        split_halves=args.split_halves,
        png=args.png,
        drop_outside=args.drop_outside,
        classes=tuple(args.classes),
        min_confidence=args.min_confidence,
        levels=args.levels,
        fps=args.fps,
    )
    with claimed(args.out), console.progress() as bar:
        task = bar.add_task("cutting tracks, frames", note="", total=None)
        account = ingest(
            args.video,
            args.boxes,
            args.out,
            cut,
            overwrite=args.overwrite,
            on_frame=lambda number, last: bar.update(task, completed=number, total=last),
        )
    console.result({**account, "out": str(args.out)}, show)


def show(account: dict[str, Any]) -> str:
    """The account as text; it counts every box once."""
    boxes = account["boxes"]
    why = "; ".join(f"{n} {reason}" for reason, n in boxes["dropped_why"].items())
    lines = [
        f"{boxes['total']} boxes in {len(account['tracks'])} tracks: {boxes['cut']} cut "
        f"({boxes['clipped']} of them clipped to the picture), {boxes['dropped']} dropped"
        + (f" ({why})" if why else "")
    ]
    lines += [f"  {hint}" for hint in account["hints"]]
    for track in account["tracks"]:
        begin_s, end_s = ("?" if s is None else f"{s:.2f} s" for s in (track["begin_s"], track["end_s"]))
        lines.append(f"  {track['tracklet_id']}: {track['frames']} frames, {begin_s} to {end_s}")
    return "\n".join([*lines, f"written: {account['out']}"])


def pair_of_floats(text: str) -> tuple[float, float]:
    """The horizontal and vertical factors of `0.5` or `0.5,0.4`."""
    across, _, down = text.partition(",")
    return _pair(float, across, down or across, f"must be SX or SX,SY, like 0.5 or 0.5,0.4; got {text!r}")


def low_high(text: str) -> tuple[float, float]:
    """The lower and upper value of `7000,9000`."""
    low, _, high = text.partition(",")
    return _pair(float, low, high, f"must be LOW,HIGH, like 7000,9000; got {text!r}")


def pair_of_ints(text: str) -> tuple[int, int]:
    """The width and height of `1920x1080`."""
    width, _, height = text.lower().partition("x")
    return _pair(int, width, height, f"must be WxH, like 1920x1080; got {text!r}")


def _pair(kind: Callable[[str], N], one: str, other: str, rule: str) -> tuple[N, N]:
    try:
        return kind(one), kind(other)
    except ValueError:
        raise argparse.ArgumentTypeError(rule) from None
