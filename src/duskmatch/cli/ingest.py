"""`duskmatch ingest`: tracklets out of a video with a tracker's boxes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

N = TypeVar("N", int, float)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", type=Path, help="the video file, or a folder of numbered pictures")
    parser.add_argument("--boxes", metavar="MOT.txt", type=Path, required=True, help="frame,id,x,y,w,h,confidence,...")
    parser.add_argument("--modality", choices=("visible", "infrared"), required=True, help="what the camera sees by")
    parser.add_argument("--camera", metavar="N", type=int, required=True, help="the camera's number")
    parser.add_argument("--out", metavar="TRACKLETS", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--split-halves", action="store_true", help="each track's halves to OUT/first and OUT/second")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", metavar="SX[,SY]", type=pair_of_floats, help="what the boxes are multiplied by")
    size.add_argument("--boxes-size", metavar="WxH", type=pair_of_ints, help="the picture size the boxes were made for")
    parser.add_argument(
        "--pixels-from", choices=(0, 1), type=int, default=1, help="number of the boxes' first pixel (default 1)"
    )
    parser.add_argument("--max-gap", metavar="N", type=int, default=30, help="empty frames that end a track (30)")
    parser.add_argument("--min-frames", metavar="N", type=int, default=1, help="shorter tracks are dropped (default 1)")
    parser.add_argument("--drop-outside", action="store_true", help="drop boxes outside the picture")
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="only boxes with this number in column 8 (once or more)",
    )
    parser.add_argument("--min-confidence", metavar="X", type=float, help="drop boxes below it (column 7); 0 keeps all")
    parser.add_argument("--levels", metavar="LOW,HIGH", type=low_high, help="black and white of 16-bit grey")
    parser.add_argument("--fps", metavar="N", type=float, help="frames a second, where the video holds no times")
    parser.add_argument("--png", action="store_true", help="write PNG; the default is JPEG of quality 95")
    parser.add_argument("--overwrite", action="store_true", help="remove what lies in OUT first")


def run(args: argparse.Namespace) -> None:
    """Prints what became of the boxes."""
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
    """The account in words: every box is in it once."""
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
    """The two factors of `0.5` or `0.5,0.4`."""
    across, _, down = text.partition(",")
    return _pair(float, across, down or across, f"must be SX or SX,SY, like 0.5 or 0.5,0.4; got {text!r}")


def low_high(text: str) -> tuple[float, float]:
    """The two values of `7000,9000`."""
    low, _, high = text.partition(",")
    return _pair(float, low, high, f"must be LOW,HIGH, like 7000,9000; got {text!r}")


def pair_of_ints(text: str) -> tuple[int, int]:
    """The two sizes of `1920x1080`."""
    width, _, height = text.lower().partition("x")
    return _pair(int, width, height, f"must be WxH, like 1920x1080; got {text!r}")


def _pair(kind: Callable[[str], N], one: str, other: str, rule: str) -> tuple[N, N]:
    try:
        return kind(one), kind(other)
    except ValueError:
        raise argparse.ArgumentTypeError(rule) from None
